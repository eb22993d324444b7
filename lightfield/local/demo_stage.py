"""Where the demo plays: a whole installation of its own, a far end that it calls, and a model for its agent."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from lightfield.local import demo_model, environment, ports, receiver
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.calls import Api
from lightfield.local.children import has_ended, spawn, stop
from lightfield.local.ending import ending
from lightfield.local.home import Home
from lightfield.local.supervisor import Supervisor
from lightfield.local.up import begin, wait_for_web

HOST = "127.0.0.1"
LEASE_SECONDS = "5"  # so that a killed worker's step is taken over soon
PATIENCE = 60.0  # seconds for each stretch of the way
LONGER_PATIENCE = 180.0  # with a model that has to think


class Stage:
    """Everything is started here, and stopped with what `held` holds. Settings made for other installations are forgotten."""

    def __init__(self, home: Home, held: contextlib.ExitStack) -> None:
        self.home = home
        self.token = f"demo_{secrets.token_hex(12)}"  # what the far end wants to see
        self.model = demo_model.chosen(home, held)
        self.patience = PATIENCE if self.model.desk else LONGER_PATIENCE
        _forget_other_settings()
        self.far_end = Api(f"http://{HOST}:{self._start_far_end(held)}")
        self.supervisor = self._start_installation(held)
        self.api = Api(f"http://{HOST}:{self.supervisor.environ['LIGHTFIELD_PORT']}")

    def _start_far_end(self, held: contextlib.ExitStack) -> int:
        port = ports.any_free(HOST)
        child = spawn(
            [sys.executable, "-m", receiver.__name__, str(port)],
            cwd=ROOT,
            environ={**environment.basis(self.home), receiver.TOKEN_VARIABLE: self.token},
            output=self.home.open_log("receiver"),
            when_parent_dies=signal.SIGKILL,
        )
        held.callback(stop, [(child, signal.SIGTERM)], grace=2)
        return port

    def _start_installation(self, held: contextlib.ExitStack) -> Supervisor:
        """All of `bin/up`, in a home and on ports of its own: a running `bin/up` is not disturbed."""
        say("starting PostgreSQL, Valkey, web, three workers, beat and Flower")
        allowed = [self.far_end.base.removeprefix("http://"), self.model.may_be_asked]
        extra = {
            "LIGHTFIELD_LEASE_SECONDS": LEASE_SECONDS,
            "LIGHTFIELD_EGRESS_ALLOW": ",".join(filter(None, allowed)),
            **self.model.settings,
        }
        return begin(self.home, held, extra)

    def open(self) -> None:
        """Make a key for the API and wait until web answers.

        Raises:
            CannotStart: one of them failed.
        """
        self.api.key = self.manage("create_api_key", "demo")  # while web still starts
        answered = wait_for_web(self.supervisor)
        ending.check()
        expect(answered, f"web did not answer; see {self.home.log_file('web')}")

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py beside the installation; what it printed."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env={**self.supervisor.environ, "LIGHTFIELD_ROLE": "command"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
            try:
                self.wait(f"manage.py {arguments[0]}", lambda: has_ended(child))
            finally:
                stop([(child, signal.SIGKILL)], grace=1)
            out.seek(0)
            errors.seek(0)
            said = (errors.read().strip() or out.read().strip()).splitlines()
            expect(child.returncode == 0, f"manage.py {arguments[0]} failed: {said[-1] if said else '?'}")
            out.seek(0)
            return out.read().strip()

    def wait(self, what: str, condition: Callable[[], object]) -> None:
        """Keep the installation running until the condition is true."""
        give_up = time.monotonic() + self.patience
        met = False

        def is_over() -> bool:
            nonlocal met
            met = bool(condition())
            return met or time.monotonic() >= give_up

        self.supervisor.run(until=is_over)
        ending.check()
        expect(
            met, f"waited {self.patience:.0f} s for {what} in vain; the logs are in {self.home.path / 'logs'}"
        )


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CannotStart(otherwise)


def _forget_other_settings() -> None:
    """The demo shows the product as it comes: settings made for another installation do not reach it, but for its model."""
    for name in [*os.environ]:
        is_kept = name == "LIGHTFIELD_HOME" or name in demo_model.GIVEN
        if name.startswith(("LIGHTFIELD_", "FLOWER_")) and not is_kept:
            del os.environ[name]
    for name in ("LIGHTFIELD_PORT", "LIGHTFIELD_FLOWER_PORT"):
        os.environ[name] = str(ports.any_free(HOST))
