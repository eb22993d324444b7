"""The statuses of runs, step runs, attempts and effects, and what may follow what. Pure.

`docs/states.md` is drawn from these tables, and a database trigger keeps final statuses final.
"""

from __future__ import annotations

from django.db.models import TextChoices


class RunStatus(TextChoices):
    PENDING = "pending", "Pending"  # made by the dispatcher; the first claim or fast step starts it
    RUNNING = "running", "Running"  # a step works, or is about to; its outcome moves the run on
    WAITING = "waiting", "Waiting"  # its step sleeps or backs off until due_at; the sweeper rings
    COMPLETED = "completed", "Completed"  # final
    FAILED = "failed", "Failed"  # final; a person may replay it as a new run
    CANCELLED = "cancelled", "Cancelled"  # final: a person said so


class StepStatus(TextChoices):
    READY = "ready", "Ready"  # may start; admission queues it (slow lanes) or advance runs it (fast lane)
    QUEUED = "queued", "Queued"  # admitted, its message is on the way; a worker claims it, the sweeper rings
    RUNNING = "running", "Running"  # a worker holds the lease; the sweeper rings once that is over
    WAITING = "waiting", "Waiting"  # until due_at; then through admission (slow) or advance (fast)
    COMPLETED = "completed", "Completed"  # final
    FAILED = "failed", "Failed"  # final; later steps are skipped
    SKIPPED = "skipped", "Skipped"  # final: never started
    CANCELLED = "cancelled", "Cancelled"  # final: live when its run was cancelled


class AttemptOutcome(TextChoices):
    OK = "ok", "Completed"
    REFUSED = "refused", "Refused"  # retryable, and the far side is known to have done nothing
    UNKNOWN = "unknown", "Unknown"  # sent, no answer: it may have happened
    PERMANENT = "permanent", "Permanent failure"
    HELD = "held", "Put back"  # nothing was sent, for the host's sake; uses up no max_attempts
    LOST = "lost", "Worker lost"  # uses up no max_attempts; intent_at tells whether it may have sent
    CANCELLED = "cancelled", "Cancelled"


class EffectStatus(TextChoices):
    INTENT = "intent", "Intended"  # undecided while the step lives; settling or the sweep decides it
    DONE = "done", "Done"  # final: a final answer is stored (2xx or a permanent refusal)
    UNKNOWN = "unknown", "Unknown"  # final: it may have happened
    ABANDONED = "abandoned", "Abandoned"  # final: it did not happen


RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset(
        {RunStatus.RUNNING, RunStatus.WAITING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.RUNNING: frozenset(
        {RunStatus.WAITING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.WAITING: frozenset(
        {RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
    ),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}

STEP_TRANSITIONS: dict[StepStatus, frozenset[StepStatus]] = {
    StepStatus.READY: frozenset(
        {
            StepStatus.QUEUED,
            StepStatus.RUNNING,
            StepStatus.WAITING,
            StepStatus.COMPLETED,
            StepStatus.FAILED,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.QUEUED: frozenset({StepStatus.RUNNING, StepStatus.FAILED, StepStatus.CANCELLED}),
    StepStatus.RUNNING: frozenset(
        {
            StepStatus.READY,  # as told when its worker was lost; the row goes from one lease to the next
            StepStatus.WAITING,
            StepStatus.COMPLETED,
            StepStatus.FAILED,
            StepStatus.CANCELLED,
        }
    ),
    StepStatus.WAITING: frozenset(
        {StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.CANCELLED}
    ),
    StepStatus.COMPLETED: frozenset(),
    StepStatus.FAILED: frozenset(),
    StepStatus.SKIPPED: frozenset(),
    StepStatus.CANCELLED: frozenset(),
}

RUN_BEGINS = frozenset({RunStatus.PENDING})
STEP_BEGINS = frozenset(
    {
        StepStatus.READY,
        StepStatus.RUNNING,  # continuation: the worker that completed the step before goes on with it
        StepStatus.SKIPPED,
        StepStatus.COMPLETED,  # taken over by a replay
    }
)

LIVE_RUN = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING})
LIVE_STEP = frozenset({StepStatus.READY, StepStatus.QUEUED, StepStatus.RUNNING, StepStatus.WAITING})
FINAL_RUN = frozenset(RunStatus) - LIVE_RUN
FINAL_STEP = frozenset(StepStatus) - LIVE_STEP
