"""What came of a step, as a value: what `executions.settling` is asked to write, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from executions.states import AttemptOutcome, RunStatus, StepStatus

# What a settlement writes of the steps that follow.
STEP_COLUMNS = """(run_id, workflow_id, position, key, type, lane, max_attempts, status, fence, attempts,
   lost, lost_alone, quarantined, lease_expires_at, owner, due_at, rings, reused, started_at, finished_at)"""


@dataclass(frozen=True)
class Settlement:
    """What came of a step, in full. Fields not given keep their neutral value."""

    run_id: str
    workflow_id: str
    step_run_id: int
    lane: str
    fence: int  # as claimed or read: the guard
    was: StepStatus  # the other half of the guard
    status: StepStatus
    run_status: RunStatus
    entries: list[dict[str, Any]]
    outcome: AttemptOutcome | None = None  # None: there is no open attempt to close
    opens: bool = False  # a fast step: the attempt is opened and closed here
    raises_fence: bool = False
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    delay_seconds: float | None = None
    effect: str | None = None  # "done", "by_attempts", or None: stays as it is
    # A transactional step: its effect's key, request and digest (hex), intended and done by this very settlement.
    noted: dict[str, Any] | None = None
    answer: dict[str, Any] | None = None
    may_have_happened: bool = False  # of this attempt
    next_step: dict[str, Any] | None = None  # its entry of the version's plan
    may_continue: bool = False
    next_intent: dict[str, Any] | None = None  # if it continues: the next effect's key, request and digest
    skipped: list[dict[str, Any]] = field(default_factory=list)
    held: bool = False  # nothing was sent: the attempt uses up none
    held_host: str | None = None  # it waits for this host
    lost: bool = False
    lost_alone: bool = False
    keeps_lease: bool = False
    worker: str = ""
    owner: str = ""  # what the next step is held under: a token of this settlement alone
    lease_seconds: float = 0.0

    @property
    def is_plain(self) -> bool:
        """A slow step that succeeded: what nearly every settlement is, and what can be written in company."""
        return (
            self.outcome == AttemptOutcome.OK
            and self.was == StepStatus.RUNNING
            and self.status == StepStatus.COMPLETED
            and self.effect == "done"
            and not (self.opens or self.raises_fence or self.skipped or self.keeps_lease or self.noted)
        )


@dataclass(frozen=True)
class Settled:
    """What followed: the next step's row if there is one, and whether this worker already holds it."""

    next_step_run_id: int | None
    continues: bool
    due_at: Any
    lane_stands: bool  # due steps of this slow lane wait, and no message that would admit them is on its way
    next_request: dict[str, Any] | None = (
        None  # as the ledger keeps it: its intent is committed, it may send at once
    )
