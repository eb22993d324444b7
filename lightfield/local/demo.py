"""`bin/demo`: one workflow from webhook to finished run, on a whole installation of its own.

The first step's far end answers 503, 503, 200; the worker is killed with -9 while the second step's request
is open. Nothing is lost, nothing is done twice under another key, and `verify` finds every invariant intact.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lightfield.local import environment, ports, receiver
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.calls import Api
from lightfield.local.children import has_ended, spawn, stop
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home
from lightfield.local.story import Aside, told
from lightfield.local.supervisor import Supervisor
from lightfield.local.up import begin, wait_for_web

HOST = "127.0.0.1"
LEASE_SECONDS = "5"  # so that the killed worker's step is taken over soon
PATIENCE = 60.0  # seconds for each stretch of the way
VICTIM = "worker-http"


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the finished run as JSON instead")
    arguments = parser.parse_args()
    ending.listen(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        home = Home.of_this_installation().inner("demo")
        with contextlib.ExitStack() as held:
            held.enter_context(home.exclusively("bin/demo", patience=PATIENCE))
            demo = Demo(home, held)
            demo.play()
    except CannotStart as problem:
        say(str(problem))
        return 1
    except Ended:
        say("interrupted; everything is stopped")
        return 130
    print(json.dumps(demo.run, indent=2) if arguments.json else demo.story(colour=sys.stdout.isatty()))
    return 0


class Demo:
    """The installation, the far end, and what came of it."""

    def __init__(self, home: Home, held: contextlib.ExitStack) -> None:
        self.home = home
        self.run: dict[str, Any] = {}
        self.timeline: list[dict[str, Any]] = []
        self.asides: list[Aside] = []
        self.findings: list[str] = []
        _forget_other_settings()
        self.far_end = Api(f"http://{HOST}:{self._start_far_end(held)}")
        self.supervisor = self._start_installation(held)
        self.api = Api(f"http://{HOST}:{self.supervisor.environ['LIGHTFIELD_PORT']}")

    def _start_far_end(self, held: contextlib.ExitStack) -> int:
        port = ports.any_free(HOST)
        child = spawn(
            [sys.executable, "-m", receiver.__name__, str(port)],
            cwd=ROOT,
            environ=environment.basis(self.home),
            output=self.home.open_log("receiver"),
            when_parent_dies=signal.SIGKILL,
        )
        held.callback(stop, [(child, signal.SIGTERM)], grace=2)
        return port

    def _start_installation(self, held: contextlib.ExitStack) -> Supervisor:
        """All of `bin/up`, in a home and on ports of its own: a running `bin/up` is not disturbed."""
        say("starting PostgreSQL, Valkey, web, three workers, beat and Flower")
        extra = {
            "LIGHTFIELD_LEASE_SECONDS": LEASE_SECONDS,
            "LIGHTFIELD_EGRESS_ALLOW": self.far_end.base.removeprefix("http://"),
        }
        return begin(self.home, held, extra)

    def play(self) -> None:
        """Let it happen, then look at it closely.

        Raises:
            CannotStart: something was not as promised; the message says what.
        """
        self.api.key = self._manage("create_api_key", "demo")  # while web still starts
        answered = wait_for_web(self.supervisor)
        ending.check()
        expect(answered, f"web did not answer; see {self.home.log_file('web')}")
        say("sending the webhook")
        run_id = self._send_webhook(self._publish())
        self._wait("the second step's request", lambda: len(self._seen("/welcome")) == 1)
        self._kill_worker()
        self._wait("the run to end", lambda: self._has_ended(run_id))
        self.timeline = self.api.pages(f"/api/v1/runs/{run_id}/timeline")
        self._check()
        say("verifying the invariants, then stopping everything")
        self._manage("verify")
        self.findings.append("verify: every invariant of the database holds")

    def _publish(self) -> str:
        """Write the workflow through the API and publish it; the address of its webhook."""
        workflow = self.api.post("/api/v1/workflows", _definition(self.far_end.base))
        self.api.post(f"/api/v1/workflows/{workflow['id']}/publish")
        return str(workflow["webhook_url"])

    def _send_webhook(self, url: str) -> str:
        """The id of the run that the webhook started."""
        signup = {"email": "ada@example.com", "name": "Ada"}
        event = Api(self.api.base).post(url, signup, Idempotency_Key=secrets.token_hex(8))
        path = f"/api/v1/events/{event['event_id']}"
        self._wait("the event to become a run", lambda: self.api.get(path)["run_id"])
        return str(self.api.get(path)["run_id"])

    def _kill_worker(self) -> None:
        victim = self.supervisor.pid_of(VICTIM)
        os.kill(victim, signal.SIGKILL)
        self._note(f"kill -9 of {VICTIM} (pid {victim}) while the far end holds its request")
        self._wait(f"{VICTIM} to run again", lambda: self.supervisor.pid_of(VICTIM) != victim)
        self._note(f"{VICTIM} runs again (pid {self.supervisor.pid_of(VICTIM)})")

    def _has_ended(self, run_id: str) -> bool:
        self.run = self.api.get(f"/api/v1/runs/{run_id}")
        return self.run["status"] in ("completed", "failed", "cancelled")

    def _check(self) -> None:
        contact, welcome = self.run["steps"]
        expect(
            self.run["status"] == "completed", f"the run ended as {self.run['status']}: {self.run['error']}"
        )
        expect(contact["attempts"] == 3, f"the first step took {contact['attempts']} attempts, not 3")
        answers = [seen["status"] for seen in self._seen("/contacts")]
        expect(answers == [503, 503, 200], f"the far end answered {answers}, not 503, 503, 200")
        lost = [entry for entry in self.timeline if entry["type"] == "step.lost"]
        expect([entry["step"] for entry in lost] == ["welcome"], f"{len(lost)} attempts were lost, not one")
        expect(welcome["output"]["body"]["received"]["contact"] == "c-3", "the second step got other input")
        for path, times in (("/contacts", 3), ("/welcome", 2)):
            keys = [seen["idempotency_key"] for seen in self._seen(path)]
            expect(len(keys) == times and len(set(keys)) == 1, f"{path} was asked with the keys {keys}")
        self.findings += [
            "contact: 3 attempts, answered 503, 503 and 200, all under one idempotency key",
            "welcome: its worker died with the request open; one attempt lost, sent again under the same key",
        ]

    def _seen(self, path: str) -> list[dict[str, Any]]:
        return [seen for seen in self.far_end.get("/seen") if seen["path"] == path]

    def _note(self, words: str) -> None:
        self.asides.append(Aside(datetime.now(UTC), words))

    def _manage(self, *arguments: str) -> str:
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
                self._wait(f"manage.py {arguments[0]}", lambda: has_ended(child))
            finally:
                stop([(child, signal.SIGKILL)], grace=1)
            out.seek(0)
            errors.seek(0)
            said = (errors.read().strip() or out.read().strip()).splitlines()
            expect(child.returncode == 0, f"manage.py {arguments[0]} failed: {said[-1] if said else '?'}")
            out.seek(0)
            return out.read().strip()

    def _wait(self, what: str, condition: Callable[[], object]) -> None:
        """Keep the installation running until the condition is true."""
        give_up = time.monotonic() + PATIENCE
        met = False

        def is_over() -> bool:
            nonlocal met
            met = bool(condition())
            return met or time.monotonic() >= give_up

        self.supervisor.run(until=is_over)
        ending.check()
        expect(met, f"waited {PATIENCE:.0f} s for {what} in vain; the logs are in {self.home.path / 'logs'}")

    def story(self, *, colour: bool) -> str:
        return told(self.run, self.timeline, self.asides, self.findings, colour=colour)


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CannotStart(otherwise)


def _forget_other_settings() -> None:
    """The demo shows the product as it comes: settings made for another installation do not reach it."""
    for name in [*os.environ]:
        if name.startswith(("LIGHTFIELD_", "FLOWER_")) and name != "LIGHTFIELD_HOME":
            del os.environ[name]
    for name in ("LIGHTFIELD_PORT", "LIGHTFIELD_FLOWER_PORT"):
        os.environ[name] = str(ports.any_free(HOST))


def _definition(far_end: str) -> dict[str, Any]:
    """The demo's workflow, in the format of the API."""
    return {
        "schema": 1,
        "name": "Demo: welcome a signup",
        "trigger": {"type": "webhook", "config": {"signature": {"scheme": "none"}}},
        "steps": [
            {
                "key": "contact",
                "name": "Create the contact",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": f"{far_end}/contacts",
                    "json": {"email": "{{ trigger.email }}"},
                },
                "retry": {"max_attempts": 5, "base_seconds": 0.2},
            },
            {
                "key": "welcome",
                "name": "Send the welcome message",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": f"{far_end}/welcome",
                    "json": {"contact": "{{ contact.body.id }}", "text": "Welcome, {{ trigger.name }}!"},
                },
            },
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
