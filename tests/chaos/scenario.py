"""From the first webhook to the verdict: load, faults, quiet, `verify`, the books, the report."""

from __future__ import annotations

import argparse
import threading
import time

from lightfield.local.boot import say
from tests.chaos import explain, fences, holds, report, schedules, workload
from tests.chaos.books import Books
from tests.chaos.client import Operator, Sender
from tests.chaos.judging import Judgement, judge
from tests.chaos.matrix import suffer
from tests.chaos.memory import Memory
from tests.chaos.ordeal import Ordeal, Spread, Trial
from tests.chaos.pace import own_time
from tests.chaos.points import Walk
from tests.chaos.soak import Soak
from tests.chaos.stack import RECLAIM_BOUND, Stack, wait_until
from tests.chaos.writing import WRITTEN_AT, Writing

QUIET_SECONDS = 90.0  # three leases and the longest backoff, and time for a backlog

UNFINISHED = """
SELECT (SELECT count(*) FROM triggers_outboxevent WHERE status = 'pending'),
  (SELECT count(*) FROM executions_run WHERE status IN ('pending', 'running', 'waiting')),
  (SELECT count(*) FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
   WHERE e.status = 'intent' AND s.status IN ('completed', 'failed', 'skipped', 'cancelled')),
  (SELECT count(*) FROM triggers_trigger WHERE next_due_at < now() - interval '2 seconds')
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
        addresses = workload.publish(stack.api, stack.sink.url, stack.model.url if stack.model else None)
        self.scheduled = schedules.publish(stack.api)
        self.sender = Sender(books, stack.api.base, addresses, seed=wanted.seed, rate=wanted.rate)
        self.operator = Operator(books, stack.api, seed=wanted.seed)
        self.writing = Writing(stack.api, seed=wanted.seed)
        self.walk = Walk(
            stack, books, self.sender, self._ends.is_set, patience=wanted.patience, in_haste=wanted.quick
        )
        self.ordeals: list[Ordeal] = []
        self.memory = Memory(stack)
        self.soak: Soak | None = None

    def end(self) -> None:
        """We were told to end."""
        self._ends.set()
        self._abandon()

    def _abandon(self) -> None:
        self.sender.abandon()
        self.writing.abandon()

    def play(self) -> None:
        try:
            self._play()
        except Exception as error:
            self.told.append(f"BROKEN  the harness itself: {type(error).__name__}: {error}")
            self.told += self._origin()
            raise
        finally:
            self._abandon()

    def _play(self) -> None:
        began = time.monotonic()
        holds.prepare(self.stack)
        fences.prepare(self.stack)
        self.sender.start()
        self.operator.start()
        if self.wanted.soak or WRITTEN_AT.intersection(self.wanted.points):
            self.writing.start()
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
        for name in wanted.matrix:
            say(f"suffering {name}")
            self.ordeals.append(suffer(name, self._trial(name), patience=wanted.patience))
        if wanted.soak:
            say(f"soaking for {wanted.soak:g} minutes")
            self.soak = Soak(self.stack, self.books, self.memory, self._ends.is_set, seed=wanted.seed)
            self.soak.run(wanted.soak * 60)

    def _trial(self, name: str) -> Trial:
        return Trial(
            self.stack,
            self.books,
            self.sender,
            self.operator,
            self._ends.is_set,
            name=name,
            seed=self.wanted.seed,
            scale=self.wanted.scale,
            number=self.wanted.reclaim,
        )

    def _quiet(self) -> list[str]:
        """Stop the load, let everything end. What did not."""
        self.operator.finish()
        problems = self.writing.finish(own_time.stretch)
        if not self.sender.finish(60 * own_time.stretch):
            problems.append("deliveries that were never acknowledged")
        if not self._has_become_quiet():
            left = self.stack.ask(UNFINISHED)[0]
            problems.append(
                f"not quiet after {QUIET_SECONDS:.0f} s: events, runs, effects, schedules left: {left}"
            )
            explain.tell(self.stack, "the end")
        schedules.pause(
            self.stack.api, self.scheduled
        )  # the clock goes on, and what follows looks for a while
        if not problems and not self._has_become_quiet():
            problems.append("not quiet once the schedules were paused")
        return problems

    def _has_become_quiet(self) -> bool:
        return wait_until(
            lambda: self._ends.is_set() or self.stack.ask(UNFINISHED) == [(0, 0, 0, 0)],
            QUIET_SECONDS,
            every=0.5,
        )

    def _report(self, problems: list[str], seconds: float) -> None:
        verified = self.stack.manage("verify", "--quiesced")
        judgement = judge(self.stack, self.books)
        judgement.broken.update(self.writing.contradictions(self.stack))
        judgement.facts |= self.writing.facts()
        cases = self.walk.cases
        problems += [
            f"{case.point} {case.action}: {words}"
            for case in cases
            if (words := case.problem(judgement.told))
        ]
        problems += [f"{ordeal.name}: {ordeal.problem}" for ordeal in self.ordeals if ordeal.problem]
        problems += ["verify found broken invariants"] if verified.returncode else []
        problems += self.memory.problems(self.wanted.soak) if self.wanted.soak else []
        self.is_well = not problems and not judgement.broken
        self.told += ["", *report.table(cases, judgement)] if cases else []
        self.told += ["", *report.ordeals(self.ordeals)] if self.ordeals else []
        self.told += ["", *report.verdicts(judgement), *(f"BROKEN  {problem}" for problem in problems)]
        said = verified.stdout.strip()
        self.told += ["", said if verified.returncode else f"ok  {said.splitlines()[-1]}"]
        self.told += self._figures(judgement)
        self.told += ["", *self._summary(judgement, problems)]
        self.told.append(f"{'all well' if self.is_well else 'FAILED'} in {seconds:.0f} s{_stretched()}")
        self.told += self._origin()

    def _origin(self) -> list[str]:
        """What it takes to see the same again."""
        again = [] if self.is_well else [f"again: {self.wanted.again}"]
        return [f"seed {self.wanted.seed}, commit {report.commit()}", *again]

    def _figures(self, judgement: Judgement) -> list[str]:
        firsts = [d.answers[0] for d in self.books.deliveries.values() if d.answers]
        took = [answer.seconds for answer in firsts if answer.is_acknowledged]
        facts = judgement.facts | {"webhooks accepted at the first try": Spread.of(took)}
        facts["webhooks not accepted at the first try"] = len(firsts) - len(took)
        facts |= {f"done: {deed}": number for deed, number in sorted(self.books.deeds.items())}
        facts["requests from processes that were gone when we looked"] = judgement.told.unknown_senders
        width = max(len(name) for name in facts)
        return ["", *(f"{name:<{width}}  {fact}" for name, fact in facts.items()), *self.memory.told()]

    def _summary(self, judgement: Judgement, problems: list[str]) -> list[str]:
        """A line for each thing that has to be true."""
        told, facts, broken = judgement.told, judgement.facts, judgement.broken
        hits = [hit for case in self.walk.cases for hit in case.hits]
        wrong = sum(len(found) for found in broken.values())
        lines = [
            f"books     {facts['deliveries']} webhooks acknowledged, {facts['runs']} runs, {facts['requests']} requests:"
            f" {wrong} contradictions, {len(problems)} problems",
            f"zombies   {told.woken} stopped and woken, {told.taken_over} of their steps taken over meanwhile:"
            f" wrote {len(told.rows)} rows after losing a step, sent {len(told.requests)} requests after waking",
        ]
        if hits:
            wanted = sum(case.wanted for case in self.walk.cases)
            whole = sum(len(case.whole) for case in self.walk.cases)
            never = sum(hit.recovery_seconds is None for hit in hits)
            tardy = sum(len(case.late) for case in self.walk.cases)
            lines.append(
                f"points    {whole} of {wanted} hits, {never} not over in {self.wanted.patience:.0f} s of ours,"
                f" {tardy} late by the real clock"
            )
        if self.ordeals:
            drained = [one.drained_seconds for one in self.ordeals if one.drained_seconds is not None]
            own = [one.drained_own for one in self.ordeals if one.drained_own is not None]
            bad = sum(bool(one.problem) for one in self.ordeals)
            tardy = sum(one.is_late for one in self.ordeals)
            lines.append(
                f"matrix    {len(self.ordeals)} faults, {bad} with problems, {len(drained)} drained, the slowest after"
                f" {max(drained, default=0.0):.1f} s, {max(own, default=0.0):.1f} s of ours; {tardy} late by the real clock"
            )
        if self.soak:
            lines.append(
                f"soak      {self.soak.number} faults in {self.wanted.soak:g} min, {facts['runs']} runs"
            )
        if self.books.deaths:
            spread = Spread.of(fences.seconds_to_reclaim(judgement.log, self.books.deaths))
            lines.append(
                f"re-claims {spread} after a death of any kind (lease + margin + sweep {RECLAIM_BOUND:.1f} s)"
            )
        return lines


def _stretched() -> str:
    """Whether others used the machine, and what that did to our limits."""
    stretch = own_time.stretch
    if stretch < 1.05:
        return ""
    return f"; others used the machine, limits were ×{stretch:.2f} on average, ×{own_time.most:.1f} in the worst second"
