"""Schedules: many who ring and fire, killed at random; and a downtime under each policy."""

from __future__ import annotations

import contextlib
import os
import signal

from tests.chaos import schedules
from tests.chaos.faults_of_messages import messenger
from tests.chaos.ordeal import Trial

MORNING_MINUTES = 12 * 60  # from noon back to before the first instant of the morning
FIRERS = ("worker-fast", "worker-fast-2")


def four_beats(trial: Trial) -> int:
    """Four beats and four fast workers, all killed at random, while schedules are due and have much to catch up."""
    beats = ["beat", *trial.stack.begin_more("beat", 3)]
    workers = [*FIRERS, *trial.stack.begin_more("worker-fast", 2)]
    fired = sum(schedules.ticks_of(trial.stack, name) for name in schedules.EVERY_MINUTE)

    def kill() -> None:
        if trial.drawn.random() < 0.5:
            name = trial.drawn.choice(schedules.EVERY_MINUTE)
            schedules.fall_behind(trial.stack, name, trial.drawn.randint(20, 250))
        trial.kill(trial.drawn.choice([*beats, *workers]))
        trial.pause(1, 4)

    try:
        trial.last(10)
        done = trial.times(70, kill)
    finally:
        trial.stack.end_more()
    _judge(trial)
    now = sum(schedules.ticks_of(trial.stack, name) for name in schedules.EVERY_MINUTE)
    trial.note(f"{now - fired} ticks; {schedules.lateness(trial.stack)}")
    return done


def tick_bells(trial: Trial) -> int:
    """25 messages a second that say "a schedule is due", side by side, while some have much to catch up."""
    with messenger(trial) as app:

        def ring() -> None:
            for _ in range(5):
                app.send_task("triggers.fire_ticks", queue="fast", ignore_result=True)
            if trial.drawn.random() < 0.1:
                schedules.fall_behind(trial.stack, trial.drawn.choice(schedules.EVERY_MINUTE), 120)

        done = trial.every(0.2, 30, ring, each=5)
    _judge(trial)
    return done


def downtime(trial: Trial) -> int:
    """Nobody fires while 300 instants go by: afterwards all, one or none of them do."""

    def stand_still() -> None:
        pids = [trial.stack.pid_of(name) for name in ("beat", *FIRERS)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            trial.books.note_stop(pid)
        try:
            for name in schedules.MORNING.values():
                schedules.fall_behind(trial.stack, name, MORNING_MINUTES)
            trial.pause(3, 4)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    before = {missed: schedules.ticks_of(trial.stack, name) for missed, name in schedules.MORNING.items()}
    if any(before.values()):
        trial.problems.append("the morning had been caught up before")
    trial.scale = 1.0
    done = trial.times(1, stand_still)
    _judge(trial)
    for missed, name in schedules.MORNING.items():
        fired = schedules.ticks_of(trial.stack, name)
        trial.note(f"{missed}: {fired} of 300 fired")
        if fired != schedules.FIRED_OF_300[missed]:
            trial.problems.append(f"{missed} fired {fired} of 300 instants")
    return done


def _judge(trial: Trial) -> None:
    """Once all is caught up and dispatched; what contradicts the schedules even then."""
    if not trial.until(lambda: trial.stack.ask(schedules.DUE) == [(0,)], 30, every=0.25):
        trial.problems.append("schedules were still due after 30 s")
    trial.until(lambda: not schedules.contradictions(trial.stack), 30, every=0.5)
    for rule, found in schedules.contradictions(trial.stack).items():
        trial.problems.append(f"{rule}: {len(found)}, such as {found[0]}")
