"""Whoever dies or sleeps while a host fails: nothing is stuck, and nothing is told of a host that has recovered."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from executions import egress
from executions.circuits import releasing, rows
from executions.circuits.models import Circuit
from executions.leases import keeper
from executions.models import Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.failing_hosts import (
    FINE,
    Host,
    a_second_later,
    an_open_circuit,
    another_process,
    held_steps,
    let_backoffs_end,
    runs_that_call,
    work,
)
from tests.staging import answer_with_cells_here, broken_promises, let_time_pass

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


class Died(BaseException):
    """The process is gone."""


def mortal(number: int) -> Callable[[str, Any], Any]:
    """`sql.rows` of a process that does so many statements and one more, and hears no answer to that."""
    begun, statements = 0, sql.rows

    def rows_until_death(statement: str, params: Any) -> Any:
        nonlocal begun
        found = statements(statement, params)
        begun += 1
        if begun > number:
            raise Died
        return found

    return rows_until_death


@pytest.mark.parametrize("number", range(5))
def test_given_a_sweep_that_dies_in_its_turn_then_the_next_one_does_it_anew(
    host: Host, bellboy: Bellboy, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_open_circuit(host, bellboy)
    sql.rows(
        "UPDATE executions_circuit SET retry_at = clock_timestamp(), turned_at = turned_at - interval '5 s'",
        {},
    )
    with monkeypatch.context() as patched:
        patched.setattr(sql, "rows", mortal(number))
        with pytest.raises(Died) if number < 4 else contextlib.nullcontext():
            releasing.turn(host.site)

    assert held_steps(host) == (12 if number < 4 else 11)
    a_second_later()
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


@pytest.mark.parametrize("number", range(6))
def test_given_a_worker_that_dies_anywhere_while_it_puts_a_step_back_then_the_run_completes_all_the_same(
    host: Host, bellboy: Bellboy, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = an_open_circuit(host, bellboy, runs=6)
    runs_that_call(host, 1, workflow)
    with monkeypatch.context() as patched, contextlib.suppress(Died):
        patched.setattr(sql, "rows", mortal(number))
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
