"""A host that fails for many runs is left alone by all processes, and nothing is used up by it."""

from __future__ import annotations

from typing import Any

import pytest

from executions import egress, services
from executions.circuits import rows
from executions.circuits.models import Circuit
from executions.egress import breaker as breakers
from executions.models import Attempt, Run, StepRun
from executions.sweeper import sweep
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.factories import BY
from tests.failing_hosts import (
    BUSY,
    CALLS,
    FINE,
    Host,
    a_host,
    a_second_later,
    an_open_circuit,
    another_process,
    calling,
    held_steps,
    let_backoffs_end,
    runs_that_call,
    state_of,
    work,
)
from tests.plans import recorded
from tests.staging import a_run, live, long_ago, slow, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_given_a_host_that_fails_when_many_runs_call_it_then_few_requests_leave_and_the_others_wait(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy, runs=40)

    # Up to eight went side by side before any of them had been answered
    assert CALLS <= host.requests <= CALLS + 8
    assert set(StepRun.objects.values_list("status", "error_code")) == {("waiting", "http.circuit_open")}
    # And what was not sent uses up no attempt
    for step in StepRun.objects.all():
        outcomes = [attempt.outcome for attempt in step.tries.all()]
        assert step.held == outcomes.count("held") == 1
        assert step.attempts - step.held == outcomes.count("refused") <= 1


def test_given_many_put_backs_then_a_step_has_all_its_attempts_left(host: Host, bellboy: Bellboy) -> None:
    """A host that goes on and off: its steps are released, and find it failing again."""
    an_open_circuit(host, bellboy)
    step = StepRun.objects.filter(attempts=1)[0]
    for _ in range(6):
        sql.rows(
            "UPDATE executions_steprun SET held_host = NULL, due_at = clock_timestamp() WHERE id = %(id)s::bigint",
            {"id": step.pk},
        )
        work(bellboy)
    step.refresh_from_db()
    assert (step.status, step.attempts, step.held, step.max_attempts) == ("waiting", 7, 7, 5)

    host.answer = BUSY
    Circuit.objects.all().delete()
    another_process()
    sql.rows("UPDATE executions_steprun SET held_host = NULL, due_at = clock_timestamp()", {})
    work(bellboy)

    step.refresh_from_db()
    assert (step.status, step.tries.filter(outcome="refused").count() <= 1) == ("waiting", True)


def test_a_held_step_says_why_it_waits(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    step = StepRun.objects.filter(attempts=1)[0]

    assert step.error
    assert step.error["code"] == "http.circuit_open"
    assert step.error["retryable"] is True
    assert step.error["metadata"]["circuit"] == host.site
    assert told(step.run) == ["run.created", "run.started", "step.started", "step.waiting"]
    entry = step.run.timeline.get(type="step.waiting")
    assert (entry.metadata["error_code"], entry.metadata["url_host"]) == ("http.circuit_open", "127.0.0.1")


def test_given_held_steps_then_no_admission_and_no_window_knows_of_them(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() - interval '1 hour'", {})
    bellboy.rung.clear()

    assert sweep().lanes == []
    work(bellboy)

    assert bellboy.rung == []


def test_given_one_host_that_fails_then_runs_that_call_another_one_go_through(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    with a_host() as other:
        other.answer = FINE
        runs_that_call(other, 10)
        work(bellboy)
        assert (other.requests, state_of(other)) == (10, None)
    assert Run.objects.filter(status="completed").count() == 10


def test_given_a_process_that_has_seen_nothing_then_it_learns_of_the_circuit_with_its_claim(
    host: Host, bellboy: Bellboy
) -> None:
    workflow = an_open_circuit(host, bellboy)
    sent = host.requests
    another_process()
    runs_that_call(host, 8, workflow)

    work(bellboy)

    assert (host.requests, held_steps(host)) == (sent, 20)


def test_given_several_processes_that_see_a_few_failures_each_then_together_they_open_the_circuit(
    host: Host, bellboy: Bellboy
) -> None:
    workflow = runs_that_call(host, 0)
    for _ in range(CALLS):
        another_process()
        runs_that_call(host, 1, workflow)
        work(bellboy)

    assert (host.requests, state_of(host)) == (CALLS, "open")


def test_given_a_host_that_fails_now_and_then_then_its_circuit_stays_closed_and_is_forgotten(
    host: Host, bellboy: Bellboy
) -> None:
    workflow = runs_that_call(host, 0)
    for answer in [FINE, FINE, BUSY] * 5:
        host.answer = answer
        runs_that_call(host, 1, workflow)
        work(bellboy)

    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.calls >= 15, circuit.failures >= 5) == ("closed", True, True)
    assert circuit.failures * 2 < circuit.calls
    a_second_later(seconds=61)
    assert Circuit.objects.count() == 0


def test_healthy_hosts_leave_no_row(host: Host, bellboy: Bellboy) -> None:
    host.answer = FINE
    runs_that_call(host, 30)
    work(bellboy)
    assert (Circuit.objects.count(), Run.objects.filter(status="completed").count()) == (0, 30)


def test_a_cancelled_run_waits_for_nobody(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    for run in Run.objects.all():
        services.cancel_run(run_id=run.pk, by=BY)
    assert held_steps(host) == 0
    assert sum(a_second_later(seconds=6)) == 0


def test_given_a_step_that_has_waited_for_as_long_as_it_may_then_its_run_fails_and_says_why(
    host: Host, bellboy: Bellboy, settings: Any
) -> None:
    an_open_circuit(host, bellboy)
    sent = host.requests
    seconds = settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS + 1
    sql.rows(
        "UPDATE executions_steprun SET due_at = due_at - make_interval(secs => %(seconds)s::float8)",
        {"seconds": seconds},
    )
    long_ago(seconds)

    a_second_later()
    work(bellboy)

    assert set(Run.objects.values_list("status", "error_code")) == {("failed", "http.circuit_open")}
    assert host.requests == sent
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"refused", "held"}


def test_given_steps_of_several_lanes_and_types_then_only_those_that_call_the_host_wait(
    host: Host, bellboy: Bellboy, slow_step: Any
) -> None:
    an_open_circuit(host, bellboy)
    run = a_run(slow("one"), calling(host, "two"))

    work(bellboy)

    assert (live(run).key, live(run).held_host) == ("two", host.site)


def test_given_retries_beyond_their_share_then_they_wait_for_their_place_and_use_up_nothing(
    host: Host, bellboy: Bellboy, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a budget of ten retries, to which time adds next to nothing, and a circuit that never opens
    settings.LIGHTFIELD_CIRCUIT_CALLS = 0
    monkeypatch.setattr(breakers, "BURST_SECONDS", 10_000)
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 0.001, 0.0
    runs_that_call(host, 30)
    work(bellboy)
    assert host.requests == 30

    # When thirty want to try again
    let_backoffs_end()
    work(bellboy)

    # Then ten do; the others wait
    assert host.requests == 40
    waiting = StepRun.objects.filter(error_code="http.retry_budget")
    assert waiting.count() == 20
    assert {(step.attempts, step.held, step.held_host) for step in waiting} == {(2, 1, None)}
    # And when their time has come they go, and are not asked again
    host.answer = FINE
    sent, waited = host.requests, waiting.count()
    let_backoffs_end()
    work(bellboy)
    assert host.requests == sent + waited
    let_backoffs_end()
    work(bellboy)
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert StepRun.objects.filter(held__gt=1).count() == 0


def test_a_healthy_request_tells_nothing(
    host: Host, bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answer = FINE
    with recorded(monkeypatch) as asked:
        runs_that_call(host, 3)
        work(bellboy)
    assert not [statement for statement in asked if statement == rows.TELL]
    assert egress.current_breaker().take_reports() == []


def test_given_a_run_that_goes_on_to_a_host_that_fails_then_its_next_step_waits_and_was_not_sent(
    host: Host, bellboy: Bellboy, slow_step: Any
) -> None:
    """The worker continues with it: its intent was committed along with the outcome of the step before."""
    an_open_circuit(host, bellboy)
    sent = host.requests
    run = a_run(slow("one"), calling(host, "two"))
    work(bellboy)
    second = run.steps.get(key="two")
    assert (second.status, second.held, second.attempts, host.requests) == ("waiting", 1, 1, sent)
    effect = second.effects.get()
    assert effect.status == "intent"

    services.cancel_run(run_id=run.pk, by=BY)

    effect.refresh_from_db()
    assert effect.status == "abandoned"  # it is known that nothing was sent
