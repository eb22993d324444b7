"""One supervised process: started again with growing pauses, asked whether it lives, ended in order."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from lightfield.local import supervised
from lightfield.local.children import end_all, marked, spawn, stop, working_in
from lightfield.local.home import Home
from lightfield.local.story import Aside, Chapter, told
from lightfield.local.supervised import Checkup, End, Supervised, stop_all


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def started(home, *command, **environ):
    return spawn(
        command,
        cwd=home.path,
        environ={"PATH": os.defpath, **environ},
        output=home.open_log("one"),
        when_parent_dies=signal.SIGKILL,
    )


def a_process(home, *command, **environ):
    return Supervised(home, "one", partial(started, home, *command, **environ))


def tended(thing, seconds=10.0):
    """What happened next."""
    give_up = time.monotonic() + seconds
    while not (happened := thing.tend()):
        assert time.monotonic() < give_up, "nothing happened"
        time.sleep(0.01)
    return happened


def test_given_a_process_that_dies_at_once_when_tended_then_its_pauses_grow(home):
    process = a_process(home, "false")
    process.start()

    assert tended(process) == "one ended (exit code 1); starting it again in 0.5 s"
    assert tended(process) == f"one runs again (pid {process.child.pid})"
    assert home.pid_file("one").read_text() == f"{process.child.pid}\n"
    assert tended(process) == "one ended (exit code 1); starting it again in 1 s"
    assert tended(process).startswith("one runs again")
    assert tended(process) == "one ended (exit code 1); starting it again in 2 s"
    process.child.wait()


def test_given_a_process_that_had_settled_when_it_is_killed_then_it_is_back_soon(home, monkeypatch):
    monkeypatch.setattr(supervised, "SETTLED", 0.0)
    process = a_process(home, "sleep", "60")
    process.start().kill()

    assert tended(process) == "one ended (SIGKILL); starting it again in 0.25 s"
    assert tended(process).startswith("one runs again")
    stop_all([process], grace=5)
    assert not home.pid_file("one").exists()


def test_given_a_child_of_a_killed_process_then_it_ends_with_it(home):
    process = a_process(home, "sh", "-c", "sleep 60 & echo started; wait", MARKED=str(home.path))
    process.start()
    until(lambda: len(marked("MARKED", str(home.path))) == 2)

    process.child.kill()

    assert "SIGKILL" in tended(process)
    until(lambda: marked("MARKED", str(home.path)) == [])


def until(condition):
    give_up = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_given_a_process_that_ignores_the_request_when_it_is_urgent_then_it_is_killed(home):
    process = a_process(home, "sh", "-c", "trap '' TERM; echo deaf; sleep 60 & wait; sleep 60")
    process.start()
    until(lambda: "deaf" in home.log_file("one").read_text())

    stop_all([process], grace=60, is_urgent=lambda: True)

    assert process.child is None


@pytest.mark.parametrize(("answer", "is_killed"), [("false", True), ("true", False)])
def test_given_a_process_that_stays_silent_when_asked_twice_then_it_is_killed(
    home, monkeypatch, answer, is_killed
):
    monkeypatch.setattr(supervised, "ASK_EVERY", 0.0)
    process = a_process(home, "sleep", "60")
    checkup = Checkup(process, partial(started, home, answer))
    pid = process.start().pid
    ends: list[End] = []
    process.on_end = ends.append

    if is_killed:
        assert "has not answered for a minute" in tended(checkup)
        assert "SIGKILL" in tended(process)
        assert ends == [End("one", pid, -signal.SIGKILL, was_silent=True)]
    else:
        until(lambda: checkup.tend() == "" and checkup._asked_at > process._started_at + 0.3)
        assert process.tend() == ""
    checkup.close()
    stop_all([process], grace=5)


def test_given_a_process_that_is_only_starting_then_it_is_not_asked_yet(home, monkeypatch):
    process = a_process(home, "sleep", "60")
    checkup = Checkup(process, partial(started, home, "false"))
    process.start()
    checkup._asked_at -= 3600  # long overdue, for the process before it

    assert checkup.tend() == ""
    assert checkup._asked is None
    stop_all([process], grace=5)


def test_processes_are_found_by_their_program_and_the_folder_they_work_in(home):
    stranger = home.folder("elsewhere")
    here, there = (
        spawn(
            ["sleep", "60"],
            cwd=folder,
            environ={"PATH": os.defpath},
            output=home.open_log("one"),
            when_parent_dies=signal.SIGKILL,
        )
        for folder in (home.path, stranger)
    )
    until(lambda: working_in(home.path, ["sleep"]) == [here.pid])
    assert working_in(home.path, ["postgres"]) == []

    assert end_all(partial(working_in, stranger, ["sleep"]), first=signal.SIGTERM, grace=5) == 1
    assert there.wait(5) == -signal.SIGTERM
    stop([(here, signal.SIGTERM)], grace=5)


def test_story_puts_what_happened_outside_in_its_place():
    begin = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def entry(seconds, kind, step=None, attempt=None, **metadata):
        at = (begin + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        return {"at": at, "type": kind, "step": step, "attempt": attempt, "metadata": metadata}

    timeline = [
        entry(0, "run.created"),
        entry(1, "step.retrying", "contact", 1, error_code="http.unavailable", delay_seconds=0.25),
        entry(4, "run.completed"),
    ]
    run = {"id": "r", "version": 1, "trace_id": "t", "status": "completed", "finished_at": timeline[-1]["at"]}
    run["steps"] = []
    asides = [Aside(begin + timedelta(seconds=2), "kill -9")]

    later = [entry(2.5, "run.created"), entry(3, "run.completed")]
    chapters = [
        Chapter("A webhook", run, timeline),
        Chapter("What it led to", {**run, "finished_at": later[-1]["at"]}, later),
    ]

    lines = told(chapters, asides, ["all is well"], colour=False).splitlines()

    assert lines[1] == "  A webhook: completed after 4.0 s"
    assert [line.split() for line in lines[4:8]] == [
        ["0.00", "s", "run", "created"],
        [
            "1.00",
            "s",
            "contact",
            "retrying",
            "attempt",
            "1",
            "http.unavailable",
            "again",
            "after",
            "0.25",
            "s",
        ],
        ["2.00", "s", "▌", "kill", "-9"],
        ["4.00", "s", "run", "completed"],
    ]
    assert lines[9] == "  What it led to: completed after 0.5 s"
    assert [line.split()[0] for line in lines[12:14]] == ["2.50", "3.00"]  # from the first one's beginning
    assert lines[15] == "  ✓ all is well"
