"""The rows of one simulated world, with the columns of the tables that they stand for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workflows.models import WorkflowStatus


@dataclass(slots=True)
class Event:
    id: str
    trigger_id: int
    workflow_id: str
    version_id: int
    source: str
    idempotency_key: str | None
    payload: str  # JSON text
    shard: int
    trace_id: str
    captured_at: datetime
    body_digest: bytes | None = None
    depth: int = 0
    caused_by: str | None = None
    status: str = "pending"
    tries: int = 0
    error_code: str | None = None
    decided_at: datetime | None = None


@dataclass(slots=True)
class Run:
    id: str
    event_id: str
    generation: int
    workflow_id: str
    version_id: int
    trace_id: str
    last_at: datetime
    created_at: datetime
    deadline_at: datetime
    in_streak: bool = False
    replay_of_id: str | None = None
    status: str = "pending"
    seq: int = 1
    error_code: str | None = None
    error: Any = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class Step:
    id: int
    run_id: str
    workflow_id: str
    position: int
    key: str
    type: str
    lane: str
    max_attempts: int
    status: str
    due_at: datetime
    fence: int = 0
    attempts: int = 0
    lost: int = 0
    lost_alone: int = 0
    held: int = 0
    held_host: str | None = None
    quarantined: bool = False
    lease_expires_at: datetime | None = None
    owner: str = ""
    rung_at: datetime | None = None
    rings: int = 0
    reused: bool = False
    output: Any = None
    error_code: str | None = None
    error: Any = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(slots=True)
class Attempt:
    step_run_id: int
    number: int
    fence: int
    worker: str
    alone: bool
    started_at: datetime
    witnessed: bool = False
    intent_at: datetime | None = None
    finished_at: datetime | None = None
    outcome: str | None = None
    error_code: str | None = None
    error: Any = None


@dataclass(slots=True)
class Effect:
    id: int
    scope: str
    key: str
    step_run_id: int
    fence: int
    request: Any
    request_digest: bytes
    created_at: datetime
    status: str = "intent"
    answer: Any = None
    decided_at: datetime | None = None


@dataclass(slots=True)
class Entry:
    run_id: str
    seq: int
    type: str
    at: datetime
    step_key: str | None = None
    attempt: int | None = None
    from_status: str | None = None
    to_status: str | None = None
    fence: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Lane:
    name: str
    width: int
    per_workflow: int
    most_queued: int = 16


@dataclass(slots=True)
class Flow:
    """A workflow, its trigger and its one version."""

    id: str
    name: str
    version_id: int
    version_number: int
    trigger_id: int
    shard: int
    plan: list[dict[str, Any]]
    concurrency: int | None
    timeout_seconds: int
    own_changes: bool = False
    status: str = WorkflowStatus.ACTIVE.value


Row = Event | Run | Step | Attempt | Effect


class GuardBroken(BaseException):
    """A statement tried what the database's own guards refuse. No code of the product may swallow it."""


def is_final(row: Row) -> bool:
    """Does the database refuse every further change of this row?"""
    match row:
        case Run():
            return row.status in ("completed", "failed", "cancelled")
        case Step():
            return row.status in ("completed", "failed", "skipped", "cancelled")
        case Attempt():
            return row.outcome is not None
        case Effect():
            return row.status != "intent"
        case _:
            return False
