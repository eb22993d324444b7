"""`bin/demo`: from a signed webhook to an agent with tools, a request with a secret, and what a new record starts.

On a whole installation of its own. The webhook comes twice. The agent's worker is killed with -9 in the middle of its
conversation; the far end answers 503; then another worker is killed while its request is open. Nothing is lost, nothing is
done twice, and `verify` finds every invariant intact. LIGHTFIELD_AI_MODEL, _BASE_URL and _API_KEY name the agent's model;
without them a script stands in for one.
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

from lightfield.local import demo_model, demo_workflows, environment, ports, receiver, signing
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.calls import Api
from lightfield.local.children import has_ended, spawn, stop
from lightfield.local.demo_checks import Seen, checked
from lightfield.local.demo_workflows import AGENT, Customer
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home
from lightfield.local.story import Aside, Chapter, told
from lightfield.local.supervisor import Supervisor
from lightfield.local.up import begin, wait_for_web

HOST = "127.0.0.1"
LEASE_SECONDS = "5"  # so that a killed worker's step is taken over soon
PATIENCE = 60.0  # seconds for each stretch of the way
LONGER_PATIENCE = 180.0  # with a model that has to think
OVER = ("completed", "failed", "cancelled")


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
        self.secret = f"{demo_workflows.SECRET}_{tag}"
        self.customer = Customer(
            f"ada.{tag}@analytical.example",
            "Ada Lovelace",
            "Analytical Engines",
            f"https://{tag}.analytical.example",
        )
        self.made: list[str] = []  # paths of what is taken away again
        self.second_workflow = ""
        self.asides: list[Aside] = []
        self.findings: list[str] = []
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
        before = self._kill_in_the_conversation(run_id)
        self._kill_in_the_request(run_id)
        self._look_back(run_id, before)
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
        definition = demo_workflows.welcome_a_customer(self.far_end.base, webhook_secret, self.secret)
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
        event = demo_workflows.checkout(self.customer, id=f"evt_{secrets.token_hex(8)}")
        sender, body = Api(self.api.base), json.dumps(event).encode()
        once, again = (sender.post(url, event, **signing.signed(body, secret=secret)) for _ in range(2))
        expect(again == {**once, "duplicate": True}, f"the webhook sent again was answered {again}")
        path = f"/api/v1/events/{once['event_id']}"
        self._wait("the event to become a run", lambda: self.api.get(path)["run_id"])
        return str(self.api.get(path)["run_id"])

    # --- what goes wrong --------------------------------------------------------------------------

    def _kill_in_the_conversation(self, run_id: str) -> list[dict[str, Any]]:
        """Kill the agent's worker while its model thinks; the turns that were finished by then."""

        def is_at_it() -> bool:
            return self.model.is_thinking(len(self._turns(run_id))) or self._is_past_the_agent(run_id)

        self._wait("the middle of the agent's conversation", is_at_it)
        if self._is_past_the_agent(run_id):
            self._note("the agent had ended before its worker could be killed")
            return []
        self._kill("worker-ai", "in the middle of the agent's conversation")
        return [turn for turn in self._turns(run_id) if turn["finished_at"]]

    def _kill_in_the_request(self, run_id: str) -> None:
        def is_there() -> bool:
            return len(self._welcomes()) == 2 or self.api.get(f"/api/v1/runs/{run_id}")["status"] in OVER

        self._wait("the second request of the welcome", is_there)
        if len(self._welcomes()) == 2:
            self._kill("worker-http", "while the far end holds its request")

    def _kill(self, name: str, when: str) -> None:
        victim = self.supervisor.pid_of(name)
        os.kill(victim, signal.SIGKILL)
        self._note(f"kill -9 of {name} (pid {victim}) {when}")
        self._wait(f"{name} to run again", lambda: self.supervisor.pid_of(name) != victim)
        self._note(f"{name} runs again (pid {self.supervisor.pid_of(name)})")

    def _is_past_the_agent(self, run_id: str) -> bool:
        return any(
            step["key"] == AGENT and step["finished_at"]
            for step in self.api.get(f"/api/v1/runs/{run_id}")["steps"]
        )

    # --- what came of it --------------------------------------------------------------------------

    def _look_back(self, run_id: str, before: list[dict[str, Any]]) -> None:
        self.run = self._ended(run_id)
        timeline = self.api.pages(f"/api/v1/runs/{run_id}/timeline")
        turns = self._turns(run_id)
        self.chapters = [Chapter("A customer has paid", self.run, timeline, {AGENT: turns})]
        expect(
            self.run["status"] == "completed", f"the run ended as {self.run['status']}: {self.run['error']}"
        )
        self.chapters.append(self._second_chapter())
        seen = Seen(self.customer, self.token, self.chapters, before, self._welcomes(), self.model)
        findings, records = checked(seen, self.api)
        self.findings += findings
        self.made += records

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
        timeline = self.api.pages(f"/api/v1/runs/{run['id']}/timeline")
        return Chapter("What the new contact started", run, timeline)

    def _ended(self, run_id: str) -> dict[str, Any]:
        """The run, once it is over."""
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(self.api.get(f"/api/v1/runs/{run_id}"))
            return found["status"] in OVER

        self._wait("the run to end", is_over)
        return found

    def _turns(self, run_id: str) -> list[dict[str, Any]]:
        run = self.api.get(f"/api/v1/runs/{run_id}")
        if not any(step["key"] == AGENT for step in run["steps"]):
            return []
        return self.api.pages(f"/api/v1/runs/{run_id}/steps/{AGENT}/turns")

    def _welcomes(self) -> list[dict[str, Any]]:
        return [seen for seen in self.far_end.get("/seen") if seen["path"] == "/welcome"]

    def _note(self, words: str) -> None:
        self.asides.append(Aside(datetime.now(UTC), words))

    # --- means ------------------------------------------------------------------------------------

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

    def story(self, *, colour: bool) -> str:
        return told(self.chapters, self.asides, self.findings, colour=colour)


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


if __name__ == "__main__":
    sys.exit(main())
