"""What is known of one attempt while it runs: the time it has, and whether anything has left the house."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from lightfield.kernel.errors import PermanentStepError, TransientStepError

Phase = Literal["lookup", "connect", "tls", "send", "wait", "read"]


class Exchange:
    """One attempt, redirects included. Used by one thread.

    `sent` stays False for as long as it is certain that no byte of a request reached the network. An error
    made here carries it; `answered` means that the far side's decision is known, so a success that could not
    be read to its end is not answered when trying again may get it, and answered when it cannot.
    """

    def __init__(
        self, *, host: str, seconds: float, before_sending: Callable[[], None] | None = None
    ) -> None:
        self.started_at = time.monotonic()
        self.deadline = self.started_at + seconds
        self.seconds = seconds
        self.host = host
        self.phase: Phase = "lookup"
        self.sent = False
        self._before_sending = before_sending
        self.status_code: int | None = None

    def begin(self, host: str) -> None:
        """The next request of the same attempt: a redirect's target."""
        self.host = host
        self.phase = "lookup"
        self.status_code = None

    def may_send(self) -> None:
        """Ask whether a request may still leave; whatever the asked one raises keeps it here."""
        if self._before_sending is not None:
            self._before_sending()

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.started_at

    def remaining(self) -> float:
        """Seconds left, always more than 0. Raises `TransientStepError` (`http.timeout`)."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.timed_out()
        return left

    def timed_out(self) -> TransientStepError:
        return self.transient("http.timeout", f"No complete answer from {self.host} in {self.seconds:g} s.")

    def transient(self, code: str, message: str) -> TransientStepError:
        return TransientStepError(code, message, sent=self.sent, answered=False, **self._metadata())

    def permanent(self, code: str, message: str) -> PermanentStepError:
        is_answered = self.status_code is not None
        return PermanentStepError(code, message, sent=self.sent, answered=is_answered, **self._metadata())

    def _metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {"url_host": self.host, "phase": self.phase}
        if self.status_code is not None:
            metadata["status_code"] = self.status_code
        return metadata
