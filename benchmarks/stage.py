"""What every bench needs to play a round: a home, a sink, the systems, and a way to tell how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from benchmarks import baseline, far_end, installation, load, systems
from benchmarks.baseline import Baseline
from benchmarks.far_end import Account, FarEnd
from benchmarks.figures import Line, Round
from benchmarks.installation import Installation
from benchmarks.load import Reply, Sender
from benchmarks.options import Options
from benchmarks.systems import Ends, System
from lightfield.local.boot import say
from lightfield.local.home import Home

STEPS = 3  # requests of the run that most benches measure


@dataclass(frozen=True)
class Bench:
    """One measurement: `play` is one round of it."""

    name: str
    says: str
    rounds: int
    lines: tuple[Line, ...]
    play: Callable[[Stage], Round]


class Stage:
    def __init__(self, home: Home, options: Options) -> None:
        self.home, self.options = home, options

    @contextlib.contextmanager
    def sink(self) -> Iterator[FarEnd]:
        with far_end.running(self.home) as sink:
            yield sink

    @contextlib.contextmanager
    def lightfield(self, *, settings: Mapping[str, str] | None = None) -> Iterator[Installation]:
        """An installation with empty tables, and a sink for its requests. What a person set wins over `settings`."""
        say("starting Lightfield")
        with (
            self.sink() as sink,
            installation.running(
                self.home.inner("lightfield"),
                sink,
                settings={**(settings or {}), **self.options.settings},
                statements=self.options.statements,
            ) as system,
        ):
            yield system

    @contextlib.contextmanager
    def naive(self) -> Iterator[Baseline]:
        """The baseline with empty queues, and a sink for its requests."""
        say("starting the baseline")
        with self.sink() as sink, baseline.running(self.home.inner("naive"), sink) as system:
            yield system

    def warm(self, system: System, hook: str, *, steps: int = STEPS) -> None:
        """Some runs that count for nothing, so that every process has connected, imported and cached."""
        replies = load.run(Sender(hook).closed_loop(islice(systems.bodies(steps), self.options.warm)))
        system.wait_for(replies)
        system.sink.forget()


def judged(
    system: System, replies: list[Reply], *, also: Mapping[str, int] | None = None
) -> tuple[Ends, Account, list[str]]:
    """When the runs of these webhooks ended, what the sink saw of them, and everything that is wrong with either.

    `also`: runs that no webhook asked for, with their numbers of steps.
    """
    wanted = {reply.run: reply.steps for reply in replies} | dict(also or {})
    account = system.sink.account(wanted)
    ends = system.ends_of(replies, account)
    return ends, account, [f"{system.name}: {problem}" for problem in [*ends.problems, *account.problems]]


def end_to_end(replies: list[Reply], at: dict[str, float]) -> list[float]:
    """Seconds from a webhook's first byte to the end of its run, of those that ended."""
    return [at[reply.run] - reply.sent_at for reply in replies if reply.run in at]
