"""The chain that a run is part of: what led to it, from the first cause on, and what it led to.

One statement, both ways. Upwards it is as long as causes go deep, which `LIGHTFIELD_MAX_DEPTH` bounds. Downwards it may
be a tree of any width, so it ends after a hundred, those nearest to the run first.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from executions.states import RunStatus
from lightfield.kernel import sql
from triggers.models import EventStatus

MOST: Final = 100  # that a run led to; the API's list of events pages through all of them
DEEPEST: Final = 101  # one more than the setting may be
MOST_LEVELS: Final = 8

# The LIMIT of `few` stops the recursion, which goes level by level: PostgreSQL makes no more rows than are read.
# One run after the other, never `caused_by = ANY`: to have them by id, the planner would walk all events there are. And
# upwards the cause is inside a CASE, or a young table's partial index would be walked for it (ADR 0012).
CHAIN: Final = """
WITH RECURSIVE up AS (
  (SELECT r.id AS run_id, r.event_id, 0 AS above FROM executions_run r WHERE r.id = %(run_id)s::uuid
   UNION ALL
   SELECT NULL, e.id, 0 FROM triggers_outboxevent e WHERE e.id = %(event_id)s::uuid)
  UNION ALL
  SELECT r.id, r.event_id, up.above + 1
  FROM up JOIN triggers_outboxevent e ON e.id = up.event_id
  JOIN executions_run r ON r.id = CASE WHEN up.above < %(deepest)s::int THEN e.caused_by END),
down AS (
  SELECT e.id AS event_id, r.id AS run_id
  FROM unnest(%(led_by)s::uuid[]) AS led(by) CROSS JOIN LATERAL (
    SELECT id FROM triggers_outboxevent WHERE caused_by = led.by ORDER BY id LIMIT %(most)s::int + 1) e
  LEFT JOIN executions_run r ON r.event_id = e.id
  UNION ALL
  SELECT e.id, r.id
  FROM down CROSS JOIN LATERAL (
    SELECT id FROM triggers_outboxevent WHERE caused_by = down.run_id ORDER BY id LIMIT %(most)s::int + 1) e
  LEFT JOIN executions_run r ON r.event_id = e.id),
few AS MATERIALIZED (SELECT event_id, run_id FROM down LIMIT %(most)s::int + 1)
SELECT link.above, e.id, e.source, e.status, e.error_code, e.depth, e.caused_by, e.trace_id, e.captured_at,
  w.id, w.name, r.id, r.status, r.generation, r.error_code
FROM (SELECT event_id, run_id, above FROM up UNION ALL SELECT event_id, run_id, NULL FROM few) link
JOIN triggers_outboxevent e ON e.id = link.event_id JOIN workflows_workflow w ON w.id = e.workflow_id
LEFT JOIN executions_run r ON r.id = link.run_id
ORDER BY link.above DESC NULLS LAST, e.depth, e.id, r.generation
"""


@dataclass(frozen=True)
class Link:
    """An event with one of its runs, or with none: it waits, was ignored or is poison."""

    event_id: UUID
    trigger_type: str
    event_status: str
    event_error_code: str | None
    depth: int
    caused_by: UUID | None
    trace_id: str
    captured_at: datetime
    workflow_id: UUID
    workflow_name: str
    run_id: UUID | None
    run_status: str | None
    generation: int | None
    run_error_code: str | None

    @property
    def error_code(self) -> str | None:
        return self.run_error_code or self.event_error_code

    @property
    def status(self) -> str:
        return self.run_status or self.event_status

    @property
    def label(self) -> str:
        return RunStatus(self.run_status).label if self.run_status else EventStatus(self.event_status).label

    @property
    def level(self) -> int:
        """How far to the right it stands; beyond that there is no room."""
        return min(self.depth, MOST_LEVELS)


@dataclass(frozen=True)
class CausalChain:
    """`path`: from the first cause down to the run or event. `led_to`: each followed by what it led to in turn."""

    path: list[Link]
    led_to: list[Link]
    has_more: bool  # it led to more than is listed

    @property
    def links(self) -> list[Link]:
        return self.path + self.led_to

    @property
    def cause(self) -> Link | None:
        """The run whose step led to the last event of the path."""
        return self.path[-2] if len(self.path) > 1 else None

    @property
    def is_more_than_one(self) -> bool:
        return len(self.links) > 1


def chain_of_run(run_id: UUID) -> CausalChain:
    """What led to this run, itself included, and what it led to. No such run: an empty path."""
    return _chain(run_id=run_id, led_by=[run_id])


def chain_of_event(event_id: UUID, runs: list[UUID]) -> CausalChain:
    """What led to this event, itself included, and what its runs, the newest first, led to."""
    return _chain(run_id=runs[0], led_by=runs) if runs else _chain(event_id=event_id, led_by=[])


def _chain(*, run_id: UUID | None = None, event_id: UUID | None = None, led_by: list[UUID]) -> CausalChain:
    params = {"run_id": run_id, "event_id": event_id, "led_by": led_by, "most": MOST, "deepest": DEEPEST}
    found = [(above, Link(*columns)) for above, *columns in sql.rows(CHAIN, params)]
    led_to = [link for above, link in found if above is None]
    return CausalChain(
        path=[link for above, link in found if above is not None],
        led_to=_as_a_tree(led_to[:MOST]),
        has_more=len(led_to) > MOST,
    )


def _as_a_tree(links: list[Link]) -> list[Link]:
    """In the order in which a person would follow them. They come sorted by depth, causes first."""
    below: defaultdict[UUID | None, list[Link]] = defaultdict(list)
    for link in links:
        below[link.caused_by].append(link)
    here = {link.run_id for link in links if link.run_id}
    waiting = [link for link in reversed(links) if link.caused_by not in here]
    ordered = []
    while waiting:
        link = waiting.pop()
        ordered.append(link)
        if link.run_id:
            waiting += reversed(below[link.run_id])
    return ordered
