"""A row that contradicts an invariant, and rows of the world that lend themselves to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    """SQL after which the rows contradict an invariant."""

    invariant: str
    sql: str


def run_with(condition: str) -> str:
    return f"(SELECT r.id FROM executions_run r WHERE {condition} ORDER BY r.id LIMIT 1)"


def step_with(condition: str) -> str:
    return f"(SELECT s.id FROM executions_steprun s WHERE {condition} ORDER BY s.id LIMIT 1)"


COMPLETED_RUN = run_with("r.status = 'completed' AND r.generation = 1 AND r.seq > 5")
WRITTEN = step_with("s.type = 'update_record' AND s.status = 'completed' AND NOT s.reused")
COMPLETED_SLOW = step_with("s.status = 'completed' AND s.lane = 'http' AND NOT s.reused AND s.attempts = 1")
RETRIED = step_with("s.status = 'completed' AND s.attempts >= 3 AND s.lost = 0")
