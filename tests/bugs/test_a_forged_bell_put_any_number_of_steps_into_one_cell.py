"""A forged message had one cell ordered for everything that waited for one: more steps than it has threads for."""

from __future__ import annotations

import pytest

from executions import cells
from executions.admission import CELL
from executions.cell_line import Order
from tests.bellboy import Bellboy
from tests.staging import a_claimed_step, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def test_given_a_bell_for_more_steps_than_a_cell_takes_then_the_rest_waits_for_bells_of_its_own(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [a_claimed_step().step_run_id for _ in range(CELL + 2)]
    for step_run_id in lost:
        end_lease(step_run_id)
    ordered: list[tuple[int, ...]] = []

    class Line:
        def run(self, order: Order) -> int:
            ordered.append(order.ids)
            return 0

    monkeypatch.setattr(cells, "line", Line())

    cells.run_in_cell(lost, "http")

    assert ordered == [tuple(lost[:CELL])]
