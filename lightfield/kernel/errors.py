"""Every error this system raises on purpose. Nothing here imports an app.

The class answers "whose fault, and does trying again help?"; the `code` names the exact case, is stable,
and is listed with its meaning and remedy in `lightfield.kernel.catalogue`. The timeline stores the code,
the API returns it, tests assert on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightfield.kernel.catalogue import CATALOGUE


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a document: where (RFC 6901 JSON pointer), which code, and what to do."""

    pointer: str
    code: str
    detail: str

    def as_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


class LightfieldError(Exception):
    """Base class. Do not raise directly.

    `metadata` is small, JSON-safe and never secret: it is stored on attempts, steps and runs.
    """

    def __init__(self, code: str, message: str = "", **metadata: Any) -> None:
        self.entry = CATALOGUE[code]  # a code that nobody catalogued is a bug: fail loudly in tests
        self.code = code
        self.message = message or self.entry.meaning
        self.metadata = metadata
        super().__init__(f"{code}: {self.message}")


class RequestRefused(LightfieldError):
    """The caller asked for something impossible or unreadable: answer 4xx, change nothing.

    The HTTP status is the catalogue's. `problems` point at the places in what was sent.
    """

    def __init__(
        self, code: str, message: str = "", problems: list[Problem] | None = None, **metadata: Any
    ) -> None:
        super().__init__(code, message, **metadata)
        self.problems = problems or []


class LostRace(Exception):
    """Somebody else changed the row first. Not a failure: stop at once and write nothing more."""


class StepError(LightfieldError):
    """A step attempt failed. Raise one of the two subclasses.

    `sent` is False only when it is certain that the far side never saw the request; it decides whether an
    effect ends as `unknown` or `abandoned`. `answered` is True when a readable answer came back.
    """

    retryable: bool

    def __init__(
        self, code: str, message: str = "", *, sent: bool = False, answered: bool = False, **metadata: Any
    ) -> None:
        super().__init__(code, message, **metadata)
        self.sent = sent
        self.answered = answered


class TransientStepError(StepError):
    """Trying again later may succeed (timeout, refused connection, 503)."""

    retryable = True

    def __init__(
        self, code: str, message: str = "", *, retry_after: float | None = None, **metadata: Any
    ) -> None:
        super().__init__(code, message, **metadata)
        self.retry_after = retry_after  # seconds; a floor for the backoff, capped by the retry policy


class PermanentStepError(StepError):
    """Trying again cannot succeed (bad configuration, unresolved template, 400)."""

    retryable = False


class WriteConflict(Exception):
    """Somebody else wrote at the same moment what this transaction was about to: undo it and run it again.

    `otherwise` is the step's error if it happens every time.
    """

    def __init__(self, otherwise: StepError) -> None:
        self.otherwise = otherwise
        super().__init__(str(otherwise))
