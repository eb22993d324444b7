"""What must hold after every single transaction, and of every request. The rest is asked of PostgreSQL afterwards."""

from __future__ import annotations

from executions.states import LIVE_RUN, LIVE_STEP
from tests.simulation.moving import in_flight
from tests.simulation.rows import Attempt, Run, Step
from tests.simulation.tables import Tables


class InvariantBroken(BaseException):
    """No code of the product may swallow it."""


def demand(truth: bool, says: str, *about: object) -> None:
    if not truth:
        raise InvariantBroken(f"{says}: {'; '.join(map(str, about))}")


def check_touched(tables: Tables) -> None:
    """The runs that the last transaction changed, and the windows."""
    for run_id in tables.touched:
        if run := tables.runs.get(run_id):
            _check_run(tables, run)
    tables.touched.clear()
    for lane in tables.lanes.values():
        flying = in_flight(tables, lane.name)
        demand(flying.total() <= lane.width, "a window is kept", lane, flying)
        demand(max(flying.values(), default=0) <= lane.per_workflow, "a share is kept", lane, flying)


def check_closed(tables: Tables, process: str | None) -> None:
    """An answer is written by the worker that got it; `process` is who has just committed, if anybody did."""
    for attempt in tables.closed:
        demand(
            process in (None, attempt.worker) or attempt.outcome in ("lost", "unknown", "cancelled"),
            "what came of an attempt is told by its own worker",
            process,
            attempt,
        )
    tables.closed.clear()


def _check_run(tables: Tables, run: Run) -> None:
    steps = tables.steps_of[run.id]
    live = [step for step in steps if step.status in LIVE_STEP]
    demand(
        len(live) == (run.status in LIVE_RUN), "a live run has one live step, an ended one none", run, *live
    )
    seqs = [entry.seq for entry in tables.entries[run.id]]
    demand(seqs == list(range(1, run.seq + 1)), "the story runs 1 to n", run, seqs)
    for step in steps:
        _check_step(tables, step)


def _check_step(tables: Tables, step: Step) -> None:
    tries = tables.attempts[step.id]
    demand([a.number for a in tries] == list(range(1, step.attempts + 1)), "attempts run 1 to n", step, tries)
    fences = [attempt.fence for attempt in tries]
    demand(fences == sorted(set(fences)) and max(fences, default=0) <= step.fence, "fences rise", step, tries)
    demand(step.attempts - step.lost - step.held <= step.max_attempts, "attempts are limited", step)
    unended = [attempt for attempt in tries if attempt.outcome is None]
    demand(
        len(unended) == (step.status == "running") and unended in ([], tries[-1:]),
        "the last attempt of a running step is open",
        step,
        tries,
    )
    for effect in tables.effects_of(step):
        demand(
            effect.status == "intent" or step.status not in LIVE_STEP,
            "an effect is undecided while its step lives",
            effect,
            step,
        )


class Sink:
    """The far side: keeps every request, and knows which must never have come."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.requests: list[tuple[int, int]] = []  # (step run, attempt)

    def receive(self, step: Step, number: int, key: str) -> None:
        """A request arrives: never twice of one attempt or of a careful effect, never unintended or after the decision."""
        request = (step.id, number)
        demand(request not in self.requests, "an attempt sends once", step, number)
        self.requests.append(request)
        attempt = self._tables.attempts[step.id][number - 1]
        demand(attempt.intent_at is not None, "an intent is committed before its request", attempt)
        demand(attempt.outcome != "lost", "nothing is sent once others hold the step", attempt)
        effect = next((e for e in self._tables.effects_of(step) if e.key == key), None)
        demand(effect is not None, "a request is in the ledger", step, key)
        assert effect is not None
        demand(effect.status == "intent", "nothing is sent after the decision", effect, step)
        if effect.request.get("on_unknown") == "fail":
            before = [a for a in self._tables.attempts[step.id][: number - 1] if self._may_have_happened(a)]
            demand(not before, "a careful effect is never sent twice", step, *before)

    def _may_have_happened(self, attempt: Attempt) -> bool:
        """It was sent, and nobody knows what came of it."""
        return (attempt.step_run_id, attempt.number) in self.requests and attempt.outcome in (
            "lost",
            "unknown",
        )
