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
from urllib.parse import urlsplit, urlunsplit

import pytest

from lightfield.local import environment, valkey
from lightfield.local.boot import CannotStart
from lightfield.local.children import end_all, working_in
from lightfield.local.home import Home, InUse, locked
from lightfield.local.servers import Servers

REDIS_DATABASES = 16  # of an embedded Valkey, one for each xdist worker


class TestServers:
    """What this pytest process started; nothing in an xdist worker, which inherits its controller's."""

    __test__ = False

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        installation = Home.of_this_installation()
        os.environ["LIGHTFIELD_ENV"] = "development"
        missing = {name for name in ("DATABASE_URL", "REDIS_URL") if not environment.given(name)}
        tests = installation.inner("tests")
        with locked(tests.path / "lock"):  # or a run that starts now would take our folder for a leftover
            _remove_leftovers(tests)
            home = tests.inner(secrets.token_hex(4))
            self._stack.callback(home.discard)
            wanted = {"postgres": "DATABASE_URL" in missing, "redis": "REDIS_URL" in missing}
            self._stack.enter_context(home.exclusively("bin/test"))
            servers = self._stack.enter_context(Servers(home, durable=False, **wanted))
        os.environ.update({**environment.keys(home), **servers.urls})
        # Tests that empty or stop a server look here first: only what we started is ours to break.
        os.environ["LIGHTFIELD_TEST_OWN_SERVERS"] = ",".join(sorted(missing))

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


def _give_xdist_worker_its_own_redis_database(worker: str) -> None:
    if "REDIS_URL" in os.environ.get("LIGHTFIELD_TEST_OWN_SERVERS", ""):
        number = (int(worker.removeprefix("gw")) + 1) % REDIS_DATABASES
        os.environ["REDIS_URL"] = urlunsplit(urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}"))


started = TestServers()


def _start() -> None:
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        _give_xdist_worker_its_own_redis_database(worker)
        return
    try:
        started.start()
    except CannotStart as problem:
        started.stop()
        raise pytest.UsageError(str(problem)) from problem


_start()


def pytest_unconfigure() -> None:
    started.stop()


def pytest_report_header() -> str:
    own = os.environ.get("LIGHTFIELD_TEST_OWN_SERVERS")
    return f"servers: embedded for {own}" if own else "servers: as given by DATABASE_URL and REDIS_URL"
