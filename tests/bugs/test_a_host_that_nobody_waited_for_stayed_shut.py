"""What follows a redirect, or carries a notice, is refused while a circuit is open and never held: there was nobody to probe the
host with, and the circuit stood half open, refusing everything, for ten minutes after the last failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from executions import egress
from executions.circuits import rows
from executions.models import StepRun
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.failing_hosts import (
    FINE,
    Host,
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


def asked(host: Host) -> int:
    return egress.request(method="POST", url=f"{host.site}/", timeout_seconds=5).status_code


def test_given_a_host_that_only_notices_go_to_when_it_recovers_then_they_reach_it(bellboy: Bellboy) -> None:
    with a_host() as host:
        assert {asked(host) for _ in range(4)} == {503}
        rows.tell(egress.current_breaker())
        assert state_of(host) == "open"
        with pytest.raises(TransientStepError) as refused:
            asked(host)
        assert refused.value.code == "http.circuit_open"
        host.answer = FINE

        a_second_later(seconds=6)
        runs_that_call(host, 1)
        work(bellboy)  # whose claim tells this process

        assert (state_of(host), asked(host)) == ("closed", 200)


def test_given_steps_that_are_all_in_somebodys_hands_then_the_circuit_stays_and_a_probe_goes_a_second_later(
    bellboy: Bellboy,
) -> None:
    """A turn that found them locked took them for gone, and closed the circuit of a host that fails."""
    with a_host() as host:
        runs_that_call(host, 6)
        work(bellboy)
        let_backoffs_end()
        work(bellboy)
        assert (state_of(host), held_steps(host)) == ("open", 6)

        with transaction.atomic():
            list(StepRun.objects.select_for_update())
            assert race(lambda: sum(a_second_later(seconds=6))) == [0]
        assert state_of(host) == "half_open"

        assert sum(a_second_later()) == 1
