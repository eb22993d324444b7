"""Who wrote what under which fence: a log that PostgreSQL itself keeps, in the harness's database only.

Triggers note each write to a step, an attempt, an effect or an agent's turn with the writer's process (`application_name` ends with
its id), the fences and the status. Replayed in order, the log tells who held which step when, and every row
written by a process that no longer held the step. For a zombie, stopped and woken, that number must be 0.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from tests.chaos.books import Arrival, Zombie
from tests.chaos.stack import Stack

TOLERANCE = 0.5  # seconds between an instant in PostgreSQL and the same one noted by the sink's busy loop
FINAL = ("completed", "failed", "skipped", "cancelled")

PREPARE = """
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE TABLE IF NOT EXISTS chaos.written (
  id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  tx xid8 NOT NULL DEFAULT pg_current_xact_id(), writer text NOT NULL DEFAULT current_setting('application_name'),
  what text, step_run_id bigint, lane text, fence_was int, fence int, status_was text, status text, is_let_go bool,
  is_taken_alive bool);
CREATE OR REPLACE FUNCTION chaos.note_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.written
    (what, step_run_id, lane, fence_was, fence, status_was, status, is_let_go, is_taken_alive)
  VALUES ('step', NEW.id, NEW.lane, CASE TG_OP WHEN 'UPDATE' THEN OLD.fence END, NEW.fence,
    CASE TG_OP WHEN 'UPDATE' THEN OLD.status END, NEW.status,
    TG_OP = 'UPDATE' AND NEW.status = OLD.status AND NEW.fence = OLD.fence AND NEW.owner = OLD.owner
      AND coalesce(NEW.lease_expires_at < clock_timestamp(), false),
    TG_OP = 'UPDATE' AND OLD.status = 'running' AND NEW.fence > OLD.fence  -- a person and a timeout may
      AND NEW.status <> 'cancelled' AND NEW.error_code IS DISTINCT FROM 'run.timeout'
      AND coalesce(OLD.lease_expires_at > clock_timestamp(), false));
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION chaos.note_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.written (what, step_run_id, lane, fence_was, fence, status_was, status)
  SELECT TG_ARGV[0], s.id, s.lane, s.fence, NEW.fence, s.status, to_jsonb(NEW)->>TG_ARGV[1]
  FROM executions_steprun s WHERE s.id = NEW.step_run_id;
  RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS chaos_note_new ON executions_steprun;
CREATE TRIGGER chaos_note_new AFTER INSERT ON executions_steprun
FOR EACH ROW WHEN (NEW.status = 'running') EXECUTE FUNCTION chaos.note_step();
DROP TRIGGER IF EXISTS chaos_note ON executions_steprun;
CREATE TRIGGER chaos_note AFTER UPDATE ON executions_steprun
FOR EACH ROW WHEN ((NEW.fence, NEW.status, NEW.owner, NEW.lease_expires_at)  -- bells alone are no write of a holder
  IS DISTINCT FROM (OLD.fence, OLD.status, OLD.owner, OLD.lease_expires_at)) EXECUTE FUNCTION chaos.note_step();
DROP TRIGGER IF EXISTS chaos_note ON executions_attempt;
CREATE TRIGGER chaos_note AFTER UPDATE ON executions_attempt
FOR EACH ROW EXECUTE FUNCTION chaos.note_part('attempt', 'outcome');
DROP TRIGGER IF EXISTS chaos_note ON executions_effect;
CREATE TRIGGER chaos_note AFTER UPDATE ON executions_effect
FOR EACH ROW EXECUTE FUNCTION chaos.note_part('effect', 'status');
DROP TRIGGER IF EXISTS chaos_note ON executions_agentturn;
CREATE TRIGGER chaos_note AFTER INSERT OR UPDATE ON executions_agentturn
FOR EACH ROW EXECUTE FUNCTION chaos.note_part('turn', 'kind');
"""
WRITTEN = """
SELECT extract(epoch FROM at)::float8, tx::text, substring(writer FROM '[0-9]+$')::int, what, step_run_id, lane,
  fence_was, fence, status_was, status, is_let_go, is_taken_alive
FROM chaos.written ORDER BY id
"""
KEYS = (
    "SELECT key, step_run_id FROM executions_effect UNION SELECT key, step_run_id FROM executions_agentturn"
)


def prepare(stack: Stack) -> None:
    """Make the log and its triggers in the harness's database."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(PREPARE)


@dataclass(frozen=True)
class Write:
    """One row of the log. For an attempt, effect or turn, `fence_was` and `status_was` are the step's, `fence` its own."""

    at: float
    tx: str
    pid: int | None
    what: str
    step_run_id: int
    lane: str
    fence_was: int | None
    fence: int
    status_was: str | None
    status: str | None
    is_let_go: bool | None  # a lease ended early, by the parent of a dead cell
    is_taken_alive: bool | None = False  # claimed or given up although somebody's lease had not run out


@dataclass
class Holding:
    """A step in the hands of a process. `ended_by` is that process itself when it gave the step back."""

    step_run_id: int
    pid: int | None
    since: float
    until: float = float("inf")
    ended_by: int | None = None
    ended_as: str | None = None  # the step's status then: `running` in another's hands, or given up


@dataclass
class Told:
    """What the log says of the zombies."""

    woken: int = 0
    taken: dict[tuple[int, float], int] = field(default_factory=dict)  # by zombie (process, stopped at)
    rows: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)  # of anybody, at any time
    unknown_senders: int = 0

    @property
    def taken_over(self) -> int:
        """Steps of zombies that others took meanwhile."""
        return sum(self.taken.values())


class Log:
    """The log, replayed."""

    def __init__(self, writes: list[Write]) -> None:
        self.holdings: list[Holding] = []
        self.strays: list[Write] = []
        self._held: dict[int, Holding] = {}
        for write in writes:
            if write.what == "step":
                self._replay(write)
            elif write.what == "turn" and not self._holds(write):
                self.strays.append(write)
        moved = {(write.tx, write.step_run_id) for write in writes if write.what == "step"}
        parts = [write for write in writes if write.what in ("attempt", "effect")]
        self.strays += [write for write in parts if _is_stray_part(write, moved)]

    def _holds(self, write: Write) -> bool:
        """An agent's turn is written under the step's lock, by who holds it: between its claim and its end."""
        held = self._held.get(write.step_run_id)
        return held is not None and held.pid == write.pid and write.fence == write.fence_was

    def _replay(self, write: Write) -> None:
        held = self._held.get(write.step_run_id)
        if write.fence_was is None or write.fence > write.fence_was:  # it won the race for this fence
            if write.is_taken_alive:
                self.strays.append(write)
            self._end(held, write)
            if write.status == "running":
                taken = Holding(write.step_run_id, write.pid, write.at)
                self._held[write.step_run_id] = taken
                self.holdings.append(taken)
        elif not _needs_no_holder(write):
            if write.status_was in FINAL or held is None or held.pid != write.pid:
                self.strays.append(write)
            elif write.status != "running":
                self._end(held, write)

    def _end(self, held: Holding | None, write: Write) -> None:
        if held is not None:
            held.until, held.ended_by, held.ended_as = write.at, write.pid, write.status
            del self._held[write.step_run_id]


def _needs_no_holder(write: Write) -> bool:
    """Admission, waking a sleeper, and ending the lease of a cell that is known to be dead."""
    is_admitted = write.status == "queued" and write.status_was in ("ready", "waiting")
    is_fast = write.lane == "fast" and write.status_was in ("ready", "waiting")
    return is_admitted or is_fast or bool(write.is_let_go)


def _is_stray_part(write: Write, moved: set[tuple[str, int]]) -> bool:
    """An attempt or effect is written together with its step, or decided when the step has ended."""
    if (write.tx, write.step_run_id) in moved:
        return False
    return not (write.what == "effect" and write.status_was in FINAL and write.status in ("done", "unknown"))


def read(stack: Stack) -> Log:
    return Log([Write(*row) for row in stack.ask(WRITTEN)])


def tell(stack: Stack, log: Log, zombies: list[Zombie], arrivals: list[Arrival]) -> Told:
    """What each zombie did after it woke, in rows and in requests."""
    told = Told(strays=[_words(write) for write in log.strays])
    told.unknown_senders = sum(arrival.peer is None or not arrival.peer.pid for arrival in arrivals)
    steps: dict[str, list[int]] = collections.defaultdict(list)
    for key, step_run_id in stack.ask(KEYS):
        steps[key].append(step_run_id)
    by_pid: dict[int | None, list[Holding]] = collections.defaultdict(list)
    for holding in log.holdings:
        by_pid[holding.pid].append(holding)
    for zombie in zombies:
        told.woken += 1
        told.taken[zombie.pid, zombie.stopped_at] = sum(
            held.since <= zombie.stopped_at < held.until <= zombie.woken_at and held.ended_by != zombie.pid
            for held in by_pid[zombie.pid]
        )
        told.rows += [
            _words(write)
            for write in log.strays
            if write.pid == zombie.pid and zombie.woken_at < write.at < zombie.last_at
        ]
        told.requests += sent_after_waking(zombie, by_pid[zombie.pid], arrivals, steps)
    return told


def sent_after_waking(
    zombie: Zombie, holdings: list[Holding], arrivals: list[Arrival], steps: dict[str, list[int]]
) -> list[str]:
    """Requests of a woken process under keys of steps that it did not hold when they came."""
    return [
        f"pid {zombie.pid} sent {arrival.key} {arrival.at - zombie.woken_at:.2f} s after it woke"
        for arrival in arrivals
        if arrival.peer is not None
        and arrival.peer.pid == zombie.pid
        and zombie.woken_at < arrival.at < zombie.last_at
        and not any(
            held.step_run_id in steps[arrival.key]
            and held.since - TOLERANCE <= arrival.at <= held.until + TOLERANCE
            for held in holdings
        )
    ]


def _words(write: Write) -> str:
    taken = " under a live lease" if write.is_taken_alive else ""
    return (
        f"pid {write.pid} wrote {write.what} of step {write.step_run_id}: fence {write.fence_was} -> {write.fence},"
        f" {write.status_was} -> {write.status}{taken}"
    )


def seconds_to_reclaim(
    log: Log, deaths: list[tuple[int, float]], clock: Callable[[float], float] = lambda instant: instant
) -> list[float]:
    """From each death of a process, at an instant, until others had claimed or given up each step that it held."""
    return [
        clock(held.until) - clock(at)
        for pid, at in deaths
        for held in log.holdings
        if held.pid == pid and held.since <= at < held.until and held.ended_as in ("running", "failed")
    ]
