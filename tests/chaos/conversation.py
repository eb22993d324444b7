"""Following a conversation between a client and PostgreSQL: which transaction is being committed right now.

The protocol is that of chapter 54 of PostgreSQL's manual: after the first message, each has a type byte and a
length. Statements are known by words that only they contain. A statement outside a transaction commits by itself;
inside one, COMMIT ends what the first known statement began. Whether a transaction changed anything is told by the
answer to that statement, not by that to COMMIT: by the number of its rows, or by what its row says.
"""

from __future__ import annotations

import collections
import struct
from collections.abc import Callable, Iterator

# The first that matches. `lost_race()` is in every settlement.
KINDS: tuple[tuple[str, bytes], ...] = (
    ("capture", b"known.refused_as FROM known LEFT JOIN added"),
    ("replay", b"'replay_of', old.id"),
    ("end", b"coalesce(deadline_at < clock_timestamp(), false) FROM executions_run"),
    ("give_up", b"coalesce(f.request->>'on_unknown'"),
    ("late_truth", b"s.status IN ('cancelled', 'failed') RETURNING e.id"),
    ("settle_effects", b"UPDATE executions_effect e SET status = 'unknown', decided_at"),
    ("settle", b"lost_race()"),
    ("dispatch", b"INSERT INTO executions_run "),
    ("intent", b"INSERT INTO executions_effect"),
    ("claim", b"s.quarantined OR c.was"),
    ("admit", b"SET status = 'queued', rung_at"),
    ("sweep", b"rings = least(s.rings + 1"),
    ("renew", b"FOR UPDATE OF s SKIP LOCKED)\nUPDATE executions_steprun s SET lease_expires_at"),
)
BACKEND_KEY, READY, QUERY, PARSE, BIND, ROW, DONE, ERROR = b"K", b"Z", b"Q", b"P", b"B", b"D", b"C", b"E"
# Statements that always answer with a row: what it says when something changed.
SAYS: dict[str, Callable[[list[bytes | None]], bool]] = {
    "capture": lambda row: row[2] is not None,  # the event that was added; none for a duplicate
    "dispatch": lambda row: row[1] != b"0",  # events taken
}
COMMIT = "COMMIT"
SETTLING = ("end", "give_up")  # transactions that count only if they settled something
LONGEST_LOOK = 64 * 1024  # bytes of one message that are looked at


class Messages:
    """Cuts a stream into messages: (type, beginning of the body)."""

    def __init__(self, *, has_start: bool) -> None:
        self._rest = b""
        self._skip = 0  # bytes of a long message that are still to come
        self._is_first = has_start  # the client's first message has no type

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._rest += data
        while True:
            head = 4 if self._is_first else 5
            if len(self._rest) < head:
                return
            (length,) = struct.unpack("!I", self._rest[head - 4 : head])
            whole = length + head - 4
            if len(self._rest) < min(whole, LONGEST_LOOK):
                return
            message, self._rest = self._rest[:whole], self._rest[whole:]
            self._skip = whole - len(message)
            kind = b"" if self._is_first else message[:1]
            self._is_first = False
            yield kind, message[head:]


class Conversation:
    """What one connection is about: its backend's number, and the kind of transaction that now commits."""

    def __init__(self) -> None:
        self.backend = 0
        self._asked = Messages(has_start=True)
        self._told = Messages(has_start=False)
        self._prepared: dict[bytes, str] = {}
        self._is_open = False  # a transaction
        self._began_with = ""
        self._seen: set[str] = set()  # statements of that transaction
        self._client = b""
        self._awaited: collections.deque[tuple[str, bool]] = (
            collections.deque()
        )  # asked; inside a transaction?
        self._row_says = False
        self._changes = False  # of the transaction that is open
        self.has_changed = True  # by the answer that ended last, or the transaction it committed

    def ask(self, data: bytes) -> str:
        """Bytes from the client. The kind of the transaction that they commit, or ''."""
        commits = ""
        for kind, body in self._asked.feed(data):
            if not kind:
                self._client = self._client or body.partition(b"application_name\0")[2].partition(b"\0")[0]
            elif kind == PARSE:
                name, _, rest = body.partition(b"\0")
                self._prepared[name] = kind_of(rest)
            elif kind == BIND:
                commits = self._run(self._prepared.get(body.split(b"\0")[1], "")) or commits
            elif kind == QUERY:
                commits = self._say(body) or commits
        return commits

    def _run(self, statement: str) -> str:
        self._awaited.append((statement, self._is_open))
        if not self._is_open:
            return statement
        self._began_with = self._began_with or statement
        self._seen.add(statement)
        return ""

    def _say(self, words: bytes) -> str:
        is_commit = words.startswith(b"COMMIT")
        self._awaited.append((COMMIT if is_commit else "", self._is_open))
        if words.startswith(b"BEGIN"):
            self._is_open, self._began_with, self._changes = True, "", False
            self._seen.clear()
        elif is_commit:
            self._is_open = False
            return self._committed()
        elif words.startswith(b"ROLLBACK") and not words.startswith(b"ROLLBACK TO"):
            self._is_open = False
        return ""

    def _committed(self) -> str:
        """A person's cancel and a run's timeout are the same statements, by another process. A cell that gave
        nothing up has only claimed."""
        if self._began_with in SETTLING and "settle" not in self._seen:
            return "claim" if "claim" in self._seen else ""
        if self._began_with == "end":
            return "cancel" if self._client.startswith(b"lightfield-web") else "timeout"
        return self._began_with

    def tell(self, data: bytes) -> bool:
        """Bytes from the server. Whether they end an answer: whatever was to be committed is."""
        is_ready = False
        for kind, body in self._told.feed(data):
            if kind == BACKEND_KEY:
                self.backend = int.from_bytes(body[:4])
            elif kind == ROW and self._awaited and self._awaited[0][0] in SAYS:
                self._row_says = self._row_says or SAYS[self._awaited[0][0]](values_of(body))
            elif kind == DONE:
                self._done(body.rstrip(b"\0"))
            elif kind == ERROR:
                self.has_changed = False
            elif kind == READY:
                is_ready = True
                self._awaited.clear()
        return is_ready

    def _done(self, tag: bytes) -> None:
        statement, is_inside = self._awaited.popleft() if self._awaited else ("", False)
        did = self._row_says if statement in SAYS else not tag.endswith(b" 0")
        self._row_says = False
        if statement == COMMIT:
            self.has_changed = self._changes and tag == b"COMMIT"  # ROLLBACK: it had failed before
        elif not is_inside:
            self.has_changed = did
        elif statement and statement == self._deciding():
            self._changes = self._changes or did

    def _deciding(self) -> str:
        """The statement whose answer tells whether the open transaction changes anything."""
        if self._began_with not in SETTLING:
            return self._began_with
        return "settle" if "settle" in self._seen else "claim"


def values_of(row: bytes) -> list[bytes | None]:
    """The first three columns of a row, as text."""
    values: list[bytes | None] = []
    at = 2
    for _ in range(min(3, int.from_bytes(row[:2]))):
        (length,) = struct.unpack("!i", row[at : at + 4])
        at += 4
        values.append(None if length < 0 else row[at : at + length])
        at += max(0, length)
    return values


def kind_of(statement: bytes) -> str:
    return next((kind for kind, words in KINDS if words in statement), "")
