"""What is measured: a system takes webhooks, and its runs send requests to the sink."""

from __future__ import annotations

import itertools
import shutil
import signal
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import counters, waiting
from benchmarks.far_end import Account, FarEnd
from benchmarks.load import Reply
from lightfield.local import valkey
from lightfield.local.children import end_all, working_in
from lightfield.local.home import Home
from lightfield.local.supervisor import end_leftovers

LEFTOVER_SECONDS = 60.0  # bin/up waits 30 for running steps when it is told to end
LOOK_EVERY = 0.2  # seconds
LONGEST_RUN = 120.0  # seconds
FEWEST_ANSWERS = 20.0  # a second: with fewer, the wait for many runs is given up


@dataclass(frozen=True)
class Ends:
    """When runs ended, in Unix time by the id in their webhook; and what is wrong with others."""

    at: dict[str, float]
    problems: list[str]


class System(ABC):
    """One running system. `roots`: the processes that are all of it, with everything below them."""

    name: str
    roots: list[int]

    def __init__(self, sink: FarEnd) -> None:
        self.sink = sink

    @abstractmethod
    def hook(self, steps: int) -> str:
        """The address of a workflow of so many requests, one after the other, each answered after 1 ms."""

    def wait_for(self, replies: list[Reply], *, also: int = 0) -> None:
        """Return when the runs of these webhooks have ended, and the sink has given `also` more answers since `forget`.

        The sink is asked, which costs the system nothing, and seldom: the ends themselves come from elsewhere.
        """
        number = sum(reply.steps for reply in replies if reply.status == 202) + also
        what, seconds = f"{number} answers of the sink", LONGEST_RUN + number / FEWEST_ANSWERS
        waiting.until(what, lambda: self.sink.count() >= number, seconds=seconds, every=LOOK_EVERY)

    @abstractmethod
    def ends_of(self, replies: list[Reply], account: Account) -> Ends: ...

    @abstractmethod
    def counts(self) -> counters.Counts:
        """What the system's servers have counted so far."""


def begin_anew(home: Home) -> None:
    """Empty tables, queues and logs. A system whose bench was killed ends by itself, within a minute."""
    with home.exclusively("bin/bench", patience=LEFTOVER_SECONDS):
        end_leftovers(home)
        end_all(partial(working_in, home.path / "postgres", ["postgres"]), first=signal.SIGQUIT, grace=1)
        end_all(partial(working_in, home.path / "redis", valkey.PROGRAM_NAMES), first=signal.SIGTERM, grace=1)
        for name in ("postgres", "redis", "logs"):
            shutil.rmtree(home.path / name, ignore_errors=True)


def bodies(steps: int = 0) -> Iterator[dict[str, Any]]:
    """Bodies of webhooks, each with an id of its own, without end."""
    session = uuid.uuid4().hex[:12]
    for number in itertools.count():
        yield {"id": f"{session}-{number}", "steps": steps}


def refused(replies: list[Reply]) -> list[str]:
    """What to say of webhooks that were not accepted."""
    others = [reply for reply in replies if reply.status != 202]
    if not others:
        return []
    first = others[0]
    return [f"{len(others)} webhooks not accepted: {first.status} {first.body[:100]!r}"]
