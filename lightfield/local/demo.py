"""`bin/demo`: from a signed webhook to a record, a request with a secret, and what the record's change starts.

On a whole installation of its own. The webhook comes twice. The far end answers 503; then a worker is killed with -9
while its request is open. Nothing is lost, nothing is done twice, and `verify` finds every invariant intact.
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

from lightfield.local import demo_workflows, environment, ports, receiver, signing
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.calls import Api
from lightfield.local.children import has_ended, spawn, stop
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home
from lightfield.local.story import Aside, Chapter, told
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
        self.chapters: list[Chapter] = []
        self.token = f"demo_{secrets.token_hex(12)}"  # what the far end wants to see
        # Names of this demo's own: the database keeps what earlier ones left, also those that were interrupted.
        tag = secrets.token_hex(4)
        self.secret, self.email = f"{demo_workflows.SECRET}_{tag}", f"ada.{tag}@example.com"
        self.made: list[str] = []  # paths of what is taken away again
        self.second_workflow = ""
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
            environ={**environment.basis(self.home), receiver.TOKEN_VARIABLE: self.token},
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
        say("sending the webhook, twice")
        run_id = self._send_webhook(*self._publish())
        self._wait("the second request of the welcome", lambda: len(self._seen()) == 2)
        self._kill_worker()
        self.run = self._ended(run_id)
        timeline = self.api.pages(f"/api/v1/runs/{run_id}/timeline")
        self.chapters = [Chapter("A signed webhook", self.run, timeline), self._second_chapter()]
        self._check(timeline)
        say("verifying the invariants, then stopping everything")
        self._manage("verify")
        self.findings.append("verify: every invariant of the database holds")
        for path in reversed(self.made):
            self.api.delete(path)

    def _publish(self) -> tuple[str, str]:
        """Write secret and workflows through the API and publish them; the address of the webhook, and its secret."""
        host = self.far_end.base.removeprefix("http://")
        secret = {"name": self.secret, "value": self.token, "hosts": [host]}
        self._make("/api/v1/credentials", secret)
        webhook_secret = signing.new_secret()
        call = self._make("/api/v1/workflows", demo_workflows.call_a_new_contact())
        definition = demo_workflows.welcome_a_signup(self.far_end.base, webhook_secret, self.secret)
        welcome = self._make("/api/v1/workflows", definition)
        for workflow in (call, welcome):
            self.api.post(f"/api/v1/workflows/{workflow['id']}/publish")
        self.second_workflow = call["id"]
        return str(welcome["webhook_url"]), webhook_secret

    def _make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.api.post(path, body)
        self.made.append(f"{path}/{made['id']}")
        return made

    def _send_webhook(self, url: str, secret: str) -> str:
        """The id of the run that the webhook started. Its sender is not sure, and sends it again."""
        signup, message = {"email": self.email, "name": "Ada", "plan": "pro"}, secrets.token_hex(8)
        sender, body = Api(self.api.base), json.dumps(signup).encode()
        once, again = (
            sender.post(url, signup, **signing.signed(body, secret=secret, id=message)) for _ in range(2)
        )
        expect(again == {**once, "duplicate": True}, f"the webhook sent again was answered {again}")
        path = f"/api/v1/events/{once['event_id']}"
        self._wait("the event to become a run", lambda: self.api.get(path)["run_id"])
        return str(self.api.get(path)["run_id"])

    def _second_chapter(self) -> Chapter:
        """The run that the contact led to: another workflow's, under the same trace id."""
        trace = self.run["trace_id"]

        def led_to() -> list[dict[str, Any]]:
            path = f"/api/v1/runs?trace_id={trace}&workflow={self.second_workflow}"
            runs: list[dict[str, Any]] = self.api.get(path)["results"]
            return runs

        self._wait("the run that the contact started", led_to)
        found = led_to()
        expect(len(found) == 1, f"one contact started {len(found)} runs")
        run = self._ended(found[0]["id"])
        return Chapter(
            "What the new contact started", run, self.api.pages(f"/api/v1/runs/{run['id']}/timeline")
        )

    def _kill_worker(self) -> None:
        victim = self.supervisor.pid_of(VICTIM)
        os.kill(victim, signal.SIGKILL)
        self._note(f"kill -9 of {VICTIM} (pid {victim}) while the far end holds its request")
        self._wait(f"{VICTIM} to run again", lambda: self.supervisor.pid_of(VICTIM) != victim)
        self._note(f"{VICTIM} runs again (pid {self.supervisor.pid_of(VICTIM)})")

    def _ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it is over."""
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(self.api.get(f"/api/v1/runs/{run_id}"))
            return found["status"] in ("completed", "failed", "cancelled")

        self._wait("the run to end", is_over)
        return found

    def _check(self, timeline: list[dict[str, Any]]) -> None:
        for chapter in self.chapters:
            status, error = chapter.run["status"], chapter.run["error"]
            expect(status == "completed", f"{chapter.title}: the run ended as {status}: {error}")
        contact, _, welcome = self.run["steps"]
        requests = self._seen()
        answers = [seen["status"] for seen in requests]
        expect(answers == [503, None, 200], f"the far end answered {answers}, not 503, nothing, 200")
        expect(len({seen["idempotency_key"] for seen in requests}) == 1, "it was asked under several keys")
        expect(all(seen["has_token"] for seen in requests), "a request came without the secret")
        lost = [entry["step"] for entry in timeline if entry["type"] == "step.lost"]
        expect(lost == ["welcome"], f"{len(lost)} attempts were lost, not one")
        told_of = welcome["output"]["body"]["received"]["contact"]
        expect(told_of == contact["output"]["id"], "the welcome was about another contact")
        there = self.api.get(f"/api/v1/crm/contacts?email={self.email}")["results"]
        expect(len(there) == 1, f"there are {len(there)} contacts, not one")
        (task,) = self.chapters[1].run["steps"]
        title = self.api.get(f"/api/v1/crm/tasks/{task['output']['id']}")["title"]
        expect(title == "Call Ada", f"the task is to “{title}”")
        expect(self.token not in json.dumps([self.run, timeline]), "the secret stands in the run")
        self.findings += [
            "one webhook sent twice: one event, one run, one contact; the contact started one run, that made one task",
            "welcome: answered 503; then its worker died with the request open; sent again under the same key",
            "the secret went to the far end with each request, and stands nowhere in the run",
        ]

    def _seen(self) -> list[dict[str, Any]]:
        return [seen for seen in self.far_end.get("/seen") if seen["path"] == "/welcome"]

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
        return told(self.chapters, self.asides, self.findings, colour=colour)


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


if __name__ == "__main__":
    sys.exit(main())
