"""Notes of requests up to their bounds: at most 1,000 in full, of one address at most 100, 4 MiB in all.

What is beyond is counted, by address, verdict and minute, with at most 1,000 counters; beyond those only their number
is kept, for the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

MOST: Final = 1_000
MOST_OF_ONE: Final = 100
MOST_BYTES: Final = 4 << 20
MOST_COUNTERS: Final = 1_000

Counter = tuple[int | None, str, str, str | None, int]  # trigger, hash of the address, verdict, code, answer


@dataclass(slots=True)
class Counted:
    count: int
    address: str
    last_at: float  # monotonic


@dataclass(slots=True)
class Page:
    """Notes up to their bounds. Not for two threads at once."""

    notes: list[dict[str, Any]] = field(default_factory=list)
    held: dict[tuple[int | None, str], int] = field(default_factory=dict)  # notes of one address
    counters: dict[Counter, Counted] = field(default_factory=dict)
    size: int = 0  # about, in bytes
    dropped: int = 0

    def write(self, note: dict[str, Any]) -> None:
        of, size = (note["trigger_id"], note["token_hash"]), _size_of(note)
        is_full = len(self.notes) >= MOST or self.size + size > MOST_BYTES
        if is_full or self.held.get(of, 0) >= MOST_OF_ONE:
            counter = (*of, note["verdict"], note["code"], note["answer"])
            self.count(counter, note["address"], note["came_at"])
            return
        self.held[of] = self.held.get(of, 0) + 1
        self.size += size
        self.notes.append(note)

    def count(self, counter: Counter, address: str, at: float, *, times: int = 1) -> None:
        found = self.counters.get(counter)
        if found is not None:
            found.count, found.address, found.last_at = found.count + times, address, at
        elif len(self.counters) < MOST_COUNTERS:
            self.counters[counter] = Counted(times, address, at)
        else:
            self.dropped += times

    @property
    def total(self) -> int:
        """Requests that it tells of."""
        return len(self.notes) + sum(found.count for found in self.counters.values())

    def parts(self) -> list[Page]:
        """Each note and each counter on a page of its own."""
        found = [Page(notes=[note]) for note in self.notes]
        found += [Page(counters={counter: counted}) for counter, counted in self.counters.items()]
        return found

    @classmethod
    def of(cls, parts: list[Page]) -> Page:
        """One page of what `parts` took apart."""
        whole = cls()
        for part in parts:
            for note in part.notes:
                whole.write(note)
            for counter, counted in part.counters.items():
                whole.count(counter, counted.address, counted.last_at, times=counted.count)
        return whole

    @property
    def is_empty(self) -> bool:
        return not (self.notes or self.counters)

    def as_json(self, now: float) -> str:
        full = [
            {**note, "age": now - note["came_at"], "count": 1, "is_counted": False} for note in self.notes
        ]
        counted = [
            {
                "trigger_id": trigger_id,
                "token_hash": token_hash,
                "verdict": verdict,
                "code": code,
                "answer": answer,
                "address": found.address,
                "age": now - found.last_at,
                "count": found.count,
                "is_counted": True,
            }
            for (trigger_id, token_hash, verdict, code, answer), found in self.counters.items()
        ]
        return json.dumps(full + counted)


def _size_of(note: dict[str, Any]) -> int:
    """Characters, about: a sender chooses how long its headers are."""
    headers = sum(len(name) + len(value) for name, value in note["headers"].items())
    return 1_000 + headers + len(note["body"] or "")
