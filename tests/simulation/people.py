"""What comes from outside: senders of webhooks, people who cancel and replay, and forgers of messages."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID

from django.db import OperationalError

from executions import services
from lightfield.kernel.bells import Bell
from tests.simulation.actors import Actor
from tests.simulation.checks import demand
from tests.simulation.processes import Process
from tests.simulation.world import World
from triggers import outbox

BY = "a person"


def send(world: World, process: Process, flow_id: str, key: str, n: int) -> Actor:
    """A sender delivers a webhook, and again while it is not acknowledged: the key is the same each time."""
    event_id = UUID(world.tables.new_uuid())
    body = json.dumps({"n": n})

    def capture() -> None:
        captured = outbox.capture_webhook(
            token_hash=flow_id,
            event_id=event_id,
            body=body,
            body_digest=hashlib.sha256(body.encode()).digest(),
            idempotency_key=f"{world.number} {key}",  # worlds share their workflows
            trace_id=f"{world.number:032x}",
        )
        assert isinstance(captured, outbox.Captured)
        acknowledged = str(captured.event_id)
        known = world.acknowledged.setdefault(f"{flow_id} {key}", acknowledged)
        demand(known == acknowledged, "one key means one event", flow_id, key, known, acknowledged)

    def insist() -> None:
        for _ in range(3):
            try:
                return capture()
            except OperationalError:
                world.sleep(1.0)
        return None

    return world.act(f"webhook {key}", insist, process)


def cancel(world: World, process: Process, run_id: str) -> Actor:
    return world.act(
        f"cancel {run_id[-4:]}", lambda: services.cancel_run(run_id=UUID(run_id), by=BY), process
    )


def replay(world: World, process: Process, run_id: str) -> Actor:
    return world.act(
        f"replay {run_id[-4:]}", lambda: services.replay_run(run_id=UUID(run_id), by=BY), process
    )


def forgeries(world: World) -> list[Bell]:
    """Messages that nobody rang, for whatever there is."""
    steps, runs = list(world.tables.live) or list(world.tables.steps), list(world.tables.runs)
    return [
        *(Bell("executions.execute_steps", "http", ([step],)) for step in steps),
        *(
            Bell("executions.execute_in_cell", "http", ([step], lane))
            for step in steps
            for lane in ("http", "fast")
        ),
        *(Bell("executions.advance", "fast", ([run],)) for run in runs),
        *(Bell("executions.expire_runs", "fast", ([run],)) for run in runs),
        Bell("executions.execute_steps", "http", (steps,)),
        Bell("executions.settle_effects", "fast"),
        *(Bell("executions.admit", "fast", (lane,)) for lane in world.tables.lanes),
        *(Bell("executions.dispatch_shard", "fast", (shard,)) for shard in (0, 1)),
    ]
