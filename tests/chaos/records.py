"""Records under fire: a client that writes them through the API, and workflows that watch.

Each write may be repeated as often as it takes and come late besides, and still is one change: a record is created under
a key or a natural key, and each of its fields is changed once. So there is exactly one event for each write and each
workflow that watches it. Some writes are not repeated when no answer came: those left both the change and its events,
or neither.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lightfield.local.calls import Api
from tests.chaos.asking import Asker, call
from tests.chaos.workload import insist, say

THREADS = 6
WRITES_A_SECOND = 2.0
GIVEN_UP = 0.2  # of the writes whose first try had no answer

# Who watches what. Two watch the same, so that one change has several events.
WATCHERS: dict[str, dict[str, Any]] = {
    "Chaos: new deal": {"entity": "opportunity", "event": "created"},
    "Chaos: new deal, too": {"entity": "opportunity", "event": "created"},
    "Chaos: deal moved": {"entity": "opportunity", "event": "updated", "fields": ["stage", "amount"]},
    "Chaos: deal staged": {"entity": "opportunity", "event": "updated", "fields": ["stage"]},
    "Chaos: new contact": {"entity": "contact", "event": "created"},
    "Chaos: contact changed": {"entity": "contact", "event": "updated"},
}
# What is changed of each kind, one field after the other.
CHANGES: dict[str, dict[str, Any]] = {
    "opportunity": {"stage": "won", "amount": 42, "pipeline": "new"},
    "contact": {"title": "Countess", "do_not_contact": True},
}
PATHS = {"opportunity": "/api/v1/crm/opportunities", "contact": "/api/v1/crm/contacts"}
CREATED = ""  # in place of a field's name: the record itself


@dataclass
class Write:
    """One thing that the client wanted: a new record, or one field of it changed."""

    entity: str
    name: str  # the record's own, known outside before it has an id
    changed: str = CREATED  # field
    tries: int = 0
    is_acknowledged: bool = False
    is_given_up: bool = False


@dataclass
class Notes:
    """What the client was told. Only its own threads write, each its own records'."""

    writes: list[Write] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)  # of records, by their names

    @property
    def acknowledged(self) -> int:
        return sum(write.is_acknowledged for write in self.writes)


def publish(api: Api) -> None:
    for name, config in WATCHERS.items():
        definition = {
            "schema": 1,
            "name": name,
            "trigger": {"type": "record", "config": config},
            "steps": [say("told", "{{ trigger.id }}")],
        }
        workflow = insist(api, "/api/v1/workflows", definition)
        insist(api, f"/api/v1/workflows/{workflow['id']}/publish")


class Writer(Asker):
    """Creates records and changes them, field by field, each in a thread of its own."""

    def __init__(self, api: Api, *, seed: int) -> None:
        super().__init__(api, self._live, number=THREADS, pause=THREADS / WRITES_A_SECOND)
        self.notes = Notes()
        self._drawn = random.Random(f"{seed}:records")
        self._prefix = f"chaos-{seed}-{time.time_ns():x}"
        self._numbers = itertools.count(1)

    def _live(self, _: int) -> None:
        """One record: made, then changed."""
        entity = self._drawn.choice(list(CHANGES))
        name = f"{self._prefix}-{next(self._numbers)}@example.com"
        if not self._write(Write(entity, name), partial(self._create, entity, name)):
            return
        for changed, value in CHANGES[entity].items():
            self.gives_up.wait(self._drawn.uniform(0, THREADS / WRITES_A_SECOND))
            self._write(Write(entity, name, changed), partial(self._change, entity, name, {changed: value}))

    def _write(self, write: Write, attempt: Callable[[], bool]) -> bool:
        """Whether it was acknowledged."""
        self.notes.writes.append(write)

        def is_over() -> bool:
            write.tries += 1
            write.is_acknowledged = attempt()
            write.is_given_up = not write.is_acknowledged and self._gives_up_on(write)
            return write.is_acknowledged or write.is_given_up

        self.insist(is_over)
        return write.is_acknowledged

    def _gives_up_on(self, write: Write) -> bool:
        return write.tries == 1 and self._drawn.random() < GIVEN_UP

    def _create(self, entity: str, name: str) -> bool:
        """An opportunity under a key; a contact by its address: if that is taken, it is ours."""
        if entity == "opportunity":
            status, said = call(self.api, "POST", PATHS[entity], {"name": name}, key=name)
        else:
            status, said = call(self.api, "POST", PATHS[entity], {"email": name})
            if status == 409 and said.get("code") == "record.duplicate":
                status, listed = call(self.api, "GET", f"{PATHS[entity]}?email={name}")
                said = next(iter(listed.get("results", [])), {})
        if status not in (200, 201) or "id" not in said:
            return False
        self.notes.ids[name] = said["id"]
        return True

    def _change(self, entity: str, name: str, fields: dict[str, Any]) -> bool:
        status, _ = call(self.api, "PATCH", f"{PATHS[entity]}/{self.notes.ids[name]}", fields)
        return status == 200


def watchers_of(write: Write) -> list[str]:
    """The workflows that ask for such a change."""
    event = "created" if write.changed == CREATED else "updated"
    return [
        name
        for name, config in WATCHERS.items()
        if config["entity"] == write.entity
        and config["event"] == event
        and (write.changed == CREATED or not config.get("fields") or write.changed in config["fields"])
    ]
