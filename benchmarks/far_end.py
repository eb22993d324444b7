"""The sink as the bench sees it: its process, its address, its books."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lightfield.local import environment, ports
from lightfield.local.boot import ROOT, CannotStart
from lightfield.local.calls import Api
from lightfield.local.children import spawn, stop
from lightfield.local.ending import ending
from lightfield.local.home import Home

HOST = "127.0.0.1"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Account:
    """What came to the sink, against what was to come. Effects are named `<run>/<step>`."""

    expected: int
    lost: list[str]
    doubled: list[str]  # effects or idempotency keys that came more than once
    strange: list[str]  # effects that nobody had asked for
    answered_at: dict[str, float] = field(default_factory=dict)  # Unix time of a run's last answer

    @property
    def problems(self) -> list[str]:
        named = {"lost": self.lost, "doubled": self.doubled, "never asked for": self.strange}
        return [
            f"{len(found)} effects {what}: {', '.join(found[:3])}" for what, found in named.items() if found
        ]


class FarEnd:
    def __init__(self, port: int, pid: int) -> None:
        self.port, self.pid = port, pid
        self._api = Api(f"http://{HOST}:{port}")

    def url(self, delay_ms: int = 1) -> str:
        """Where a request is answered after so many milliseconds."""
        return f"http://{HOST}:{self.port}/delay/{delay_ms}"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def count(self) -> int:
        """Requests answered since `forget`."""
        return int(self._api.get("/count"))

    def forget(self) -> None:
        self._api.post("/forget")

    def outage_url(self) -> str:
        """Where a request is answered after a millisecond, or 503 while it fails."""
        return f"http://{HOST}:{self.port}/outage/1"

    def fail(self) -> None:
        self._api.post("/fail")

    def recover(self) -> None:
        self._api.post("/recover")

    def outages(self) -> list[tuple[float, int]]:
        """Unix time and status of every answer there since `forget`."""
        return [(at, status) for at, status in self._api.get("/outages")]

    def account(self, wanted: Mapping[str, int]) -> Account:
        """Whether every step of these runs, each with its number of steps, came exactly once."""
        return account_of(self._api.get("/books"), wanted)


def account_of(books: dict[str, Any], wanted: Mapping[str, int]) -> Account:
    """Compare the sink's books with the runs that were asked for."""
    expected = {f"{run}/{step}" for run, steps in wanted.items() for step in range(steps)}
    effects, keys = books["effects"], books["keys"]
    doubled = [effect for effect, (times, _) in effects.items() if times > 1]
    doubled += [f"key {key or 'missing'}" for key, times in keys.items() if times > 1]
    answered_at: dict[str, float] = {}
    for effect, (_, at) in effects.items():
        run = effect.rpartition("/")[0]
        answered_at[run] = max(answered_at.get(run, 0.0), at)
    return Account(
        expected=len(expected),
        lost=sorted(expected - effects.keys()),
        doubled=sorted(doubled),
        strange=sorted(effects.keys() - expected),
        answered_at=answered_at,
    )


@contextlib.contextmanager
def running(home: Home) -> Iterator[FarEnd]:
    """A sink on a free loopback port, until the block ends."""
    port = ports.any_free(HOST)
    child = spawn(
        [sys.executable, "-m", "benchmarks.sink", str(port)],
        cwd=ROOT,
        environ=environment.basis(home),
        output=home.open_log("sink"),
        when_parent_dies=signal.SIGKILL,
    )
    try:
        far_end = FarEnd(port, child.pid)
        _wait_until_it_answers(far_end)
        yield far_end
    finally:
        stop([(child, signal.SIGTERM)], grace=2)


def _wait_until_it_answers(far_end: FarEnd) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        ending.check()
        try:
            far_end.count()
            return
        except CannotStart:
            if time.monotonic() > give_up:
                raise
        time.sleep(0.05)
