"""Leave to send was asked before the name was looked up and the connection made: a worker that was stopped in
between sent its request when it woke, under a lease that had long been over. `bin/chaos` found nine at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from executions import worker
from executions.egress import current
from executions.egress.wires import Connector, Wire
from executions.leases import keeper
from executions.models import Attempt, Effect, StepRun
from tests.bellboy import Bellboy
from tests.servers import Server, a_server, answering, http
from tests.staging import a_queued_step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Server]:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    with a_server(answering(http())) as server:
        yield server
    current.close()


def call(url: str) -> dict[str, Any]:
    return {"key": "call", "type": "http_request", "config": {"method": "POST", "url": url}}


def test_given_a_lease_that_ended_while_the_worker_connected_then_nothing_is_sent(
    bellboy: Bellboy, receiver: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = a_queued_step(call(receiver.url))
    connect, made = Connector.connect, list[Wire]()

    def connect_and_sleep_through_the_lease(self: Connector, *args: Any) -> Wire:
        wire = connect(self, *args)
        made.append(wire)
        keeper._held[step.pk].lease_until = 0.0  # by this process's own clock
        return wire

    monkeypatch.setattr(Connector, "connect", connect_and_sleep_through_the_lease)

    worker.execute([step.pk])

    assert len(made) == 1  # the receiver's own count comes from a thread that may be late
    assert receiver.requests == []
    assert (
        StepRun.objects.get().status == "running"
    )  # its lease runs out in the database too; a cell takes it
    assert Attempt.objects.get().outcome is None
    assert Effect.objects.get().status == "intent"


def test_given_a_kept_connection_and_a_lease_that_is_over_then_nothing_is_sent_on_it_either(
    bellboy: Bellboy, receiver: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.execute([a_queued_step(call(receiver.url)).pk])
    step = a_queued_step(call(receiver.url))
    write = Wire.write

    def stopped_before_writing(self: Wire, *args: Any) -> None:
        keeper._held[step.pk].lease_until = 0.0
        write(self, *args)

    monkeypatch.setattr(Wire, "write", stopped_before_writing)

    worker.execute([step.pk])

    assert receiver.connections == 1
    assert len(receiver.requests) == 1
    step.refresh_from_db()
    assert step.status == "running"


def test_given_a_lease_with_time_left_then_the_request_leaves(bellboy: Bellboy, receiver: Server) -> None:
    step = a_queued_step(call(receiver.url))

    worker.execute([step.pk])

    assert len(receiver.requests) == 1
    step.refresh_from_db()
    assert step.status == "completed"
