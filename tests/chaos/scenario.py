"""From the first webhook to the verdict: load, faults, quiet, `verify`, the books, the report."""

from __future__ import annotations

import argparse
import threading
import time

from lightfield.local.boot import say
from tests.chaos import holds, report, workload
from tests.chaos.books import Books
from tests.chaos.client import Operator, Sender
from tests.chaos.judging import judge
from tests.chaos.matrix import Matrix, Ordeal
from tests.chaos.points import Walk
from tests.chaos.soak import Memory, Soak
from tests.chaos.stack import LEASE_SECONDS, SWEEP_SECONDS, Stack, wait_until

MATRIX = Matrix.NAMES
QUIET_SECONDS = 90.0  # three leases and the longest backoff, and time for a backlog

UNFINISHED = """
SELECT (SELECT count(*) FROM triggers_outboxevent WHERE status = 'pending'),
  (SELECT count(*) FROM executions_run WHERE status IN ('pending', 'running', 'waiting')),
  (SELECT count(*) FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
   WHERE e.status = 'intent' AND s.status IN ('completed', 'failed', 'skipped', 'cancelled'))
"""


class Scenario:
    """What was asked for on the command line, played once. `told` is the report."""

    def __init__(self, stack: Stack, books: Books, wanted: argparse.Namespace) -> None:
        self.stack = stack
        self.books = books
        self.wanted = wanted
        self.told: list[str] = []
        self.is_well = False
        self._ends = threading.Event()
        addresses = workload.publish(stack.api, stack.sink.url)
        self.sender = Sender(books, stack.api.base, addresses, seed=wanted.seed, rate=wanted.rate)
        self.operator = Operator(books, stack.api, seed=wanted.seed)
        self.walk = Walk(stack, books, self.sender, self._ends.is_set, patience=wanted.patience)
        self.ordeals: list[Ordeal] = []
        self.memory = Memory(stack)

    def end(self) -> None:
        """We were told to end."""
        self._ends.set()
        self.sender.abandon()

    def play(self) -> None:
        try:
            self._play()
        except Exception as error:
            self.told.append(f"BROKEN  the harness itself: {type(error).__name__}: {error}")
            raise
        finally:
            self.sender.abandon()

    def _play(self) -> None:
        began = time.monotonic()
        holds.prepare(self.stack)
        self.sender.start()
        self.operator.start()
        self._break_things()
        self.stack.mend()
        say("the faults are over; waiting for quiet")
        problems = self._quiet()
        if self._ends.is_set():
            return
        self._report(problems, time.monotonic() - began)

    def _break_things(self) -> None:
        wanted = self.wanted
        self._ends.wait(2)  # for some load
        if wanted.points:
            say(f"walking {len(wanted.points)} points, {wanted.hits} hits of each action")
            self.walk.walk(wanted.points, wanted.actions, wanted.hits)
        if wanted.matrix:
            matrix = Matrix(
                self.stack,
                self.books,
                self._ends.is_set,
                seed=wanted.seed,
                scale=wanted.scale,
                patience=wanted.patience,
            )
            for name in wanted.matrix:
                say(f"suffering {name}")
                self.ordeals.append(matrix.suffer(name))
        if wanted.soak:
            say(f"soaking for {wanted.soak:g} minutes")
            Soak(self.stack, self.books, self.walk, self.memory, self._ends.is_set, seed=wanted.seed).run(
                wanted.soak * 60
            )

    def _quiet(self) -> list[str]:
        """Stop the load, let everything end. What did not."""
        problems = []
        self.operator.finish()
        if not self.sender.finish(60):
            problems.append("deliveries that were never acknowledged")
        if not wait_until(
            lambda: self._ends.is_set() or self.stack.ask(UNFINISHED) == [(0, 0, 0)], QUIET_SECONDS, every=0.5
        ):
            left = self.stack.ask(UNFINISHED)[0]
            problems.append(f"not quiet after {QUIET_SECONDS:.0f} s: events, runs, effects left: {left}")
        return problems

    def _report(self, problems: list[str], seconds: float) -> None:
        verified = self.stack.manage("verify", "--quiesced")
        judgement = judge(self.stack, self.books)
        cases = self.walk.cases
        problems += [f"{case.point} {case.action}: {case.problem}" for case in cases if case.problem]
        problems += [f"{ordeal.name}: {ordeal.problem}" for ordeal in self.ordeals if ordeal.problem]
        problems += ["verify found broken invariants"] if verified.returncode else []
        self.is_well = not problems and not judgement.broken
        say_it = self.told.append
        say_it("")
        self.told += report.table(cases) if cases else []
        for ordeal in self.ordeals:
            drained = f"{ordeal.drained_seconds:.1f} s" if ordeal.drained_seconds is not None else "never"
            say_it(
                f"{ordeal.name:<14}{ordeal.deeds:>6} deeds in {ordeal.seconds:>5.0f} s, all ended after {drained}"
            )
        self.told += ["", *report.verdicts(judgement), *(f"BROKEN  {problem}" for problem in problems)]
        say_it(verified.stdout.strip() if verified.returncode else verified.stdout.strip().splitlines()[-1])
        say_it("")
        self._tell_figures(judgement.facts)
        say_it(f"{'all well' if self.is_well else 'FAILED'} in {seconds:.0f} s")
        say_it(f"seed {self.wanted.seed}, commit {report.commit()}")

    def _tell_figures(self, facts: dict[str, object]) -> None:
        firsts = [d.answers[0] for d in self.books.deliveries.values() if d.answers]
        answered = [answer.seconds for answer in firsts if answer.is_acknowledged]
        self.told.append(report.spread("webhooks acknowledged at the first try", answered))
        self.told.append(f"webhooks not acknowledged at the first try: {len(firsts) - len(answered)}")
        kills = [hit for case in self.walk.cases for hit in case.hits if hit.action == "kill"]
        if kills:
            rows = self.stack.ask(report.RECLAIMS, [hit.pid for hit in kills], [hit.at for hit in kills])
            self.told.append(
                f"{report.spread('re-claims after a death', [row[0] for row in rows])}"
                f" (lease {LEASE_SECONDS:g} s, sweep {SWEEP_SECONDS:g} s)"
            )
        self.told += [f"{name}: {fact}" for name, fact in facts.items()]
        self.told += [f"{deed}: {number}" for deed, number in sorted(self.books.deeds.items())]
        self.told += self.memory.told()
