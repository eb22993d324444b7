"""A worker that had claimed a moment before its host's circuit closed put its step back when the row was gone. The sweep took
that for a new failure: the circuit opened, everybody was held back, and with steady traffic so on without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from executions import egress
from executions.circuits.models import Circuit
from executions.egress import current
from executions.egress.breaker import Breaker
from executions.models import Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.failing_hosts import (
    FINE,
    a_host,
    a_process_that_tells_at_once,
    a_second_later,
    held_steps,
    let_backoffs_end,
    runs_that_call,
    state_of,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.fixture(autouse=True)
def a_process(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from a_process_that_tells_at_once(settings, monkeypatch)


def test_given_a_step_that_is_put_back_after_its_circuit_closed_then_nobody_else_waits(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_host() as host:
        # Given a worker that knows the host as half open
        workflow = runs_that_call(host, 6)
        work(bellboy)
        let_backoffs_end()
        work(bellboy)
        host.answer = FINE
        a_second_later(seconds=6)
        work(bellboy)
        late = egress.current_breaker()
        late.learn({host.site: "half_open"}, asked_at=float("inf"))  # newer than all that it will hear
        # And a host that has recovered meanwhile
        current.use_breaker(Breaker())
        for _ in range(3):
            a_second_later()
            work(bellboy)
        assert set(Run.objects.values_list("status", flat=True)) == {"completed"}

        # When that worker puts a step back
        current.use_breaker(late)
        runs_that_call(host, 1, workflow)
        work(bellboy)
        assert held_steps(host) == 1
        current.use_breaker(Breaker())
        assert sum(a_second_later()) == 1

        # Then whoever else calls the host is not held back, and that one is released at once
        runs_that_call(host, 5, workflow)
        work(bellboy)
        assert (state_of(host), StepRun.objects.filter(status="waiting").count()) == ("closed", 0)
        assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
        # And a minute later nobody knows of it any more
        a_second_later(seconds=61)
        assert Circuit.objects.count() == 0


def test_given_an_operator_who_wants_no_circuits_any_more_then_what_is_held_is_sent(
    bellboy: Bellboy, settings: Any
) -> None:
    """It stayed held for as long as the host failed, probe after probe, though no host was to count as failing."""
    with a_host() as host:
        workflow = runs_that_call(host, 6)
        work(bellboy)
        let_backoffs_end()
        work(bellboy)
        assert (state_of(host), held_steps(host)) == ("open", 6)
        settings.LIGHTFIELD_CIRCUIT_CALLS = 0
        sent = host.requests

        runs_that_call(host, 1, workflow)
        work(bellboy)
        assert host.requests == sent + 1
        a_second_later(seconds=6)
        a_second_later()

        assert held_steps(host) == 0
        sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
        work(bellboy)
        assert host.requests >= sent + 7
