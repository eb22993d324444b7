"""What the client of records was told, against the rows: each write there once, with one event for each who watches."""

from __future__ import annotations

import collections
from typing import Any

from tests.chaos.records import CHANGES, CREATED, Notes, Write, watchers_of

Row = tuple[Any, ...]

STORED = """
SELECT 'opportunity', id::text, name, jsonb_build_object('stage', stage, 'amount', amount, 'pipeline', pipeline)
FROM crm_opportunity
UNION ALL
SELECT 'contact', id::text, email, jsonb_build_object('title', title, 'do_not_contact', nullif(do_not_contact, false))
FROM crm_contact
"""
EVENTS = """
SELECT e.id::text, w.name, e.payload ->> 'type', e.payload ->> 'id',
  ARRAY(SELECT jsonb_object_keys(e.payload -> '_diff')), e.status,
  (SELECT count(*) FROM executions_run r WHERE r.event_id = e.id AND r.generation = 1)
FROM triggers_outboxevent e JOIN workflows_workflow w ON w.id = e.workflow_id
WHERE e.source = 'record' AND w.name = ANY(%s)
"""


class Verdict:
    """The notes against the rows of `STORED` and `EVENTS`. `broken`: by rule, what breaks it."""

    def __init__(self, notes: Notes, stored: list[Row], events: list[Row]) -> None:
        self.broken: dict[str, list[str]] = collections.defaultdict(list)
        self._names = {record_id: name for _, record_id, name, _ in stored}
        self._fields = {name: fields for _, _, name, fields in stored}
        self._times = collections.Counter(name for _, _, name, _ in stored)
        # workflow, record, field: its events
        self._found: collections.Counter[tuple[str, str, str]] = collections.Counter()
        for event in events:
            self._count(event)
        for write in notes.writes:
            self._judge(write)
        for left in self._found:
            self._blame("an event of a write that nobody made", left)

    def _blame(self, rule: str, what: object) -> None:
        self.broken[rule].append(str(what))

    def _count(self, event: Row) -> None:
        event_id, workflow, entity, record_id, changed, status, runs = event
        name = self._names.get(record_id, "")
        telling = sorted(set(changed) & set(CHANGES[entity])) if changed else [CREATED]
        for one in telling:
            self._found[workflow, name, one] += 1
        if not name or len(telling) != 1:
            self._blame("an event of a record that nobody wrote like that", f"{event_id} {changed}")
        if status != "dispatched" or runs != 1:
            self._blame("an event of a record without exactly one first run", f"{event_id} {status} {runs}")

    def _judge(self, write: Write) -> None:
        is_there = self._is_there(write)
        what = f"{write.entity} {write.name} {write.changed or 'created'}, {write.tries} tries"
        if write.is_acknowledged and not is_there:
            self._blame("a write that was acknowledged and is not there", what)
        if not write.is_acknowledged and not write.is_given_up:
            self._blame("a write that was never acknowledged", what)
        if self._times[write.name] > 1:
            self._blame("a record that was created twice", what)
        for workflow in watchers_of(write):
            number = self._found.pop((workflow, write.name, write.changed), 0)
            if number != is_there:
                words = f"{what}: {'in' if is_there else 'not in'} the row, {number} events of {workflow}"
                self._blame("a write and its events do not agree", words)

    def _is_there(self, write: Write) -> bool:
        fields = self._fields.get(write.name)
        return fields is not None and (write.changed == CREATED or fields[write.changed] is not None)
