"""A host that was left alone is probed by one run at a time, and gets its requests back little by little."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.utils import timezone

from executions.circuits import releasing
from executions.circuits.models import Circuit
from executions.models import Run, StepRun
from executions.sweeper import sweep
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.failing_hosts import (
    BUSY,
    FINE,
    Host,
    a_second_later,
    an_open_circuit,
    held_steps,
    runs_that_call,
    state_of,
    work,
)
from tests.servers import http

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


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


def test_of_eight_sweeps_at_once_one_releases_the_probe(host: Host, bellboy: Bellboy) -> None:
    an_open_circuit(host, bellboy)
    sql.rows(
        "UPDATE executions_circuit SET retry_at = clock_timestamp(), turned_at = turned_at - interval '5 s'",
        {},
    )

    found = race(*[lambda: releasing.turn(host.site)] * 8)

    assert sorted(found) == [0] * 7 + [1]
    assert held_steps(host) == 11


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
