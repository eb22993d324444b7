"""A fast step run in a cell, its attempt counted before, told its message or wait under the next attempt's number."""

from __future__ import annotations

from typing import Any

import pytest

from executions import cells
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.staging import a_run, nap, say


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("step", "type_"), [(say(), "step.logged"), (nap(), "step.waiting")])
def test_given_a_fast_step_in_a_cell_then_what_it_tells_names_its_own_attempt(
    bellboy: Bellboy, step: dict[str, Any], type_: str
) -> None:
    run = a_run(step)
    sql.rows("UPDATE executions_steprun SET rings = 3", {})

    cells.run_here([run.steps.get().pk], "fast")

    assert run.timeline.get(type=type_).attempt == 1
