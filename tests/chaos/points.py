"""The walk over the crash points: order a death or a stop, wait for it, and see how long others need to go on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable

from tests.chaos import agents, explain, schedules
from tests.chaos.books import Books
from tests.chaos.cases import Case, Hit
from tests.chaos.client import Sender
from tests.chaos.holds import HELD, Hold
from tests.chaos.pace import own_time
from tests.chaos.processes import state_of
from tests.chaos.stack import STOPPED_SECONDS, Stack, wait_until

# Each track's points are walked one after the other, the tracks side by side.
TRACKS: dict[str, tuple[str, ...]] = {
    "web": (
        *("CP-W1", "CP-W2", "CP-W3", "CP-W4"),
        *("CP-L1", "CP-L2", "CP-L3", "CP-P1", "CP-P2"),
    ),
    "worker-fast": (
        "CP-D1",
        "CP-D2",
        "CP-D3",
        "CP-D4",
        "CP-D5",
        "CP-R1",
        "CP-R2",
        "CP-X1",
        "CP-X2",
        "CP-T1",
        "CP-T2",
    ),
    "worker-ai": agents.POINTS,
    "worker-http": ("CP-S1", "CP-S2", "CP-S3", "CP-S4", "CP-S5", "CP-S6", "CP-S7", "CP-S8", "CP-S9"),
}
ROLE = {point: role for role, points in TRACKS.items() for point in points}
ACTIONS = ("kill", "stop")
HIT_SECONDS = 30.0  # for somebody to come by
MOST_PASSES = 4  # an order is for the first to fourth pass …
TRIES = 3
HASTE_SECONDS = 2.0  # between two hits of a track that do not wait for each other
RARE = (
    "CP-D5",
    "CP-X1",
    "CP-X2",
    "CP-T1",
    "CP-T2",
    "CP-P1",
    "CP-P2",
)  # … but for the first where few come by

# Whatever is to go on by itself and soon: live runs whose step is due, events, schedules. With a mark that changes.
ON_ITS_WAY = """
SELECT r.id::text, r.seq FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
WHERE s.status IN ('ready', 'queued', 'running', 'waiting') AND s.due_at < clock_timestamp() + interval '1 second'
UNION ALL
SELECT e.id::text, 0 FROM triggers_outboxevent e WHERE e.status = 'pending'
UNION ALL
SELECT 'trigger ' || id, extract(epoch FROM next_due_at)::int FROM triggers_trigger WHERE next_due_at < clock_timestamp()
"""
_STILL_THERE = """
SELECT {what} FROM (
  SELECT r.id::text AS id, r.seq FROM executions_run r WHERE r.status IN ('pending', 'running', 'waiting')
  UNION ALL SELECT e.id::text, 0 FROM triggers_outboxevent e WHERE e.status = 'pending'
  UNION ALL SELECT 'trigger ' || id, extract(epoch FROM next_due_at)::int FROM triggers_trigger
    WHERE next_due_at IS NOT NULL) now
JOIN unnest(%s::text[], %s::int[]) AS before(id, seq) ON before.id = now.id AND before.seq = now.seq
"""
STILL_THERE = _STILL_THERE.format(what="count(*)")
WHICH_ARE_STILL_THERE = _STILL_THERE.format(what="now.id")
PILED_UP = """
SELECT coalesce(max(n), 0) > 110 FROM (
  SELECT count(*) AS n FROM triggers_outboxevent WHERE status = 'pending' GROUP BY workflow_id) per_workflow
"""


class Walk:
    """Hits points while the workload runs."""

    def __init__(
        self,
        stack: Stack,
        books: Books,
        sender: Sender,
        is_over: Callable[[], bool],
        *,
        patience: float,
        in_haste: bool,
    ) -> None:
        self.stack = stack
        self.books = books
        self.sender = sender
        self.is_over = is_over
        self.patience = patience
        self.in_haste = in_haste  # the next hit does not wait until the last is over
        self._drawn = random.Random("schedules")
        self._following: list[threading.Thread] = []
        self.cases: list[Case] = []
        self._asleep: dict[str, threading.Thread] = {}  # role: whoever wakes the one that is stopped

    def walk(self, points: list[str], actions: list[str], hits: int) -> None:
        """All of them, the tracks side by side."""
        tracks = []
        for role in TRACKS:
            cases = [
                [Case(point, action, hits, self.patience) for action in actions]
                for point in points
                if ROLE[point] == role
            ]
            self.cases += [case for pair in cases for case in pair]
            tracks.append(
                threading.Thread(target=self._walk, args=(role, cases), name=f"track-{role}", daemon=True)
            )
        for track in [*tracks]:
            track.start()
        for track in tracks:
            track.join()
        for left in [*self._asleep.values(), *self._following]:
            left.join()

    def _walk(self, role: str, cases: list[list[Case]]) -> None:
        for pair in cases:
            for number in range(pair[0].wanted):
                for case in pair:  # in turn: while one that was stopped still sleeps, the next one is killed
                    self._try(case, number)
        for _ in range(TRIES):
            if waking := self._asleep.get(role):
                waking.join()
            for case in [case for pair in cases for case in pair]:
                for _ in range(case.to_repeat):
                    self._try(case, len(case.hits))

    def _try(self, case: Case, number: int) -> None:
        for _ in range(TRIES):  # nobody may come by once
            if self.is_over():
                return
            hit = self.hit(case.point, case.action, number)
            if hit:
                case.hits.append(hit)
                return

    def hit(self, point: str, action: str, number: int) -> Hit | None:
        """Once. None: nobody came by."""
        if action == "stop" and (waking := self._asleep.get(ROLE[point])):
            waking.join()  # one of each role stays awake
        if point in HELD:
            return self._hold(point, action, is_committed=number % 2 == 1)
        order = self.stack.orders / point
        unfinished = order.with_name(f".{point}")
        passes = 1 if point in RARE else number % MOST_PASSES + 1
        unfinished.write_text(f"{action} {passes} {ROLE[point]}")
        unfinished.replace(order)
        self._provoke(point)
        found: list[tuple[str, int]] = []

        def is_obeyed() -> bool:
            found[:] = self.stack.obeyed(point)
            return bool(found)

        if not wait_until(is_obeyed, HIT_SECONDS, every=0.02):
            found = self.stack.recall(point)  # at the last moment
        if not found:
            return None
        hit = Hit(point, action, found[0][1], time.time())
        self.books.note_obeyed(action, hit.pid)
        return self._followed(hit)

    def _provoke(self, point: str) -> None:
        """What does not come by itself often enough."""
        if point == "CP-D5":
            self._pile_up()
        if point in ("CP-T1", "CP-T2"):
            schedules.fall_behind(self.stack, self._drawn.choice(schedules.EVERY_MINUTE), 150)
        if point in ("CP-X1", "CP-X2"):  # leases that run out: of one that nobody has stopped
            awake = self._awake("worker-http", "worker-http-2")
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself: its leases do, too
                for pid in awake[:1]:
                    os.kill(pid, signal.SIGKILL)
                    self.books.note_death(pid)

    def _pile_up(self) -> None:
        """More events in one shard than a batch takes: nobody dispatches while they come in."""
        dispatchers = self._awake("worker-fast", "worker-fast-2")
        self._signal(dispatchers, signal.SIGSTOP)
        self.sender.burst("fast", 150)
        wait_until(lambda: self.stack.ask(PILED_UP) == [(True,)], 10, every=0.2)
        self._signal(dispatchers, signal.SIGCONT)

    def _awake(self, *names: str) -> list[int]:
        """Those of these processes that are there and not stopped."""
        pids = [self.stack.pid_of(name) for name in names]
        return [pid for pid in pids if state_of(pid) not in ("", "T", "Z")]

    @staticmethod
    def _signal(pids: list[int], number: signal.Signals) -> None:
        """Those of them that are there: the supervisor may be starting one again."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _hold(self, point: str, action: str, *, is_committed: bool) -> Hit | None:
        """The same at a commit: every other one goes through although nobody waits for it any more."""
        hold = Hold(self.stack, point)
        pid = hold.catch(HIT_SECONDS)
        if pid is None:
            hold.roll_back()
            return None
        hit = Hit(point, action, pid, time.time())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if action == "kill" else signal.SIGSTOP)
        self.books.note_obeyed(action, pid)
        if is_committed:
            hold.commit()
        else:
            hold.roll_back()
        return self._followed(hit)

    def _followed(self, hit: Hit) -> Hit:
        if hit.action == "stop":
            waking = threading.Thread(target=self._wake, args=(hit,), name=f"wakes-{hit.pid}", daemon=True)
            self._asleep[ROLE[hit.point]] = waking
            waking.start()
        if self.in_haste:
            following = threading.Thread(target=self._follow, args=(hit,), daemon=True)
            following.start()
            self._following.append(following)
            time.sleep(HASTE_SECONDS)
        else:
            self._follow(hit)
        return hit

    def _follow(self, hit: Hit) -> None:
        """Wait until all that was on its way has moved. A stopped process goes on after two leases."""
        self.books.count(f"{hit.action}s")
        before = self.stack.ask(ON_ITS_WAY)
        ids, seqs = [row[0] for row in before], [row[1] for row in before]

        def has_moved() -> bool:
            return self.stack.ask(STILL_THERE, ids, seqs) == [(0,)]

        if wait_until(has_moved, self.patience, every=0.25):
            now = time.time()
            hit.recovery_seconds, hit.own_seconds = now - hit.at, own_time.between(hit.at, now)
        elif not self.is_over():
            left = [row[0] for row in self.stack.ask(WHICH_ARE_STILL_THERE, ids, seqs)]
            explain.tell(
                self.stack,
                f"{hit.point} {hit.action} of pid {hit.pid} {time.time() - hit.at:.0f} s ago",
                left,
            )

    def _wake(self, hit: Hit) -> None:
        time.sleep(max(0.0, hit.at + STOPPED_SECONDS - time.time()))
        hit.is_woken = state_of(hit.pid) == "T"  # or somebody killed it meanwhile
        if hit.is_woken:
            self.books.note_zombie(hit.pid, hit.at)
            with contextlib.suppress(ProcessLookupError):
                os.kill(hit.pid, signal.SIGCONT)
