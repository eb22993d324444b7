"""Processes: a web worker that sleeps, gunicorn's master and Flower killed, beats by the dozen, steps that kill."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

from tests.chaos import fences
from tests.chaos.ordeal import Spread, Trial
from tests.chaos.pace import own_time
from tests.chaos.processes import children_of, megabytes_asked_for, state_of
from tests.chaos.stack import RECLAIM_BOUND, STOPPED_SECONDS

KILLERS = ("kills_by_exit", "kills_by_memory", "kills_fast")
MOST_GROWTH = 8_000.0  # MB that a worker may ask for before it is ended, as a small machine's kernel would
RECLAIM_SLACK = 1.0  # seconds beyond the bound, for the bell and the claim itself
HELD = "SELECT count(*) FROM executions_steprun WHERE status = 'running' AND split_part(owner, ':', 2) = %s"
ENDS = """
SELECT w.name, r.status, r.error_code,
  (SELECT count(*) FROM executions_attempt a WHERE a.step_run_id = s.id AND a.alone AND a.outcome = 'lost'),
  s.attempts, extract(epoch FROM r.finished_at - r.created_at)::float8
FROM executions_run r JOIN workflows_workflow w ON w.id = r.workflow_id
JOIN executions_steprun s ON s.run_id = r.id AND s.key = 'kills'
WHERE w.name LIKE 'Chaos: kills%%' AND r.created_at > to_timestamp(%s)
"""


def zombie_web(trial: Trial) -> int:
    """One of gunicorn's workers is stopped for two leases in the middle of requests."""

    def stop() -> None:
        workers = children_of(trial.stack.pid_of("web"))
        if not workers:
            raise OSError("gunicorn has no worker right now")
        pid, stopped_at = trial.drawn.choice(workers), time.time()
        os.kill(pid, signal.SIGSTOP)
        trial.books.note_stop(pid)
        time.sleep(STOPPED_SECONDS)
        if state_of(pid):
            trial.books.note_zombie(pid, stopped_at)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        trial.pause(1, 2)

    return trial.times(4, stop)


def web_kill(trial: Trial) -> int:
    """gunicorn's master is killed; its workers go with it."""

    def kill() -> None:
        trial.kill("web")
        trial.pause(4, 6)
        trial.until(trial.web_answers, 30)

    return trial.times(5, kill)


def flower_kill(trial: Trial) -> int:
    def kill() -> None:
        trial.kill("flower")
        trial.pause(2, 4)

    return trial.times(5, kill)


def two_beats(trial: Trial) -> int:
    """Two beats more, as the process table starts the first; all three are killed at random."""
    names = ["beat", *trial.stack.begin_more("beat", 2)]

    def kill() -> None:
        trial.kill(trial.drawn.choice(names))
        trial.pause(2, 5)

    try:
        trial.last(10)
        return trial.times(10, kill)
    finally:
        trial.stack.end_more()


def killer(trial: Trial) -> int:
    """Steps that end their process, in the middle of others: `step.worker_lost`, and nobody else fails."""
    began = time.time()
    over = threading.Event()
    kernel = threading.Thread(target=_play_kernel, args=(trial, over), name="kernel", daemon=True)
    kernel.start()
    for name in KILLERS:
        trial.sender.burst(name, 1)
        trial.pause(0.5, 1.5)

    def ended() -> bool:
        found = trial.stack.ask(ENDS, began)
        return len(found) == len(KILLERS) and all(
            row[1] in ("failed", "completed", "cancelled") for row in found
        )

    trial.until(ended, 180, every=0.5)
    over.set()
    kernel.join(5)
    trial.books.killers.append((began, time.time() + 1))  # the supervisor looks ten times a second
    for name, status, code, alone, attempts, seconds in trial.stack.ask(ENDS, began):
        words = f"{name.removeprefix('Chaos: ')} ended as {code or status} after {alone} losses alone"
        if (status, code) != ("failed", "step.worker_lost") or alone < 3:
            trial.problems.append(words)
        else:
            trial.note(f"{words}, {attempts} attempts, {seconds:.0f} s")
    if not ended():
        trial.problems.append("a killer step did not end")
    return len(KILLERS)


def _play_kernel(trial: Trial, over: threading.Event) -> None:
    """End a worker that asks for memory without measure. Cells have a limit of their own."""
    asked: dict[int, float] = {}
    while not over.wait(0.02):
        for name in ("worker-http", "worker-http-2"):
            with contextlib.suppress(OSError, AssertionError):
                pid = trial.stack.pid_of(name)
                size = megabytes_asked_for(pid)
                if size > asked.setdefault(pid, size) + MOST_GROWTH:
                    trial.kill(name)


def reclaim(trial: Trial) -> int:
    """An http worker that holds 20 steps or more is killed; when do others have each of them?"""
    deaths: list[tuple[int, float]] = []

    def kill() -> bool:
        trial.sender.burst("long", 60)
        name = trial.drawn.choice(("worker-http", "worker-http-2"))
        pid = trial.stack.pid_of(name)
        if not trial.until(lambda: trial.stack.ask(HELD, str(pid))[0][0] >= 20, 20, every=0.05):
            return False
        deaths.append((trial.kill(name), time.time()))
        trial.until(lambda: trial.stack.ask(HELD, str(pid)) == [(0,)], 60)
        trial.pause(4, 6)  # until it runs again
        return True

    if trial.number is not None:
        trial.scale = 1.0
    done = trial.times(trial.number or 5, kill)
    log = fences.read(trial.stack)
    took = [Spread.of(fences.seconds_to_reclaim(log, [death])) for death in deaths]
    own = fences.seconds_to_reclaim(log, deaths, clock=own_time.at)
    trial.note(
        f"re-claims: {Spread.of(fences.seconds_to_reclaim(log, deaths))}, by our clock {Spread.of(own)}"
    )
    trial.note(
        f"bound: lease + margin + sweep {RECLAIM_BOUND:.1f} s, and {RECLAIM_SLACK:.0f} s for the claim"
    )
    trial.problems += reclaims_broken(own, [one.number for one in took])
    return done


def reclaims_broken(own: list[float], held: list[int]) -> list[str]:
    """What is wrong with these times, and with the number of steps that each victim was robbed of."""
    problems = []
    if empty := sum(not number for number in held):
        problems.append(f"{empty} of {len(held)} deaths cost nobody a step")
    if not own:
        problems.append("no step was re-claimed")
    elif (p95 := Spread.of(own).p95) > RECLAIM_BOUND + RECLAIM_SLACK:
        problems.append(
            f"p95 of re-claims {p95:.1f} s of ours, over {RECLAIM_BOUND:.1f} + {RECLAIM_SLACK:.0f} s"
        )
    return problems
