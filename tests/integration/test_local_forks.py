"""The fork server with real processes: what it forks is what an interpreter of its own would be, and a child of ours."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lightfield.local import forks
from lightfield.local.boot import ROOT
from lightfield.local.children import has_ended, marked, stop
from lightfield.local.forks import Forks
from lightfield.local.home import Home

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans over"),
    pytest.mark.timeout(120),
]
MARK = "LF_TEST_FORKS"


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def environ(home):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), MARK: str(home.path), "DJANGO_SETTINGS_MODULE": "tests.none"}


class Starter(Forks):
    """Starts `tests.forked`, and remembers what it started."""

    def __init__(self, home, environ):
        super().__init__(home, environ)
        self.children = []

    def start(self, *arguments, name="one"):
        command = [sys.executable, "-m", "tests.forked", *arguments]
        self.children.append(self.spawn(name, command, {**self.environ, "LIGHTFIELD_ROLE": "web"}, log=name))
        return self.children[-1]


@pytest.fixture
def server(home, environ):
    server = Starter(home, environ)
    yield server
    server.close()
    stop([(child, signal.SIGKILL) for child in server.children], grace=5)


def until(condition, what="it"):
    give_up = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < give_up, f"{what} was not so within 20 s"
        time.sleep(0.01)
    return found


def told(home, name="one", number=0):
    """What the process said of itself."""

    def lines():
        said = home.log_file(name).read_text().splitlines() if home.log_file(name).exists() else []
        return [line for line in said if line.startswith("{")][number : number + 1]

    return json.loads(until(lines, f"a line of {name}")[0])


def test_what_is_forked_is_like_an_interpreter_of_its_own(home, server):
    child = server.start("-x", "two words", name="worker-http-12345")

    state = told(home, "worker-http-12345")
    assert state.pop("child") != child.pid
    assert Path(state.pop("file")) == ROOT / "tests" / "forked.py"
    assert state == {
        "arguments": ["-x", "two words"],
        "main": "__main__",
        "role": "web",
        "settings": "tests.none",
        "parent": os.getpid(),
        "session": child.pid,
        "descriptors": [0, 1, 2],
        "stdin": os.devnull,
        "umask": 0o077,
        "folder": str(ROOT),
        "threads": 1,
        "is_interruptible": signal.getsignal(signal.SIGINT)
        != signal.SIG_IGN,  # as this process, a job in the background may be deaf
        "blocked": [],
        "loaded": True,
        "said": [],
    }
    # And others see the same: ps and top its name and command, the next start its mark
    process = Path(f"/proc/{child.pid}")
    seen = process.joinpath("cmdline").read_bytes().rstrip(b"\0").decode().split("\0")
    assert seen == [sys.executable, "-m", "tests.forked", "-x", "two words"]
    assert process.joinpath("comm").read_text() == "worker-http-123\n"
    assert child.pid in marked(MARK, str(home.path))
    # And it ends in its own way, with its own exit code
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 7


def test_given_a_forked_process_that_is_killed_then_its_end_is_seen_and_its_own_child_goes_too(home, server):
    child = server.start()
    grandchild = told(home)["child"]
    assert not has_ended(child)

    os.kill(child.pid, signal.SIGKILL)

    until(lambda: has_ended(child))
    assert child.returncode == -signal.SIGKILL
    until(lambda: grandchild not in marked(MARK, str(home.path)))


def test_given_that_the_fork_server_is_killed_then_what_it_forked_lives_and_the_next_one_is_forked_too(
    home, server
):
    first = server.start()
    told(home)
    os.kill(server._server.pid, signal.SIGKILL)
    until(lambda: has_ended(server._server))

    second = server.start()

    assert told(home, number=1)["loaded"]
    assert not has_ended(first)
    assert not has_ended(second)


def test_given_that_a_file_has_changed_when_a_process_is_wanted_then_a_new_fork_server_has_read_it(
    home, environ, tmp_path
):
    module = tmp_path / "code" / "dj_database_url.py"  # in place of one of those that are shared
    module.parent.mkdir()
    module.write_text("said = 'old'\n")
    with_module = {**environ, "PYTHONPATH": f"{module.parent}:{ROOT}"}
    server = Starter(home, with_module)
    first = server.start("dj_database_url")
    assert told(home)["said"] == ["old"]

    module.write_text("said = 'newer'\n")
    second = server.start("dj_database_url")

    assert told(home, number=1)["said"] == ["newer"]
    assert not has_ended(first)
    assert [told(home, number=number)["parent"] for number in (0, 1)] == [os.getpid()] * 2
    server.close()
    stop([(child, signal.SIGKILL) for child in (first, second)], grace=5)


def test_given_a_fork_server_that_cannot_start_then_interpreters_are_started_and_it_is_said_once(
    home, server, monkeypatch, capfd
):
    monkeypatch.setattr(forks, "MODULE", "tests.no_such_module")

    first, second = server.start(), server.start()

    states = [told(home, number=number) for number in (0, 1)]
    assert [(state["parent"], state["loaded"], state["descriptors"]) for state in states] == [
        (os.getpid(), False, [0, 1, 2])
    ] * 2
    assert {state["session"] for state in states} == {first.pid, second.pid}
    assert capfd.readouterr().err.count("share no memory") == 1


def test_given_an_order_that_is_given_up_halfway_then_the_forked_process_ends_and_only_its_replacement_runs(
    home, server, monkeypatch
):
    given_up = []

    def refuse(pid):
        given_up.append(pid)
        raise OSError("not ours")

    monkeypatch.setattr(forks, "Forked", refuse)

    child = server.start()

    assert told(home)["session"] == child.pid
    assert [os.waitpid(pid, 0)[1] != 0 for pid in given_up] == [True]
    assert len(home.log_file("one").read_text().splitlines()) == 1


SUPERVISOR = """
import os, sys
from pathlib import Path
from lightfield.local.forks import Forks
from lightfield.local.home import Home
home = Home(Path(sys.argv[1]))
Forks(home, dict(os.environ)).spawn("one", [sys.executable, "-m", "tests.forked"], dict(os.environ), log="one")
print("started", flush=True)
sys.stdin.read()
"""


def test_given_a_supervisor_that_is_killed_then_neither_fork_server_nor_forked_processes_are_left(
    home, environ
):
    command = [sys.executable, "-c", SUPERVISOR, str(home.path)]
    supervisor = subprocess.Popen(
        command, env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "started\n"
        grandchild = told(home)["child"]  # a program that asked for no death signal: the next start ends it
        supervisor.kill()

    until(lambda: set(marked(MARK, str(home.path))) <= {grandchild}, "the end of all")
    os.kill(grandchild, signal.SIGKILL)


PRELOADING = """
import sys, threading
from lightfield.local.fork_server import import_what_is_shared
import_what_is_shared()
from django.apps import apps
from django.conf import settings
from celery._state import get_current_app, default_app
ours = {name for name in sys.modules if name.split(".")[0] in ("lightfield", "crm", "executions", "triggers", "workflows")}
print(settings.configured, apps.apps_ready, threading.active_count(), default_app, sorted(ours))
"""


def test_what_is_shared_reads_no_settings_starts_no_thread_and_is_not_our_code(environ):
    without_settings = {name: value for name, value in environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    done = subprocess.run(
        [sys.executable, "-c", PRELOADING], env=without_settings, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    said, _, ours = done.stdout.strip().partition("[")
    assert said == "False False 1 None "
    # Of ours, what computes and nothing else: a worker's name, for one, must not be the same in all of them
    folders = {name.partition(".")[0] for name in ast.literal_eval(f"[{ours}")}
    assert folders == {"lightfield", "workflows"}
    assert not {"workflows.models", "lightfield.settings", "lightfield.celery"} & set(
        ast.literal_eval(f"[{ours}")
    )
