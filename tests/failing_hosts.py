"""A host that fails and comes back, runs that call it, and the sweep's turns without their seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from executions.circuits import releasing
from executions.circuits.models import Circuit
from executions.egress import breaker as breakers
from executions.egress import current
from executions.egress.breaker import Breaker
from executions.models import StepRun
from executions.sweeper import sweep
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow
from tests.servers import Server, Visit, a_server, http
from tests.staging import a_run

CALLS = 4  # of which so many must fail here
BUSY = http("503 Busy", b"busy")
FINE = http("200 OK", b"ok")


def a_process_that_tells_at_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a fixture: this process knows of no host yet, reaches loopback, and tells what it learns without a pause."""
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    settings.LIGHTFIELD_CIRCUIT_CALLS = CALLS
    monkeypatch.setattr(breakers, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(breakers, "TELL_PROBES_SECONDS", 0.0)
    before = current.use_breaker(Breaker())
    yield
    current.use_breaker(before)


class Host:
    """A server that answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.answer = BUSY
        self.server: Server

    @property
    def site(self) -> str:
        return self.server.url

    @property
    def requests(self) -> int:
        return len(self.server.requests)

    def script(self, visit: Visit) -> None:
        while visit.receive() is not None:
            visit.send(self.answer)


@contextlib.contextmanager
def a_host() -> Iterator[Host]:
    host = Host()
    with a_server(host.script) as server:
        host.server = server
        yield host


def calling(host: Host, key: str = "call", **config: Any) -> dict[str, Any]:
    """A backoff of it is over when a test says so (`let_backoffs_end`), however long the machine takes till then."""
    return {
        "key": key,
        "type": "http_request",
        "config": {"method": "POST", "url": host.site + "/hook", **config},
        "retry": {"base_seconds": 600, "cap_seconds": 600},
    }


def runs_that_call(host: Host, number: int, workflow: Any = None, **settings: Any) -> Any:
    """So many runs whose only step calls the host; their workflow."""
    workflow = workflow or a_published_workflow(steps=[calling(host)], **settings)
    for _ in range(number):
        a_run(workflow=workflow)
    return workflow


def work(bellboy: Bellboy) -> None:
    """Admit and do all that is due, and what follows from it."""
    from executions import admission

    admission.admit("http")
    bellboy.answer_all()


def let_backoffs_end() -> None:
    sql.rows(
        "UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting' AND held_host IS NULL",
        {},
    )


def a_second_later(*, seconds: float = 1.0) -> list[int]:
    """Let so much time pass for the circuits, and let the sweep take their turns. How many each one released."""
    sql.rows(
        "UPDATE executions_circuit SET turned_at = clock_timestamp() - make_interval(secs => %(seconds)s::float8), "
        "retry_at = retry_at - make_interval(secs => %(seconds)s::float8), "
        "heard_at = heard_at - make_interval(secs => %(seconds)s::float8)",
        {"seconds": seconds},
    )
    return releasing.take_turns(sweep().troubled_hosts)


def state_of(host: Host) -> str | None:
    return Circuit.objects.filter(host=host.site).values_list("state", flat=True).first()


def held_steps(host: Host) -> int:
    return StepRun.objects.filter(status="waiting", held_host=host.site).count()


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
