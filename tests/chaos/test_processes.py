"""The harness sees a process that ended by itself, a complaint in a log, and a clock that goes slower."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.chaos import ends, logs
from tests.chaos.books import Books
from tests.chaos.pace import OwnTime, ours_of, stretch_of

PID = 11
TRACEBACK = (
    'Traceback (most recent call last):\n  File "x.py", line 1, in x\n    1 / 0\nZeroDivisionError: division'
)


@pytest.fixture
def books() -> Books:
    return Books()


def end(books: Books, returncode: int = -signal.SIGKILL, *, was_silent: bool = False) -> list[str]:
    """A worker ends now; what is said against that."""
    books.note_end("worker-http", PID, returncode, was_silent=was_silent)
    return ends.unexpected(books)


@pytest.mark.parametrize("returncode", [0, 1, -signal.SIGSEGV, -signal.SIGKILL])
def test_given_nobody_did_anything_when_a_process_ends_then_it_is_a_problem(
    books: Books, returncode: int
) -> None:
    (words,) = end(books, returncode)

    assert words.startswith("worker-http (pid 11) ended by itself: ")


def test_given_we_killed_it_or_an_order_was_obeyed_when_it_ends_then_it_is_none(books: Books) -> None:
    books.note_death(PID)
    assert end(books) == []

    other = Books()
    other.note_obeyed("kill", PID)
    assert end(other) == []


def test_given_the_kill_of_another_process_or_of_long_ago_when_one_ends_then_it_is_a_problem(
    books: Books,
) -> None:
    books.note_death(PID + 1)
    books.deaths.append((PID, time.time() - 2 * ends.NEAR))

    assert end(books)


def test_given_nothing_that_silences_when_a_checkup_kills_a_process_then_it_is_a_problem(
    books: Books,
) -> None:
    assert end(books, was_silent=True) == ["worker-http (pid 11) was silent and killed for it"]


@pytest.mark.parametrize("cause", ["stopped", "redis away", "busy"])
def test_given_a_cause_of_silence_when_a_checkup_kills_a_process_then_it_is_none(
    books: Books, cause: str
) -> None:
    if cause == "stopped":
        books.note_stop(PID)
    elif cause == "redis away":
        books.disturb("redis")
    books.note_end("worker-http", PID, -signal.SIGKILL, was_silent=True)

    assert ends.unexpected(books, stretch=lambda a, b: 4.0 if cause == "busy" else 1.0) == []


def test_given_a_server_that_was_away_when_a_process_ends_by_itself_then_it_is_a_problem(
    books: Books,
) -> None:
    books.disturb("redis")

    assert end(books, 1)


def test_given_a_killer_step_when_its_worker_ends_as_it_does_then_it_is_none(books: Books) -> None:
    books.note_end("worker-http", PID, ends.KILLER, was_silent=False)
    books.note_end("worker-http", PID + 1, ends.KILLER, was_silent=False)

    assert len(ends.unexpected(books, killers={PID})) == 1


def test_given_a_fast_killer_step_when_fast_workers_end_as_it_does_then_only_so_often_and_so_long(
    books: Books,
) -> None:
    now = time.time()
    for number in range(ends.FAST_LOSSES + 1):
        books.note_end("worker-fast-2", number, ends.KILLER, was_silent=False)
    assert len(ends.unexpected(books)) == ends.FAST_LOSSES + 1

    books.killers.append((now - 1, now + 1))
    assert len(ends.unexpected(books)) == 1


def test_given_a_child_of_gunicorn_that_ended_then_only_one_that_we_ended_is_no_problem(books: Books) -> None:
    books.note_death(PID)
    log = "\n".join(
        f"[2026-11-28 13:06:47 +0000] [1] [ERROR] Worker (pid:{pid}) was sent SIGKILL! Perhaps out of memory?"
        for pid in (PID, PID + 1)
    )

    assert ends.gunicorns_workers(books, log) == [
        f"web's worker: Worker (pid:{PID + 1}) was sent SIGKILL! Perhaps out of memory?"
    ]


def line(level: str, logger: str, event: str, exception: str = "") -> str:
    return json.dumps({"event": event, "logger": logger, "level": level, "exception": exception})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            line("error", "executions.worker", "oh", TRACEBACK),
            "error executions.worker: oh | ZeroDivisionError",
        ),
        (line("critical", "executions.leases", "worker_ended_by_watchdog"), "critical executions.leases"),
        (f"before\n{TRACEBACK}\nafter", "ZeroDivisionError: division"),
        ("[2026-11-28] [1] [CRITICAL] WORKER TIMEOUT (pid:2)", "[2026-11-28] [1] [CRITICAL] WORKER TIMEOUT"),
    ],
    ids=["structured", "critical", "plain", "gunicorn"],
)
def test_given_a_complaint_in_a_log_then_it_is_found(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "worker-http.log").write_text(f"all is well\n{text}\n")

    ((words, times),) = logs.complaints(tmp_path).items()

    assert words.startswith(f"worker-http.log: {found}")
    assert times == 1


def test_given_warnings_and_what_a_fault_explains_then_nothing_is_found(tmp_path: Path) -> None:
    away = "redis.exceptions.ConnectionError: Connection closed by server."
    told = [
        line("warning", "executions.tasks", "database_unavailable"),
        line("error", "celery.beat", "Couldn't apply scheduled task x: Connection closed by server.", away),
        '{"event": "cut off by a ki',
    ]
    (tmp_path / "worker-http.log").write_text("\n".join(told))

    assert not logs.complaints(tmp_path)


def test_given_a_panic_of_a_server_then_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "postgres.log").write_text(
        "LOG:  ready\nPANIC:  could not write\nERROR:  deadlock detected\n"
    )

    assert [*logs.complaints(tmp_path)] == ["postgres.log: PANIC:  could not write"]


def test_each_allowed_complaint_has_a_reason() -> None:
    assert all(len(one.why) > 20 for one in logs.ALLOWED)


@pytest.mark.parametrize(
    ("busy", "ours", "idle", "stretch"),
    [
        (100, 20, 100, 1.0),
        (100, 100, 0, 1.0),
        (100, 50, 0, 2.0),
        (100, 0, 0, 8.0),
        (0, 0, 0, 1.0),
        (100, None, 0, 1.0),
    ],
    ids=["idle is left", "all ours", "half", "none", "nothing told", "ours is unknown"],
)
def test_a_second_is_longer_only_where_others_take_what_we_would_use(
    busy: int, ours: int | None, idle: int, stretch: float
) -> None:
    assert stretch_of(busy, ours, idle) == stretch


def test_given_a_parent_that_died_with_its_children_then_what_we_used_is_unknown_and_not_the_others() -> None:
    before = {1: (0, 10), 2: (1, 500), 3: (2, 900)}

    assert ours_of(before, {1: (0, 530), 3: (2, 950)}) == 70  # 2 was waited for, 3 is still ours
    assert ours_of(before, {1: (0, 530)}) is None  # 3 died with its parent: nobody of ours has its account
    assert ours_of(before, {1: (0, 10), 2: (1, 400), 3: (2, 900)}) is None


def test_given_marks_of_a_slow_time_then_the_seconds_between_two_instants_are_ours() -> None:
    clock = OwnTime()
    clock._marks = [(100.0, 0.0), (110.0, 10.0), (130.0, 15.0)]

    assert clock.between(100, 110) == 10.0
    assert clock.between(105, 120) == 7.5
    assert clock.stretch_between(110, 130) == 4.0
