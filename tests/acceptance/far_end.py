"""The far end of the drill: it fails and is slow as its seed says, and does a thing once for each idempotency key."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.servers import Received, Server, Visit, a_server, http

BUSY = "503 and nothing was done"
BUSY_AFTERWARDS = "done, and answered 503"
SLOW = "done, and answered after a moment"
CUT = "done, and hung up without an answer"
SILENT = "done, and answered when the sender was gone"
FINE = "done, and answered 200"
TROUBLES = (BUSY, BUSY_AFTERWARDS, SLOW, CUT, SILENT)
SLOW_SECONDS, GONE_SECONDS = 0.3, 30.0


@dataclass(frozen=True)
class Request:
    """One request as the books have it; `text` tells which message it was about, as the sender counts messages."""

    text: str
    contact: str
    key: str
    has_token: bool
    outcome: str


class FarEnd:
    """Books of its own. It knows messages by their text, and what it did by the idempotency key alone."""

    def __init__(self, token: str, seed: int) -> None:
        self.requests: list[Request] = []
        self.effects: Counter[str] = Counter()  # how often each message was acted on
        self._expected = f"Bearer {token}"
        self._seed = seed
        self._done: set[str] = set()
        self._lock = threading.Lock()

    def converse(self, visit: Visit) -> None:
        while (received := visit.receive()) is not None:
            outcome = self._take(received)
            if outcome == CUT:
                return
            if outcome == SLOW:
                visit.stopped.wait(SLOW_SECONDS)
            if outcome == SILENT:
                visit.sock.settimeout(GONE_SECONDS)
                visit.sock.recv(1)  # nothing comes: it returns when the sender hangs up or dies
            is_busy = outcome in (BUSY, BUSY_AFTERWARDS)
            # The token is said back, so that whoever stores answers has something to hide.
            said = {"busy": is_busy, "sent": json.loads(received.body), "by": received.headers}
            visit.send(http("503 Busy" if is_busy else "200 OK", json.dumps(said).encode()))

    def _take(self, received: Received) -> str:
        """Note the request and do what it asks for, unless that was done under its key; how to answer it."""
        body: dict[str, Any] = json.loads(received.body)
        key = received.headers.get("idempotency-key", "")
        with self._lock:
            before = sum(request.text == body["text"] for request in self.requests)
            outcome = self._outcome(body["text"], before)
            has_token = received.headers.get("authorization") == self._expected
            self.requests.append(Request(body["text"], body["contact"], key, has_token, outcome))
            if outcome != BUSY and key not in self._done:
                self._done.add(key)
                self.effects[body["text"]] += 1
        return outcome

    def _outcome(self, text: str, before: int) -> str:
        """The first two requests of a message may go wrong, in the same way whenever the seed is the same."""
        drawn = random.Random(f"{self._seed}:{text}")
        troubles = drawn.sample(TROUBLES, drawn.choice((0, 0, 1, 2)))
        return troubles[before] if before < len(troubles) else FINE


@contextmanager
def running(token: str, seed: int) -> Iterator[tuple[FarEnd, Server]]:
    far_end = FarEnd(token, seed)
    with a_server(far_end.converse) as server:
        yield far_end, server
