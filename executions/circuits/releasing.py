"""The sweep's turn for one host: look, decide (`pacing`), release. One short transaction under the circuit's lock.

Any number of sweeps may want it at once: one has the lock, the others pass by. Dying in the middle undoes all of it, and
the next sweep comes a second later. A step that was put back although the row of its host is gone (the host had just
recovered, or an operator's broom) gets a row: nothing is held that nobody would release.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from executions.circuits.models import CircuitState
from executions.circuits.pacing import Move, Seen, next_move
from lightfield.kernel import bells, sql

MOST_OVERDUE: Final = 200  # in one turn: each of them ends its run
AMONG_OLDEST: Final = 100  # the probe is the one of these with the most attempts left

LOCK = """
SELECT state, rate, ok, failed, failed_probes,
  extract(epoch FROM clock_timestamp() - turned_at)::float8,
  extract(epoch FROM coalesce(retry_at, clock_timestamp()) - clock_timestamp())::float8,
  extract(epoch FROM clock_timestamp() - heard_at)::float8
FROM executions_circuit WHERE host = %(host)s::text
  AND turned_at <= clock_timestamp() - make_interval(secs => %(rest)s::float8)
FOR UPDATE SKIP LOCKED
"""

ADOPT = """
INSERT INTO executions_circuit (host, state, code, calls, failures, opened_at, retry_at, failed_probes, rate, ok, failed,
  turned_at)
SELECT %(host)s::text, 'open', 'http.circuit_open', 0, 0, clock_timestamp(), clock_timestamp(), 0, 0, 0, 0,
  clock_timestamp() - interval '1 hour'
WHERE EXISTS (SELECT 1 FROM executions_steprun s
  WHERE s.held_host = %(host)s::text AND s.held_host IS NOT NULL AND s.status = 'waiting')
ON CONFLICT (host) DO NOTHING
"""

WRITE = """
UPDATE executions_circuit SET state = %(state)s::text, rate = %(rate)s::float8, ok = 0, failed = 0,
  failed_probes = %(failed_probes)s::int, turned_at = clock_timestamp(),
  retry_at = CASE WHEN %(retry_in)s::float8 IS NULL THEN retry_at WHEN %(state)s::text = 'open'
    THEN greatest(retry_at, clock_timestamp() + make_interval(secs => %(retry_in)s::float8))
    ELSE clock_timestamp() + make_interval(secs => %(retry_in)s::float8) END
WHERE host = %(host)s::text
"""

# Hosts that failed a little, and not again for a minute.
FORGET_WATCHED = """
DELETE FROM executions_circuit WHERE host IN (
  SELECT host FROM executions_circuit
  WHERE state = 'closed' AND heard_at < statement_timestamp() - interval '1 minute' FOR UPDATE SKIP LOCKED)
"""

# Asked when fewer were released than might have been: others may have been locked just then.
HELD = """
SELECT 1 FROM executions_steprun
WHERE held_host = %(host)s::text AND held_host IS NOT NULL AND status = 'waiting' LIMIT 1
"""

FORGET = "DELETE FROM executions_circuit WHERE host = %(host)s::text"

# It has recovered. The row stays for a minute: whoever put a step back a moment ago, not knowing it, finds it closed, and
# the step is released. Without a row the host would count as failing anew, for everybody.
CLOSE = """
UPDATE executions_circuit SET state = 'closed', rate = 0, ok = 0, failed = 0, failed_probes = 0, calls = 0, failures = 0,
  window_at = clock_timestamp(), turned_at = clock_timestamp(), heard_at = clock_timestamp()
WHERE host = %(host)s::text
"""

# No run lock and no timeline entry, as with admission: the step was told to wait, and goes on waiting until it is
# admitted. SKIP LOCKED: whom somebody ends right now needs no release.
_RELEASE = """
WITH pick AS MATERIALIZED (
  SELECT id FROM (
    SELECT s.id, s.due_at, s.attempts - s.lost - s.held AS used FROM executions_steprun s
    WHERE s.held_host = %(host)s::text AND s.held_host IS NOT NULL AND s.status = 'waiting' {which}
    ORDER BY s.due_at, s.id LIMIT {among}) oldest
  ORDER BY {order} LIMIT %(number)s::int),
m AS MATERIALIZED (
  SELECT s.id FROM executions_steprun s JOIN pick USING (id)
  WHERE s.status || '' = 'waiting' AND s.held_host || '' = %(host)s::text ORDER BY s.id FOR UPDATE OF s SKIP LOCKED)
UPDATE executions_steprun s SET held_host = NULL, due_at = clock_timestamp(), rings = 0, rung_at = NULL
FROM m WHERE s.id = m.id RETURNING s.lane
"""
RELEASE = _RELEASE.format(which="", among="%(number)s::int", order="due_at, id")
RELEASE_PROBE = _RELEASE.format(which="", among=AMONG_OLDEST, order="used, due_at, id")
RELEASE_OVERDUE = _RELEASE.format(
    which="AND s.due_at <= statement_timestamp()", among="%(number)s::int", order="due_at, id"
)


def take_turns(hosts: list[str]) -> list[int]:
    """The turns that a sweep found due (`sweeper.CIRCUITS`). Returns how many steps each one released."""
    if "" in hosts:
        sql.rows(FORGET_WATCHED, {})
    return [turn(host) for host in hosts if host]


def turn(host: str) -> int:
    """Move the circuit of `host` on. Returns how many steps were released; their lanes are rung for."""
    with transaction.atomic():
        lanes = _turn(host)
    for lane in sorted(set(lanes)):
        bells.ring_admit(lane, forced=True)
    return len(lanes)


def _turn(host: str) -> list[str]:
    rest = settings.LIGHTFIELD_SWEEP_SECONDS / 2
    sql.rows(ADOPT, {"host": host})
    found = sql.row(LOCK, {"host": host, "rest": rest})
    if found is None:  # another sweep has it, or had it just now
        return []
    seen = Seen(*found)
    if settings.LIGHTFIELD_CIRCUIT_CALLS == 0:  # no host counts as failing any more
        seen = replace(seen, state=CircuitState.CLOSED)
    move = next_move(
        seen,
        probe_seconds=settings.LIGHTFIELD_CIRCUIT_PROBE_SECONDS,
        ramp=settings.LIGHTFIELD_CIRCUIT_RAMP,
    )
    return _make(host, seen, move)


def _make(host: str, seen: Seen, move: Move) -> list[str]:
    lanes = _release(host, move.release)
    is_empty = len(lanes) < move.release and not sql.rows(HELD, {"host": host})
    if move.state == CircuitState.OPEN:
        lanes += _rows(RELEASE_OVERDUE, host, MOST_OVERDUE)
    # A probe needs somebody who waits. What follows a redirect or carries a notice never does, and would be refused for as
    # long as the circuit stood half open: it goes as it comes, and if it fails the circuit opens anew.
    has_no_probe = move.state == CircuitState.HALF_OPEN and is_empty and not lanes
    if (move.closes_when_empty and is_empty) or has_no_probe:
        sql.rows(FORGET if seen.state == CircuitState.CLOSED else CLOSE, {"host": host})
        return lanes
    is_unused = move.release > 0 and not lanes  # whoever could go is in somebody's hands: again in a second
    values = {
        "host": host,
        "state": str(move.state),
        "rate": move.rate,
        "failed_probes": move.failed_probes,
        "retry_in": None if is_unused else move.retry_in,
    }
    sql.rows(WRITE, values)
    return lanes


def _release(host: str, number: int) -> list[str]:
    if not number:
        return []
    return _rows(RELEASE_PROBE if number == 1 else RELEASE, host, number)


def _rows(statement: str, host: str, number: int) -> list[str]:
    found: list[tuple[Any, ...]] = sql.rows(statement, {"host": host, "number": number})
    return [str(row[0]) for row in found]
