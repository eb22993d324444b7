"""A sleep that is over a moment after its run was woken before the run was ended, when the machine took that moment.

`lightfield.testing` lets waits be over in the order in which they would have ended.
"""

from __future__ import annotations

from typing import Any

import pytest

from executions import sweeper
from lightfield.kernel import sql
from lightfield.testing import run
from tests.factories import LOG_STEP, a_definition

pytestmark = pytest.mark.django_db(transaction=True)


def test_given_a_sleep_that_ends_just_after_its_run_when_the_machine_is_slow_then_the_run_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep = sweeper.sweep

    def a_slow_sweep() -> Any:
        """The sleep, a minute longer than its run, is over as well when this process goes on."""
        sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
        return sweep()

    monkeypatch.setattr(sweeper, "sweep", a_slow_sweep)
    nap = {"key": "nap", "type": "sleep", "config": {"seconds": 3_660}}

    ended = run(a_definition(steps=[nap, LOG_STEP], settings={"timeout_seconds": 3_600}))

    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.code == "run.timeout"
