"""A host that fails for many runs is left alone, and gets its requests back little by little. Nothing is used up by it."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions import egress, services
from executions.circuits import releasing, rows
from executions.circuits.models import Circuit
from executions.egress import breaker as breakers
from executions.egress import current
from executions.egress.breaker import Breaker
from executions.leases import keeper
from executions.models import Attempt, Run, StepRun
from executions.sweeper import sweep
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY
from tests.failing_hosts import (
    BUSY,
    CALLS,
    FINE,
    Host,
    a_host,
    a_process_that_tells_at_once,
    a_second_later,
    calling,
    held_steps,
    let_backoffs_end,
    runs_that_call,
    state_of,
    work,
)
from tests.plans import recorded
from tests.servers import http
from tests.staging import (
    a_run,
    answer_with_cells_here,
    broken_promises,
    let_time_pass,
    live,
    long_ago,
    slow,
    told,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.fixture(autouse=True)
def a_process(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from a_process_that_tells_at_once(settings, monkeypatch)


@pytest.fixture
def host() -> Iterator[Host]:
    with a_host() as found:
        yield found


def another_process() -> None:
    """Go on as a process that has seen nothing yet."""
    current.use_breaker(Breaker())


def an_open_circuit(host: Host, bellboy: Bellboy, *, runs: int = 12) -> Any:
    """The host has failed for some of these runs, and all of them wait for it now."""
    workflow = runs_that_call(host, runs)
    work(bellboy)
    let_backoffs_end()
    work(bellboy)
    assert (state_of(host), held_steps(host)) == ("open", runs)
    return workflow


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


def test_given_an_open_circuit_when_its_time_is_over_then_one_run_probes_the_host(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    sent = host.requests

    assert sum(a_second_later()) == 0
    assert sum(a_second_later(seconds=5)) == 1
    work(bellboy)

    assert (host.requests, state_of(host), held_steps(host)) == (sent + 1, "half_open", 11)
    # It fails: the next one goes after twice the time
    assert sum(a_second_later()) == 0
    assert state_of(host) == "open"
    assert sum(a_second_later(seconds=8)) == 0
    assert sum(a_second_later(seconds=3)) == 1


def test_the_probe_is_one_that_has_most_attempts_left(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    fresh = set(StepRun.objects.filter(attempts=1).values_list("pk", flat=True))
    assert 0 < len(fresh) < 12

    a_second_later(seconds=6)

    assert StepRun.objects.get(held_host=None).pk in fresh


def test_given_a_host_that_comes_back_then_its_runs_are_released_at_an_even_rise_and_all_complete(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy, runs=40)
    host.answer = FINE
    sent = [host.requests]
    for _ in range(12):
        a_second_later(seconds=1 if len(sent) > 1 else 6)
        work(bellboy)
        sent.append(host.requests)

    released = [after - before for before, after in itertools.pairwise(sent)]
    numbers = [number for number in released if number]
    assert sum(numbers) == 40
    # A turn that comes late by a part of a second makes up for that part
    assert all(abs(seen - due) <= 3 for seen, due in zip(numbers, [1, 5, 10, 15, 9], strict=True))
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert state_of(host) == "closed"  # and remembered for a minute
    # And nobody is held back any more
    runs_that_call(host, 5)
    work(bellboy)
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_given_a_host_that_fails_again_while_it_is_given_its_requests_back_then_that_ends_at_once(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy, runs=40)
    host.answer = FINE
    a_second_later(seconds=6)
    work(bellboy)
    host.answer = BUSY
    a_second_later()
    work(bellboy)

    assert sum(a_second_later()) == 0
    assert state_of(host) == "open"
    assert Run.objects.filter(status="completed").count() == 1


def test_given_a_sweep_that_comes_late_then_it_releases_no_more_than_two_seconds_are_worth(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy, runs=40)
    host.answer = FINE
    a_second_later(seconds=6)
    work(bellboy)

    (released,) = a_second_later(seconds=60)

    assert released == 20


def test_given_runs_that_come_while_others_wait_for_the_host_then_they_wait_behind_them(
    host: Host, bellboy: Bellboy
) -> None:
    workflow = an_open_circuit(host, bellboy)
    host.answer = FINE
    a_second_later(seconds=6)
    work(bellboy)
    sent = host.requests
    runs_that_call(host, 5, workflow)

    work(bellboy)

    assert (state_of(host), host.requests, held_steps(host)) == ("half_open", sent, 11 + 5)


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


def test_given_many_hosts_that_failed_then_a_sweep_looks_at_those_whose_turn_it_is(bellboy: Bellboy) -> None:
    now = timezone.now()
    shut = {"state": "open", "code": "http.timeout", "opened_at": now}
    for number in range(300):
        Circuit.objects.create(host=f"https://{number}.closed.example", state="closed", code="http.timeout")
        Circuit.objects.create(
            host=f"https://{number}.open.example", retry_at=now + timedelta(hours=1), **shut
        )
    assert sweep().troubled_hosts == []

    Circuit.objects.filter(state="closed").update(heard_at=now - timedelta(minutes=2))
    Circuit.objects.filter(state="open").update(retry_at=now, turned_at=now - timedelta(minutes=1))

    due = sweep().troubled_hosts
    assert (len(due), due[0]) == (200, "")
    releasing.take_turns(due[:10])
    # Those that were watched are forgotten; nine that were to be probed and for which nobody waits are closed
    states = sorted(Circuit.objects.exclude(state="open").values_list("state", flat=True))
    assert states == ["closed"] * 9


def test_healthy_hosts_leave_no_row(host: Host, bellboy: Bellboy) -> None:
    host.answer = FINE
    runs_that_call(host, 30)
    work(bellboy)
    assert (Circuit.objects.count(), Run.objects.filter(status="completed").count()) == (0, 30)


def test_given_a_circuit_that_was_closed_meanwhile_then_what_was_put_back_last_is_released_all_the_same(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    Circuit.objects.all().delete()
    host.answer = FINE
    for _ in range(6):
        a_second_later()
        work(bellboy)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_given_a_circuit_that_is_only_watched_then_what_waits_for_its_host_is_released(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    Circuit.objects.update(state="closed")
    host.answer = FINE
    for _ in range(4):
        a_second_later()
        work(bellboy)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


@pytest.mark.parametrize("number", range(5))
def test_given_a_sweep_that_dies_in_its_turn_then_the_next_one_does_it_anew(
    host: Host, bellboy: Bellboy, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_open_circuit(host, bellboy)
    sql.rows(
        "UPDATE executions_circuit SET retry_at = clock_timestamp(), turned_at = turned_at - interval '5 s'",
        {},
    )
    begun, statements = 0, sql.rows

    def mortal(statement: str, params: Any) -> Any:
        nonlocal begun
        found = statements(statement, params)
        begun += 1
        if begun > number:
            raise SystemExit
        return found

    with monkeypatch.context() as patched:
        patched.setattr(sql, "rows", mortal)
        with pytest.raises(SystemExit) if number < 4 else contextlib.nullcontext():
            releasing.turn(host.site)

    assert held_steps(host) == (12 if number < 4 else 11)
    a_second_later()
    assert held_steps(host) == 11


def test_of_eight_sweeps_at_once_one_releases_the_probe(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    sql.rows(
        "UPDATE executions_circuit SET retry_at = clock_timestamp(), turned_at = turned_at - interval '5 s'",
        {},
    )

    found = race(*[lambda: releasing.turn(host.site)] * 8)

    assert sorted(found) == [0] * 7 + [1]
    assert held_steps(host) == 11


def test_given_a_worker_that_dies_before_it_tells_then_nothing_is_stuck(
    host: Host, bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_that_call(host, 12)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "tell", lambda breaker: None)
        work(bellboy)
        let_backoffs_end()
        work(bellboy)
    assert (Circuit.objects.count(), held_steps(host)) == (0, 12)
    another_process()
    host.answer = FINE
    for _ in range(4):
        a_second_later()
        work(bellboy)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_given_a_probe_whose_worker_is_gone_then_another_one_goes_after_the_time_of_a_probe(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    assert sum(a_second_later(seconds=6)) == 1
    bellboy.lose_all()

    assert sum(a_second_later()) == 0
    assert sum(a_second_later(seconds=5)) == 1


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


def test_a_wish_to_be_left_alone_holds_for_all_runs(host: Host, bellboy: Bellboy) -> None:
    host.answer = http("429 Slow down", retry_after="120")
    an_open_circuit(host, bellboy)

    assert sum(a_second_later(seconds=100)) == 0
    assert sum(a_second_later(seconds=30)) == 1


def test_given_a_wish_in_the_answer_to_a_probe_then_the_next_one_goes_no_sooner(
    host: Host, bellboy: Bellboy
) -> None:
    an_open_circuit(host, bellboy)
    host.answer = http("503 Busy", retry_after="300")
    a_second_later(seconds=6)
    work(bellboy)

    assert sum(a_second_later()) == 0
    assert sum(a_second_later(seconds=250)) == 0
    assert sum(a_second_later(seconds=60)) == 1


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


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("number", range(6))
def test_given_a_worker_that_dies_anywhere_while_it_puts_a_step_back_then_the_run_completes_all_the_same(
    host: Host, bellboy: Bellboy, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = an_open_circuit(host, bellboy, runs=6)
    runs_that_call(host, 1, workflow)
    begun, statements = 0, sql.rows

    def mortal(statement: str, params: Any) -> Any:
        nonlocal begun
        found = statements(statement, params)
        begun += 1
        if begun > number:
            raise Died
        return found

    with monkeypatch.context() as patched, contextlib.suppress(Died):
        patched.setattr(sql, "rows", mortal)
        bellboy.waiting.clear()
        work(bellboy)
    keeper._held.clear()  # its leases end with it
    assert broken_promises() == {}

    host.answer = FINE
    for _ in range(8):
        let_time_pass()
        a_second_later(seconds=10)
        answer_with_cells_here(bellboy)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert StepRun.objects.filter(attempts__gt=0, status="completed").count() == 7


def test_given_a_worker_that_was_stopped_while_its_host_recovered_then_it_neither_sends_nor_tells(
    host: Host, bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_that_call(host, 12)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "tell", lambda breaker: None)
        work(bellboy)
    zombie = egress.current_breaker()
    now = time.monotonic()
    monkeypatch.setattr("executions.egress.breaker.time.monotonic", lambda: now + 60)

    rows.tell(zombie)

    assert Circuit.objects.count() == 0
