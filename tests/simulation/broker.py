"""In place of Redis: messages that wait, and the flags of bells that need not be rung twice."""

from __future__ import annotations

from datetime import datetime, timedelta

from lightfield.kernel.bells import FLAG_SECONDS, Bell
from tests.simulation.tables import BEGINNING, Tables

MOST_MESSAGES = 200


class Broker:
    """Keeps what is rung until the world delivers or loses it. `tables` has the clock by which flags end."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.messages: list[Bell] = []
        self.flags: dict[str, datetime] = {}  # topic → when its flag ends

    def ring(self, bell: Bell) -> None:
        if bell.topic is not None:
            if not bell.forced and self.flags.get(bell.topic, BEGINNING) > self._tables.clock:
                return
            self.flags[bell.topic] = self._tables.clock + timedelta(seconds=FLAG_SECONDS)
        self.messages.append(bell)
        del self.messages[:-MOST_MESSAGES]

    def answered(self, topic: str) -> None:
        self.flags.pop(topic, None)
