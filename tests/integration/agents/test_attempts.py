"""An agent that is stopped, put back, tried again or replayed: it goes on where it was, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from crm.models import Account
from executions import admission, egress, services, worker
from executions.agents.models import AgentTurn
from executions.agents.values import Question, Reply
from executions.ending import end_run
from executions.models import Attempt, Effect, Run, StepRun
from executions.states import RunStatus
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.agents import (
    Model,
    ReadTool,
    SendTool,
    an_agent,
    asked_of,
    calls,
    play,
    played,
    says,
)
from tests.factories import BY
from tests.staging import a_run, live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def cancel(run: Run) -> None:
    services.cancel_run(run_id=run.pk, by=BY)


def expire(run: Run) -> None:
    sql.rows("UPDATE executions_run SET deadline_at = created_at", {})
    end_run(str(run.pk), status=RunStatus.FAILED, metadata={})


@pytest.mark.parametrize(("stop", "status"), [(cancel, "cancelled"), (expire, "failed")])
@pytest.mark.parametrize("where", ["model", "test_read", "test_send"])
def test_given_a_run_that_ends_in_the_middle_then_no_turn_and_no_call_follows(
    stop: Callable[[Run], None], status: str, where: str
) -> None:
    run = a_run(an_agent())

    def end_it(*_: Any) -> Any:
        stop(run)
        return calls(("test_write", {"name": "late"})) if where == "model" else {}

    ReadTool.script = SendTool.script = end_it
    wanted = calls((where, {}), ("test_write", {"name": "late"}), ("test_send", {}))
    model = Model(end_it if where == "model" else wanted, says("Done."))
    with asked_of(model):
        step = play(run)

    assert step.status == status
    assert model.turns == [1]
    assert Account.objects.count() == 0
    assert len(ReadTool.called) + len(SendTool.called) == (where != "model")
    assert Effect.objects.get().status == "intent"  # the sweep decides it once its lease is over


def test_given_a_transient_error_after_some_turns_then_the_next_attempt_goes_on_there() -> None:
    answers: list[Any] = [calls(("test_write", {"name": f"n{n}"})) for n in range(4)]
    model = Model(*answers, TransientStepError("ai.overloaded", sent=True, answered=True))
    with asked_of(model):
        run = a_run(an_agent())
        step = play(run)
        assert (step.status, step.error_code) == ("waiting", "ai.overloaded")
        model.answers[4] = says("Done.")
        step = play(run)

    assert step.status == "completed"
    assert model.turns == [1, 2, 3, 4, 5, 5]
    assert [question.is_retry for question in model.asked] == [False] * 5 + [True]
    assert model.asked[4].exchanges == model.asked[5].exchanges
    assert model.asked[4].key == model.asked[5].key
    assert Account.objects.count() == 4
    assert step.output["usage"]["turns"] == 5
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["refused", "ok"]


def circuit_open(host: str = "http://model.test:80") -> TransientStepError:
    return TransientStepError(egress.breaker.CIRCUIT_OPEN, circuit=host)


@pytest.mark.parametrize("where", ["model", "tool"])
def test_given_a_host_that_fails_in_the_middle_then_the_agent_waits_for_it_and_nothing_is_repeated(
    where: str,
) -> None:
    opened = [True, True]

    def send(asked: Any, context: Any) -> Any:
        if where == "tool" and opened:
            opened.pop()
            raise circuit_open()
        return {"held_for": context.held_for}

    def answer(question: Question) -> Reply:
        if where == "model" and opened:
            opened.pop()
            raise circuit_open()
        return calls(("test_read", {}), ("test_send", {"n": 1}))

    SendTool.script = send
    model = Model(calls(("test_write", {"name": "Acme"})), answer, says("Done."))
    run = a_run(an_agent())
    with asked_of(model):
        for held in (1, 2):
            step = play(run)
            assert (step.status, step.held, step.attempts) == ("waiting", held, held)
            assert step.held_host == "http://model.test:80"
            sql.rows("UPDATE executions_steprun SET held_host = NULL", {})
        step = play(run)

    assert step.status == "completed"
    assert Account.objects.count() == 1
    assert (step.attempts, step.held, step.lost) == (3, 2, 0)
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["held", "held", "ok"]
    assert Effect.objects.get().status == "done"
    if where == "model":
        assert model.turns == [1, 2, 2, 2, 3]
        assert [q.held_for for q in model.asked] == [
            None,
            None,
            "http.circuit_open",
            "http.circuit_open",
            None,
        ]
        assert not any(question.is_retry for question in model.asked)
    else:
        assert model.turns == [1, 2, 3]
        assert [context.held_for for _, context in SendTool.called] == [
            None,
            "http.circuit_open",
            "http.circuit_open",
        ]
        assert len({context.key for _, context in SendTool.called}) == 1
        assert len(ReadTool.called) == 1


def test_given_a_host_that_is_waited_for_in_vain_then_the_effect_of_an_agent_that_has_acted_is_not_abandoned(
    settings: Any,
) -> None:
    settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS = 0
    step = played(calls(("test_write", {"name": "Acme"})), circuit_open())

    assert (step.status, step.error_code) == ("failed", "http.circuit_open")
    assert Effect.objects.get().status == "unknown"


def test_given_a_step_that_fails_for_good_then_its_turns_stay_and_tell_what_it_cost() -> None:
    step = played(
        calls(("test_write", {"name": "Acme"})),
        PermanentStepError("ai.unauthorized", sent=True, answered=True),
        price={"input": 1, "output": 1},
    )

    assert (step.status, step.error_code) == ("failed", "ai.unauthorized")
    turn, call = AgentTurn.objects.order_by("number")
    assert (turn.input_tokens, float(turn.cost or 0)) == (10, 0.00002)
    assert call.finished_at is not None


def test_the_time_of_earlier_attempts_counts() -> None:
    model = Model(calls(("test_read", {})), TransientStepError("ai.overloaded"))
    with asked_of(model):
        run = a_run(an_agent())
        play(run)
        sql.rows("UPDATE executions_agentturn SET started_at = started_at - interval '2 minutes'", {})
        step = play(run)

    assert (step.status, step.error_code) == ("failed", "ai.limit_seconds")
    assert model.turns == [1, 2]


def test_a_journal_that_does_not_fit_what_the_code_makes_of_it_ends_the_step() -> None:
    model = Model(calls(("test_read", {})), TransientStepError("ai.overloaded"))
    with asked_of(model):
        run = a_run(an_agent())
        play(run)
        sql.rows("UPDATE executions_agentturn SET kind = 'model' WHERE number = 2", {})
        step = play(run)

    assert (step.status, step.error_code) == ("failed", "step.unexpected")
    assert len(ReadTool.called) == 1


def sends(*numbers: int) -> Reply:
    return calls(*[("test_send", {"n": n}) for n in numbers])


def test_given_a_replay_then_the_agent_begins_anew_and_what_it_sends_again_has_the_key_that_it_had() -> None:
    """Whatever its receiver knows by that key, it does not do again; and under no key goes anything else than before."""
    run = a_run(an_agent())
    with asked_of(Model(sends(1, 2, 2), circuit_open())):
        failed_for_want_of_its_host(run)
    again = services.replay_run(run_id=run.pk, by=BY)
    with asked_of(Model(sends(2, 3), sends(1), circuit_open())):
        failed_for_want_of_its_host(again)
    third = services.replay_run(run_id=again.pk, by=BY)
    model = Model(sends(3, 2, 2, 2, 4), says("Done."))
    with asked_of(model):
        step = play(third)

    assert step.status == "completed"
    assert model.turns == [1, 2]
    assert model.asked[0].key == f"{third.pk}:agent:turn_1"
    keys = [(asked["frozen"]["n"], context.key) for asked, context in SendTool.called]
    first, second, last = keys[:3], keys[3:6], keys[6:]
    assert second == [first[1], (3, f"{again.pk}:agent:call_2"), first[0]]
    assert last == [
        second[1],
        first[1],
        first[2],
        (2, f"{third.pk}:agent:call_4"),
        (4, f"{third.pk}:agent:call_5"),
    ]


def test_a_request_that_was_refused_has_a_new_key_in_a_replay() -> None:
    def refuse(asked: Any, context: Any) -> Any:
        raise PermanentStepError("http.client_error", sent=True, answered=True)

    SendTool.script = refuse
    run = a_run(an_agent())
    with asked_of(Model(sends(1), circuit_open())):
        failed_for_want_of_its_host(run)
    again = services.replay_run(run_id=run.pk, by=BY)
    with asked_of(Model(sends(1), says("Done."))):
        play(again)

    assert [context.key for _, context in SendTool.called] == [
        f"{run.pk}:agent:call_1",
        f"{again.pk}:agent:call_1",
    ]


def failed_for_want_of_its_host(run: Run) -> None:
    with override_settings(LIGHTFIELD_CIRCUIT_HOLD_SECONDS=0):
        assert play(run).status == "failed"
    assert Effect.objects.get(step_run__run=run).status == "unknown"


def all_steps() -> list[str]:
    return list(StepRun.objects.values_list("status", flat=True))


def test_given_a_worker_whose_lease_is_over_then_it_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from executions.leases import Hold

    model = Model(says("no"))
    run = a_run(an_agent())
    admission.admit("ai")
    looks = iter([True, False])
    monkeypatch.setattr(Hold, "may_send", lambda self: next(looks, False))
    with asked_of(model):
        worker.execute([live(run).pk])

    assert model.asked == []
    assert all_steps() == ["running"]
