"""Somebody who edits, publishes and archives workflows all the time, and what must be true of these afterwards.

The edited workflows watch records: one field in each odd version, another in each even one, so that every event tells
under which version's eyes it was captured (`verify`: record-event-as-asked).
"""

from __future__ import annotations

import collections
import itertools
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

from lightfield.local.calls import Api
from tests.chaos.asking import Asker, call
from tests.chaos.workload import say

PATH = "/api/v1/workflows"
EDITED = (
    3  # workflows that are published again and again, each by a thread of its own; one thread more archives
)
PAUSE = 1.5  # seconds between two deeds of a thread
FIELDS = ("stage", "amount")
SHORT_LIVED = "Chaos: short-lived"

VERSIONS = """
SELECT w.name, v.number, v.definition ->> 'description' FROM workflows_workflowversion v
JOIN workflows_workflow w ON w.id = v.workflow_id WHERE w.name = ANY(%s)
"""
STATUSES = "SELECT id::text, status FROM workflows_workflow WHERE name = %s"
TOO_LATE = """
SELECT e.id::text FROM triggers_outboxevent e JOIN workflows_workflow w ON w.id = e.workflow_id
JOIN access_auditentry a ON a.subject = w.id::text AND a.action = 'workflow.archived'
WHERE w.name = %s AND e.captured_at > a.at + interval '5 seconds'
"""


@dataclass
class Edit:
    """One new draft of a workflow and its publication."""

    workflow: str
    marker: str
    tries: int = 0  # of the two calls together; 0: never done


def definition(name: str, config: dict[str, Any], marker: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": name,
        "description": marker,
        "trigger": {"type": "record", "config": config},
        "steps": [say("told", marker)],
    }


class Editor(Asker):
    """The last thread makes workflows and archives them, the others edit one each."""

    def __init__(self, api: Api) -> None:
        super().__init__(api, self._work_on, number=EDITED + 1, pause=PAUSE)
        self.edits: list[Edit] = []
        self.archived: set[str] = set()  # ids that were told to be
        self._ids: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def _work_on(self, thread: int) -> None:
        if thread == EDITED:
            self._make_and_archive()
        else:
            self._edit(f"Chaos: edited {thread}")

    def _edit(self, name: str) -> None:
        number = next(self._numbers)
        config = {"entity": "opportunity", "event": "updated", "fields": [FIELDS[number % 2]]}
        edit = Edit(name, f"edit {number}")
        wanted = definition(name, config, edit.marker)
        if name not in self._ids and not self._create(name, wanted):
            return
        self.edits.append(edit)
        path = f"{PATH}/{self._ids[name]}"
        drafted = self.insist(partial(self._is_done, "PATCH", path, wanted))
        published = self.insist(partial(self._is_done, "POST", f"{path}/publish", {}))
        edit.tries = drafted + published if drafted and published else 0

    def _make_and_archive(self) -> None:
        name = f"{SHORT_LIVED} {next(self._numbers)}"
        wanted = definition(SHORT_LIVED, {"entity": "opportunity", "event": "created"}, name)
        if not self._create(name, wanted):
            return
        path = f"{PATH}/{self._ids[name]}"
        if self.insist(partial(self._is_done, "POST", f"{path}/publish", {})):
            self.is_over.wait(PAUSE)
            if self.insist(partial(self._is_archived, path)):
                self.archived.add(self._ids[name])

    def _create(self, name: str, wanted: dict[str, Any]) -> bool:
        """Under a key: whoever asks again is told of the first one."""

        key = secrets.token_hex(16)

        def is_there() -> bool:
            status, said = call(self.api, "POST", PATH, wanted, key=key)
            if status == 201:
                self._ids[name] = said["id"]
            return status == 201

        return bool(self.insist(is_there))

    def _is_done(self, method: str, path: str, body: dict[str, Any]) -> bool:
        return call(self.api, method, path, body)[0] in (200, 201)

    def _is_archived(self, path: str) -> bool:
        """204, or it had been archived although nobody said so."""
        status, said = call(self.api, "DELETE", path)
        return status == 204 or said.get("code") == "workflow.illegal_transition"


def judge(
    editor: Editor,
    versions: list[tuple[str, int, str]],
    statuses: dict[str, str],
    too_late: list[tuple[str]],
) -> dict[str, list[str]]:
    """By rule, what breaks it. Whether versions, triggers and events agree among each other is asked by `verify`."""
    broken: dict[str, list[str]] = collections.defaultdict(list)
    found = collections.Counter((workflow, marker) for workflow, _, marker in versions)
    meant = {(edit.workflow, edit.marker) for edit in editor.edits}
    patient = collections.Counter(edit.workflow for edit in editor.edits if edit.tries != 2)
    for edit in editor.edits:
        times = found[edit.workflow, edit.marker]
        if not edit.tries:
            broken["a publication that was never acknowledged"].append(edit.marker)
        elif not times:
            broken["a publication that was acknowledged and is no version"].append(edit.marker)
        elif (
            times > 1 and not patient[edit.workflow]
        ):  # a call that comes late may publish an old draft again
            broken["a publication that made two versions"].append(edit.marker)
    for left in set(found) - meant:
        broken["a version that nobody published"].append(str(left))
    for workflow_id in editor.archived:
        if statuses.get(workflow_id) != "archived":
            broken["a workflow that was archived and is not"].append(workflow_id)
    for (event_id,) in too_late:
        broken["an event captured for a workflow that had been archived"].append(event_id)
    return broken
