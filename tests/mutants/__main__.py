"""`bin/mutants`: is every planted fault noticed by a test?

Each mutant of `tests.mutants.catalogue` is put into a copy of the checkout, and the tests that it names are run
there on real servers, one pair for all. First they run without any mutant: a test that fails then proves
nothing. The exit code is 0 only when every mutant was caught by a test that failed while it ran.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from lightfield.local.ending import Ended, ending
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.tree import Tree, copy_to
from tests.mutants.trial import Bench, Trial, Verdict


def say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201


def chosen(only: str | None) -> list[Mutant]:
    if only is None:
        return list(MUTANTS)
    names = only.split(",")
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    if unknown := [name for name in names if name not in by_name]:
        raise SystemExit(f"no mutant is called {', '.join(unknown)}; see --list")
    return [by_name[name] for name in names]


def show(trial: Trial, *, is_telling_why: bool) -> None:
    mutant = trial.mutant
    say(f"{trial.verdict:9}{trial.seconds:5.1f} s  {mutant.name}")
    say(f"{'':18}now      {mutant.breaks}")
    say(f"{'':18}promise  {mutant.promise}")
    if trial.test:
        say(f"{'':18}by       {trial.test}")
    if is_telling_why or trial.verdict != Verdict.CAUGHT:
        say(f"{'':18}why      {trial.why}")


def is_sound(benches: list[Bench], mutants: list[Mutant]) -> bool:
    """Do the tests pass while nothing is wrong?"""
    began = time.monotonic()
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    parts = [part for n in range(len(benches)) if (part := tests[n :: len(benches)])]
    with ThreadPoolExecutor(len(parts)) as pool:
        results = list(pool.map(lambda bench, part: bench.run(part), benches, parts))
    for notes, said in results:
        bad = [found for found in notes if found["kind"] != "passed"]
        for found in bad:
            say(f"without any mutant: {found.get('test', '')} {found['why']}")
        if bad or not notes:
            say(said)
            return False
    passed = sum(len(notes) for notes, _ in results)
    say(f"baseline  {passed} tests pass without any mutant, {time.monotonic() - began:.1f} s")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/mutants", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help="these mutants")
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at once (default 1)")
    parser.add_argument("--why", action="store_true", help="also show how each catching test failed")
    options = parser.parse_args()
    mutants = chosen(options.only)
    if options.list:
        for mutant in mutants:
            say(f"{mutant.name:45}{mutant.breaks}")
        return 0
    with tempfile.TemporaryDirectory(prefix="lightfield-mutants-") as folder, ExitStack() as stack:
        benches = [Bench(Tree(Path(folder, str(n))), n) for n in range(max(1, options.jobs))]
        for bench in benches:
            copy_to(bench.tree.folder)
        start_servers(stack)
        for bench in benches:
            stack.callback(bench.clear)
        ending.listen(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        try:
            trials = try_all(benches, mutants, is_telling_why=options.why)
        except Ended:
            return 130
        return report(trials, mutants)


def start_servers(stack: ExitStack) -> None:
    """Those that bin/test would start; the trials find their addresses in the environment and start none."""
    from lightfield.local import pytest_services  # importing it starts them

    stack.callback(pytest_services.started.stop)


def try_all(benches: list[Bench], mutants: list[Mutant], *, is_telling_why: bool) -> list[Trial]:
    if not is_sound(benches, mutants):
        return []
    free: queue.SimpleQueue[Bench] = queue.SimpleQueue()
    for bench in benches:
        free.put(bench)

    def one(mutant: Mutant) -> Trial:
        bench = free.get()
        try:
            return bench.try_out(mutant)
        finally:
            free.put(bench)

    trials = []
    with ThreadPoolExecutor(len(benches)) as pool:
        for trial in pool.map(one, mutants):
            show(trial, is_telling_why=is_telling_why)
            trials.append(trial)
    return trials


def report(trials: list[Trial], mutants: list[Mutant]) -> int:
    counts = Counter(trial.verdict for trial in trials)
    others = "".join(f", {counts[verdict]} {verdict}" for verdict in Verdict if verdict != Verdict.CAUGHT)
    say(f"\n{counts[Verdict.CAUGHT]} of {len(mutants)} mutants caught{others}")
    return 0 if counts[Verdict.CAUGHT] == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
