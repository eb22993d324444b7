"""A step that ended the thread that ran it (SystemExit) let go of what its neighbours held while they were at it.

Their leases were no longer kept; and since the crowd did not know them any more, the answers that they had waited for
were taken for errors, thrown away and asked for again.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from executions import worker
from executions.crowd import crowd
from executions.leases import keeper
from executions.models import Attempt, StepRun
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow
from tests.scripted import ScriptedSlow
from tests.staging import a_queued_step, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def is_idle() -> bool:
    return (crowd._present, crowd._singles_coming, crowd._runs, keeper._held) == (0, 0, {}, {})


def test_given_a_step_that_exits_when_others_send_beside_it_then_they_are_not_let_go(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    workflow = a_published_workflow(steps=[slow()])
    steps = sorted(
        (a_queued_step(workflow=workflow, payload={"n": n}) for n in range(3)), key=lambda s: s.run_id
    )
    first = StepRun.objects.get(pk=steps[0].pk)
    sending, has_left = threading.Event(), threading.Event()

    def script(request: Any, context: Any) -> dict[str, Any]:
        if context.run_id == str(first.run_id):
            assert sending.wait(10)
            has_left.set()
            raise SystemExit(1)
        sending.set()
        assert has_left.wait(10)
        threading.Event().wait(0.3)  # for as long as the worker would take to let go
        return {"status_code": 200}

    slow_step.script = script
    with pytest.raises(SystemExit):
        worker.execute([step.pk for step in steps])

    outcomes = Attempt.objects.exclude(step_run_id=first.pk).values_list("outcome", "error_code")
    assert list(outcomes) == [("ok", None)] * 2
    assert is_idle()


def test_given_a_step_that_cannot_be_kept_then_nobody_is_left_in_the_crowd(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that cannot be started, for one: the keeper's own."""
    workflow = a_published_workflow(steps=[slow()])
    steps = [a_queued_step(workflow=workflow, payload={"n": n}) for n in range(3)]
    hold, calls = keeper.hold, []

    def fail(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise RuntimeError("can't start new thread")
        return hold(*args, **more)

    monkeypatch.setattr(keeper, "hold", fail)
    with pytest.raises(RuntimeError):
        worker.execute([step.pk for step in steps])

    assert is_idle()


def test_given_no_thread_for_a_step_then_nobody_is_left_in_the_crowd(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = a_published_workflow(steps=[slow()])
    steps = [a_queued_step(workflow=workflow, payload={"n": n}) for n in range(4)]
    pool = worker._pool()
    submit, calls = pool.submit, []
    sending, is_refused = threading.Event(), threading.Event()

    def fail(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            assert sending.wait(10)
            is_refused.set()
            raise RuntimeError("can't start new thread")
        return submit(*args, **more)

    def script(request: Any, context: Any) -> dict[str, Any]:
        sending.set()
        assert is_refused.wait(10)
        threading.Event().wait(0.3)
        return {"status_code": 200}

    slow_step.script = script
    monkeypatch.setattr(pool, "submit", fail)
    with pytest.raises(RuntimeError):
        worker.execute([step.pk for step in steps])

    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"ok", None}
    assert is_idle()
