"""The stacks of a full cell's threads were counted as memory: with little of that allowed, no thread could be started.

Found in a soak: sixteen steps lost their cell although none of them had asked for anything.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from executions import cells
from executions.admission import CELL
from executions.cell_line import Order
from executions.models import Attempt
from tests.bellboy import Bellboy
from tests.integration.test_cells_real import killer, killers  # noqa: F401  a fixture
from tests.staging import a_claimed_step, end_lease

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "killers"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the limit"),
]


@pytest.fixture
def deep_stacks() -> Iterator[None]:
    """A system that gives every thread twice the usual, so that it fails for sure and not only in a larger process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (16 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


@pytest.mark.usefixtures("deep_stacks")
def test_given_the_least_memory_that_may_be_set_when_a_cell_is_full_then_all_its_steps_run_side_by_side(
    bellboy: Bellboy, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They all wait: whoever could not be started would have ended the cell before its time."""
    monkeypatch.setenv("LIGHTFIELD_ROLE", "worker-http")
    held = [a_claimed_step(killer(way="hang")).step_run_id for _ in range(CELL)]
    for step_run_id in held:
        end_lease(step_run_id)

    code = cells.line.run(Order("w:cell:1", "http", tuple(held), 5.0))

    assert code == -9  # for want of time
    assert Attempt.objects.filter(number=2, intent_at__isnull=False).count() == CELL
