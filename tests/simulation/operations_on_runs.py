"""Operations for twins that make runs and end them: capture, dispatch, replay, cancel."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from executions import dispatcher, ending, services
from executions.states import RunStatus
from tests.simulation.draws import Draws
from tests.simulation.halves import Half
from triggers import outbox

BY = "a tester"


class OperationsOnRuns:
    def __init__(self, draw: Draws) -> None:
        self.draw = draw

    def poison(self) -> None:
        """An event that cannot be dispatched, three times."""
        self.capture("broken")
        for _ in range(3):
            self.dispatch(0)
            self.dispatch(1)

    def capture(self, shape: str = "", *, again: bool = False) -> None:
        """A webhook; now and then the last sender's again, who missed the reply."""
        shape = shape or self.draw.random.choice(self.draw.shapes)
        flow = next(f for f in self.draw.twins.simulated.world.tables.flows.values() if f.name == shape)
        again = again or self.draw.random.random() < 0.1
        key = None if again else self.draw.random.choice((None, "a", "b"))
        body = json.dumps({"n": self.draw.random.choice((1, 9))})
        self.draw.numbers += not again
        event_id = UUID(int=(1 << 100) + self.draw.numbers)

        def captured(half: Half) -> bool | None:
            found = outbox.capture_webhook(
                token_hash=flow.id,
                event_id=event_id,
                body=body,
                body_digest=hashlib.sha256(body.encode()).digest(),
                idempotency_key=key,
                trace_id="f" * 32,
            )
            return found.is_duplicate if isinstance(found, outbox.Captured) else None

        self.draw.twins.both(f"capture {shape} {key} {body}", captured)

    def lead_on(self) -> None:
        """An event that waits was captured from what a run did, at any depth."""
        events = self.draw.twins.simulated.world.tables.events.values()
        waiting = [event.id for event in events if event.status == "pending"]
        run = self.draw.run("running", "completed")
        if run and waiting:
            event_id, depth = self.draw.random.choice(waiting), self.draw.random.choice((1, 8, 9))
            self.draw.twins.both(f"lead {run} {depth}", lambda half: half.lead_on(run, event_id, depth))

    def dispatch(self, shard: int | None = None) -> None:
        shard = self.draw.random.choice((0, 1)) if shard is None else shard
        self.draw.twins.both(f"dispatch {shard}", lambda half: dispatcher.dispatch_batch(shard).taken)

    def archive(self) -> None:
        """A workflow takes no events any more; those that wait are ignored."""
        if self.draw.random.random() > 0.3:
            return
        name = self.draw.random.choice(self.draw.shapes)

        def archived(half: Half) -> None:
            half.archive(name)

        self.draw.twins.both(f"archive {name}", archived)

    def replay(self) -> None:
        if run := self.draw.run("failed", "cancelled"):
            self.draw.twins.both(
                f"replay {run}",
                lambda half: _nothing(services.replay_run(run_id=UUID(half.run_id(run)), by=BY)),
            )

    def cancel(self) -> None:
        if run := self.draw.run("pending", "running", "waiting"):
            self.draw.twins.both(
                f"cancel {run}",
                lambda half: _nothing(services.cancel_run(run_id=UUID(half.run_id(run)), by=BY)),
            )

    def expire(self) -> None:
        if run := self.draw.run("pending", "running", "waiting"):
            self.draw.twins.both(
                f"expire {run}",
                lambda half: ending.end_run(half.run_id(run), status=RunStatus.FAILED, metadata={}),
            )


def _nothing(_: Any) -> None:
    return None
