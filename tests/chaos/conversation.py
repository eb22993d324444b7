"""Following a conversation between a client and PostgreSQL: which transaction is being committed right now.

The protocol is that of chapter 54 of PostgreSQL's manual: after the first message, each has a type byte and a
length. Statements are known by words that only they contain. A statement outside a transaction commits by itself;
inside one, COMMIT ends what the first known statement began.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# The first that matches. `lost_race()` is in every settlement.
KINDS: tuple[tuple[str, bytes], ...] = (
    ("capture", b"t.token_hash ="),
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
BACKEND_KEY, READY, QUERY, PARSE, BIND, DONE, ERROR = b"K", b"Z", b"Q", b"P", b"B", b"C", b"E"
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
        self._has_settled = False
        self._client = b""
        self.has_changed = True  # by the answer that ended last: rows, and without an error

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
        if not self._is_open:
            return statement
        self._began_with = self._began_with or statement
        self._has_settled = self._has_settled or statement == "settle"
        return ""

    def _say(self, words: bytes) -> str:
        if words.startswith(b"BEGIN"):
            self._is_open, self._began_with, self._has_settled = True, "", False
        elif words.startswith(b"COMMIT"):
            self._is_open = False
            return self._committed()
        elif words.startswith(b"ROLLBACK") and not words.startswith(b"ROLLBACK TO"):
            self._is_open = False
        return ""

    def _committed(self) -> str:
        """A person's cancel and a run's timeout are the same statements, by another process."""
        if self._began_with in SETTLING and not self._has_settled:
            return ""
        if self._began_with == "end":
            return "cancel" if self._client.startswith(b"lightfield-web") else "timeout"
        return self._began_with

    def tell(self, data: bytes) -> bool:
        """Bytes from the server. Whether they end an answer: whatever was to be committed is."""
        is_ready = False
        for kind, body in self._told.feed(data):
            if kind == BACKEND_KEY:
                self.backend = int.from_bytes(body[:4])
            elif kind == DONE:
                tag = body.rstrip(b"\0")
                self.has_changed = not tag.endswith(b" 0") and tag != b"ROLLBACK"
            elif kind == ERROR:
                self.has_changed = False
            is_ready = is_ready or kind == READY
        return is_ready


def kind_of(statement: bytes) -> str:
    return next((kind for kind, words in KINDS if words in statement), "")
