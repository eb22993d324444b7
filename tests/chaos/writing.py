"""The clients that write through the API: of records (`records`), and of workflows (`editing`).

Where their points are walked, and in the soak. Faults of the matrix are measured by webhooks alone.
"""

from __future__ import annotations

from typing import Any

from lightfield.local.calls import Api
from tests.chaos import editing, judging_records, records
from tests.chaos.editing import Editor
from tests.chaos.records import Writer
from tests.chaos.stack import Stack

WRITTEN_AT = frozenset({"CP-L1", "CP-L2", "CP-L3", "CP-P1", "CP-P2"})
PATIENCE = 90.0  # a key whose request died is free again after a minute


class Writing:
    """Both, from their start to what contradicts them. Nothing at all until `start`."""

    def __init__(self, api: Api, *, seed: int) -> None:
        self._api = api
        self.writer = Writer(api, seed=seed)
        self.editor = Editor(api)
        self._has_started = False

    def start(self) -> None:
        records.publish(self._api)
        self._has_started = True
        self.writer.start()
        self.editor.start()

    def finish(self, stretch: float) -> list[str]:
        """Wait for the last answers. What never came."""
        parts = {"records": self.writer, "workflows": self.editor}
        for one in parts.values():
            one.is_over.set()
        return [
            f"writes of {name} never answered"
            for name, one in parts.items()
            if not one.finish(PATIENCE * stretch)
        ]

    def abandon(self) -> None:
        self.writer.abandon()
        self.editor.abandon()

    def contradictions(self, stack: Stack) -> dict[str, list[str]]:
        """By rule."""
        if not self._has_started:
            return {}
        of_records = judging_records.Verdict(
            self.writer.notes,
            stack.ask(judging_records.STORED),
            stack.ask(judging_records.EVENTS, list(records.WATCHERS)),
        ).broken
        names = sorted({edit.workflow for edit in self.editor.edits})
        of_workflows = editing.judge(
            self.editor,
            stack.ask(editing.VERSIONS, names),  # type: ignore[arg-type]
            dict(stack.ask(editing.STATUSES, editing.SHORT_LIVED)),  # type: ignore[arg-type]
            stack.ask(editing.TOO_LATE, editing.SHORT_LIVED),  # type: ignore[arg-type]
        )
        return {**of_records, **of_workflows}

    def facts(self) -> dict[str, Any]:
        if not self._has_started:
            return {}
        notes = self.writer.notes
        tried_again = sum(write.tries > 1 for write in notes.writes)
        given_up = sum(write.is_given_up for write in notes.writes)
        return {
            "writes of records": f"{notes.acknowledged} acknowledged, {tried_again} tried again, {given_up} given up",
            "publications": f"{len(self.editor.edits)}, {len(self.editor.archived)} workflows archived",
        }
