"""A notebook for tests: keeps the notes of decisions and carries them nowhere."""

from __future__ import annotations

from typing import Any

from triggers.decisions.noted import Note
from triggers.deliveries import desk


class Jotter:
    def __init__(self) -> None:
        self._notes: list[Note] = []

    def write(self, note: Note) -> None:
        self._notes.append(note)

    def flush(self) -> bool:
        return True

    @property
    def notes(self) -> list[Note]:
        """Those too that come of deliveries which nobody has written yet."""
        desk.flush()
        return self._notes

    @property
    def told(self) -> list[tuple[int, str, dict[str, Any] | None]]:
        """Trigger, verdict and detail of each; of a webhook without the delivery that it was."""
        return [(note.trigger_id, str(note.verdict), _without_delivery(note.detail)) for note in self.notes]


def _without_delivery(detail: dict[str, Any] | None) -> dict[str, Any] | None:
    return detail and {name: value for name, value in detail.items() if name != "delivery_id"}
