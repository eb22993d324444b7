"""A notebook for tests: keeps the notes of decisions and carries them nowhere."""

from __future__ import annotations

from typing import Any

from triggers.decisions.notebook import Note


class Jotter:
    def __init__(self) -> None:
        self.notes: list[Note] = []

    def write(self, note: Note) -> None:
        self.notes.append(note)

    def flush(self) -> bool:
        return True

    @property
    def told(self) -> list[tuple[int, str, dict[str, Any] | None]]:
        """Trigger, verdict and detail of each."""
        return [(note.trigger_id, str(note.verdict), note.detail) for note in self.notes]
