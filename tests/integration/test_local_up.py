"""bin/up with the real processes: what dies comes back as it was, and nothing outlives the supervisor."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from lightfield.local import ports, processes
from lightfield.local.boot import ROOT
from lightfield.local.children import marked
from lightfield.local.home import Home
from lightfield.local.supervisor import MARK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TABLE = processes.table(bind="127.0.0.1", port="1", flower_port="1")
NAMES = ["postgres", "redis", *(process.name for process in TABLE)]
RESTART_SECONDS = 2.0


@pytest.fixture
def home():
    path = Path(tempfile.mkdtemp(prefix="lf-up-"))
    yield Home(path)
    Home(path).discard()
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def environ(home):
    """A development machine's environment: no URLs, ports that are free."""
    own = ("LIGHTFIELD_", "FLOWER_", "DATABASE_URL", "REDIS_URL")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "LIGHTFIELD_HOME": str(home.path),
        "LIGHTFIELD_PORT": str(ports.any_free("127.0.0.1")),
        "LIGHTFIELD_FLOWER_PORT": str(ports.any_free("127.0.0.1")),
    }


@contextlib.contextmanager
def up(environ):
    command = [sys.executable, "-m", "lightfield.local.up"]
    with subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            yield supervisor
        finally:
            supervisor.kill()


def read_until(stream, words):
    said = ""
    for line in stream:
        said += line
        if words in line:
            return said
    return pytest.fail(f"{words!r} was never said, only: {said}")


def pids(home):
    return {name: int(home.pid_file(name).read_text()) for name in NAMES if home.pid_file(name).exists()}


def wait_until(condition, seconds):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"it was not so within {seconds} s"
        time.sleep(0.02)


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def test_given_a_running_installation_when_anything_is_killed_then_it_comes_back_and_ends_in_order(
    home, environ
):
    web = f"http://127.0.0.1:{environ['LIGHTFIELD_PORT']}/livez"
    flower = f"http://127.0.0.1:{environ['LIGHTFIELD_FLOWER_PORT']}/"

    with up(environ) as first:
        said = read_until(first.stdout, "logs")
        before = pids(home)
        assert sorted(before) == sorted(NAMES)
        assert re.search(r"login admin / \S{16}", said)
        assert status_of(web) == 200
        wait_until(lambda: status_of(flower) == 401, 20)
        assert status_of(f"{flower}metrics") == 401

        # And all that is ours was forked, which who looks at processes does not notice
        for process in processes.table(
            bind="127.0.0.1",
            port=environ["LIGHTFIELD_PORT"],
            flower_port=environ["LIGHTFIELD_FLOWER_PORT"],
        ):
            seen = Path(f"/proc/{before[process.name]}")
            command = seen.joinpath("cmdline").read_bytes().rstrip(b"\0").decode().split("\0")
            assert command[1:] == list(process.command[1:])
            assert seen.joinpath("comm").read_text() == f"{process.name}\n"

        # When every process is killed at once
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        # Then each has a new pid in the same file within two seconds, and the same address
        wait_until(lambda: not set(pids(home).values()) & set(before.values()), RESTART_SECONDS)
        wait_until(lambda: status_of(web) == 200, 20)

        # And a command runs in the same environment
        command = [sys.executable, "-m", "lightfield.local.manage", "shell", "-v0", "-c"]
        look = "from django.conf import settings; print(settings.LIGHTFIELD_PORT)"
        unset_ports = {name: value for name, value in environ.items() if "PORT" not in name}
        answer = subprocess.run(
            [*command, look], env=unset_ports, cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert (answer.returncode, answer.stdout) == (0, f"{environ['LIGHTFIELD_PORT']}\n"), answer.stderr
        kept = json.loads((home.path / "kept.json").read_text())

        # When the supervisor is killed, then nothing of it is left
        first.kill()
    wait_until(lambda: not marked(MARK, str(home.path)), 10)

    # And the next start takes up the same addresses and passwords, and ends all of it when it is told to
    with up({**environ, "LIGHTFIELD_HTTP_WORKERS": "2"}) as second:
        wait_until(lambda: home.pid_file("worker-http-2").exists(), 60)
        assert json.loads((home.path / "kept.json").read_text()) == kept
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
    assert marked(MARK, str(home.path)) == []
    assert pids(home) == {}


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"LIGHTFIELD_ENV": "production"},
            "LIGHTFIELD_SECRET_KEY must be set when LIGHTFIELD_ENV=production",
        ),
        ({"LIGHTFIELD_PORT": "http"}, "LIGHTFIELD_PORT must be a port number, not 'http'"),
        ({"LIGHTFIELD_HTTP_WORKERS": "none"}, "LIGHTFIELD_HTTP_WORKERS must be a whole number from 1 to 32"),
        ({"FLOWER_BASIC_AUTH": "nobody"}, "FLOWER_BASIC_AUTH must be user:password"),
        ({"FLOWER_UNAUTHENTICATED_API": "1"}, "FLOWER_UNAUTHENTICATED_API would open Flower to everybody"),
        ({"LIGHTFIELD_BIND": "203.0.113.1"}, "cannot listen on 203.0.113.1"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(environ, variables, line):
    done = subprocess.run(
        [sys.executable, "-m", "lightfield.local.up"],
        env={**environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"lightfield: {line}")
    assert done.stderr.count("\n") == 1
