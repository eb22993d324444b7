"""`bin/bench`: measure Lightfield beside a naive Celery chain, on this machine, in this session.

Everything is started here, in a home of its own: servers, all processes, the load and the sink. See benchmarks/README.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from benchmarks import (
    agents,
    capture,
    fairness,
    growth,
    idle,
    latency,
    memory,
    options,
    outage,
    responsiveness,
    results,
    senders,
    steady,
    table,
    throughput,
    webhooks,
)
from benchmarks.figures import Round
from benchmarks.installation import forget_other_settings
from benchmarks.options import Options
from benchmarks.stage import Bench, Stage
from benchmarks.waiting import TookTooLong
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home

BENCHES = {
    module.BENCH.name: module.BENCH
    for module in (
        throughput,
        latency,
        responsiveness,
        fairness,
        idle,
        webhooks,
        senders,
        capture,
        memory,
        growth,
        steady,
        outage,
        agents,
    )
}
USUAL = (
    "throughput",
    "latency",
    "responsiveness",
    "fairness",
    "idle",
    "webhooks",
    "senders",
    "capture",
    "memory",
)


def main() -> int:
    listing = "\n".join(f"{bench.name:16}{bench.says}" for bench in BENCHES.values())
    wanted = options.read(sys.argv[1:], known=tuple(BENCHES), usual=USUAL, listing=listing)
    if wanted is None:
        return 0
    ending.listen(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        forget_other_settings()
        home = Home.of_this_installation().inner("bench")
        with home.exclusively("bin/bench", patience=5):
            return 0 if _play_all(home, wanted) else 1
    except CannotStart as problem:
        say(str(problem))
    except Ended:
        say("interrupted; everything is stopped")
        return 130
    return 1


def _play_all(home: Home, wanted: Options) -> bool:
    """Whether all was measured on a calm machine, with nothing lost or doubled. Each table is printed when it is known."""
    stage, is_well = Stage(home, wanted), True
    folder = _results_folder(home, wanted)
    for name in wanted.names:
        bench, commit = BENCHES[name], results.commit_of_checkout()
        rounds = _play(bench, stage, wanted.rounds or bench.rounds)
        print(f"\n{table.drawn(bench.name, bench.lines, rounds)}\n", flush=True)
        path = results.keep(name, rounds, commit=commit, options=wanted.as_json(), folder=folder)
        say(f"kept in {os.path.relpath(path)}")
        is_well &= all(one.is_valid and not one.problems for one in rounds)
    return is_well


def _play(bench: Bench, stage: Stage, number: int) -> list[Round]:
    rounds = []
    for count in range(1, number + 1):
        say(f"{bench.name}, round {count} of {number}")
        try:
            rounds.append(bench.play(stage))
        except TookTooLong as problem:  # the runs of this round did not end: nothing is known of their speed
            say(f"{bench.name}, round {count}: {problem}")
            rounds.append(Round(problems=[str(problem)], invalid=["it did not end"]))
    return rounds


def _results_folder(home: Home, wanted: Options) -> Path:
    """Figures of a quick try are not kept among the others, nor any in a checkout that is somebody else's."""
    if wanted.is_quick or not os.access(ROOT, os.W_OK):
        return home.folder("results")
    return results.FOLDER


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
