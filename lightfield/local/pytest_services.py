"""pytest plugin: real servers for the tests, started before Django reads its settings.

Loaded by `-p lightfield.local.pytest_services` in pyproject.toml, because pytest-django reads the settings
before any conftest.py is imported. DATABASE_URL and REDIS_URL, when given, are used as they are: tests keep
to `test_*` databases there and never flush Redis. What is missing is started in a folder of this run's own
under `$LIGHTFIELD_HOME/tests` and removed afterwards, also what a killed run left behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from functools import partial
from pathlib import Path

import pytest

from lightfield.local import environment, valkey
from lightfield.local.boot import CannotStart
from lightfield.local.children import end_all, working_in
from lightfield.local.home import Home, InUse, locked
from lightfield.local.servers import Servers

MOST_WORKERS = 4  # they share PostgreSQL's 100 connections
SERVERS = {"DATABASE_URL": "postgres", "REDIS_URL": "redis"}


class TestServers:
    """What this pytest process started."""

    __test__ = False

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def start(self, missing: set[str]) -> None:
        """Set the URLs of `missing`, and the keys of an installation where the environment has none."""
        tests = Home.of_this_installation().inner("tests")
        with locked(tests.path / "lock"):  # or a run that starts now would take our folder for a leftover
            _remove_leftovers(tests)
            home = tests.inner(secrets.token_hex(4))
            self._stack.callback(home.discard)
            self._stack.enter_context(home.exclusively("bin/test"))
            wanted = {server: name in missing for name, server in SERVERS.items()}
            servers = self._stack.enter_context(Servers(home, durable=False, **wanted))
        os.environ.update({**environment.keys(home), **servers.urls})

    def stop(self) -> None:
        self._stack.close()


def _remove_leftovers(tests: Home) -> None:
    """End the servers and delete the folders of runs that were killed: those whose lock nobody holds."""
    for path in filter(Path.is_dir, tests.path.iterdir()):
        left = Home(path, root=tests.root)
        with contextlib.suppress(InUse, OSError), left.exclusively("bin/test"):
            end_all(partial(working_in, path / "postgres", ["postgres"]), first=signal.SIGQUIT, grace=1)
            end_all(partial(working_in, path / "redis", valkey.PROGRAM_NAMES), first=signal.SIGTERM, grace=1)
            left.discard()


started = TestServers()


def _start() -> None:
    os.environ["LIGHTFIELD_ENV"] = "development"
    try:
        started.start(_missing())
    except CannotStart as problem:
        started.stop()
        raise pytest.UsageError(str(problem)) from problem


def _missing() -> set[str]:
    """An xdist worker shares its controller's PostgreSQL, where pytest-django gives it a database, and brings a Redis.

    For some tests fill theirs, or ask what it has served.
    """
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return {"REDIS_URL"} & _own()
    missing = {name for name in SERVERS if not environment.given(name)}
    # Tests that empty or stop a server look here first: only what we started is ours to break.
    os.environ["LIGHTFIELD_TEST_OWN_SERVERS"] = ",".join(sorted(missing))
    return missing


def _own() -> set[str]:
    return set(filter(None, os.environ["LIGHTFIELD_TEST_OWN_SERVERS"].split(",")))


_start()


@pytest.hookimpl(tryfirst=True)  # xdist has one itself
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` in pyproject.toml means: the whole suite on all processors, named files in one process as ever.

    Also where output is to be seen, and on a Redis that was given: it is one for all.
    """
    is_whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    is_shown = config.getoption("capture") == "no"
    processors = len(os.sched_getaffinity(0))
    may_share = is_whole and not is_shown and "REDIS_URL" in _own()
    return min(processors, MOST_WORKERS) if may_share and processors > 1 else 0


def pytest_unconfigure() -> None:
    started.stop()


def pytest_report_header() -> str:
    own = ", ".join(sorted(_own()))
    return f"servers: embedded for {own}" if own else "servers: as given by DATABASE_URL and REDIS_URL"
