"""A worker that was stopped within a record step, longer than PostgreSQL lets a transaction stand still, cost the step an attempt.

Django's statements get an internal error then, which passed for one of the step's own: `step.unexpected`. The engine's statements
already knew it for a lost connection, which is nobody's fault.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from crm.models import Account
from executions import engine
from executions.models import Attempt, Run
from lightfield.kernel import sql
from tests.bugs.test_a_transaction_that_slept_too_long_was_nobodys_error import wait_until_ended
from tests.scripted import ScriptedTransactional, installed
from tests.staging import a_run
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_given_a_stop_within_its_transaction_then_it_is_run_again_and_no_attempt_is_counted() -> None:
    stops = [True]

    def write(config: Any, context: Any) -> Completed:
        if stops:
            stops.pop()
            ours = sql.row("SELECT pg_backend_pid()", {})
            assert ours is not None
            sql.rows("SET LOCAL idle_in_transaction_session_timeout = 20", {})
            wait_until_ended(ours[0])
        Account.objects.create(name="Acme")
        return Completed({})

    with installed("write", ScriptedTransactional) as step_type:
        step_type.script = write
        run = a_run({"key": "write", "type": "write", "config": {}})
        with pytest.raises(OperationalError, match="idle-in-transaction"):
            engine.advance([str(run.pk)])
        assert not Attempt.objects.exists()
        engine.advance([str(run.pk)])

    assert Run.objects.get().status == "completed"
    assert (Account.objects.count(), Attempt.objects.get().number) == (1, 1)
