"""One process that has to run: starting it, starting it again when it died, and asking whether it lives."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lightfield.local.boot import CannotStart
from lightfield.local.children import Child, has_ended, kill, stop
from lightfield.local.home import Home

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds before a process is started again: 0.25, 0.5, 1 … 5
SETTLED = 5.0  # seconds after which a process counts as having run, and its next pause is the first again
ASK_EVERY, ANSWER_WITHIN, SILENCES = 30.0, 20.0, 2  # two missed answers: silent for about a minute


@dataclass(frozen=True)
class End:
    """A process has ended that nobody here asked to. `was_silent`: its checkup killed it."""

    name: str
    pid: int
    returncode: int
    was_silent: bool


class Supervised:
    """A process with a name, a pid file that always holds its newest pid, and a way to start it."""

    def __init__(
        self,
        home: Home,
        name: str,
        spawn: Callable[[], Child],
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.home = home
        self.name = name
        self.stop_signal = stop_signal
        self.child: Child | None = None
        self.was_silent = False
        self.on_end: Callable[[End], object] = lambda _: None  # for whoever keeps books
        self._spawn = spawn
        self._started_at = 0.0
        self._due_at: float | None = None  # when it may be started again; None while it runs
        self._quick_ends = 0

    def start(self) -> Child:
        self.child = self._spawn()
        self.home.write_pid(self.name, self.child.pid)
        self._started_at = time.monotonic()
        self._due_at = None
        self.was_silent = False
        return self.child

    @property
    def age_seconds(self) -> float:
        """How long ago it was started last."""
        return time.monotonic() - self._started_at

    def tend(self) -> str:
        """Start it again if it died and its pause is over. What happened, or '' (nothing)."""
        if self.child is None or not has_ended(self.child):
            return ""
        now = time.monotonic()
        if self._due_at is None:
            self._quick_ends = self._quick_ends + 1 if now - self._started_at < SETTLED else 0
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._quick_ends)
            self._due_at = now + pause
            returncode = self.child.wait()  # known by now
            self.on_end(End(self.name, self.child.pid, returncode, self.was_silent))
            return f"{self.name} ended ({_how(returncode)}); starting it again in {pause:g} s"
        if now < self._due_at:
            return ""
        try:
            return f"{self.name} runs again (pid {self.start().pid})"
        except (CannotStart, OSError) as problem:
            self._due_at = now + LONGEST_PAUSE
            return f"{self.name} cannot be started: {problem}"

    def forget(self) -> None:
        """After an orderly stop: no process, no pid file."""
        self.child = None
        with contextlib.suppress(OSError):
            self.home.pid_file(self.name).unlink()


def stop_all(
    processes: Sequence[Supervised], *, grace: float, is_urgent: Callable[[], bool] = lambda: False
) -> None:
    """End all of them, together: see `children.stop`."""
    running = [(one.child, one.stop_signal) for one in processes if one.child]
    stop(running, grace=grace, is_urgent=is_urgent)
    for one in processes:
        one.forget()


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"signal {-returncode}"


class Checkup:
    """Asks a running process every 30 s whether it lives; kills it when it stays silent.

    `ask` starts the question: a process that ends with 0 when all is well.
    """

    def __init__(self, process: Supervised, ask: Callable[[], Child]) -> None:
        self.process = process
        self._ask = ask
        self._asked: Child | None = None
        self._asked_pid = 0
        self._asked_at = time.monotonic()
        self._silences = 0

    def tend(self) -> str:
        """Ask, or look at the answer. What happened, or ''."""
        child = self.process.child
        if child is None or child.returncode is not None:
            self._silences = 0
            return ""
        waited = time.monotonic() - self._asked_at
        if self._asked is None:
            # A process that is only starting cannot answer yet: that is no silence.
            if waited >= ASK_EVERY and self.process.age_seconds >= ASK_EVERY:
                self._asked_pid, self._asked_at = child.pid, time.monotonic()
                self._asked = self._ask()
            return ""
        if not has_ended(self._asked) and waited < ANSWER_WITHIN:
            return ""
        answer = self._asked.returncode
        self.close()
        self._silences = 0 if answer == 0 or self._asked_pid != child.pid else self._silences + 1
        if self._silences < SILENCES:
            return ""
        self._silences = 0
        self.process.was_silent = True
        kill(child.pid)
        return f"{self.process.name} has not answered for a minute and was killed"

    def close(self) -> None:
        if self._asked is not None and not has_ended(self._asked):
            kill(self._asked.pid)
            self._asked.wait()
        self._asked = None
