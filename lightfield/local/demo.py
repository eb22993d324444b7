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
import sys
from datetime import UTC, datetime
from typing import Any

from lightfield.local import demo_workflows, signing
from lightfield.local.boot import CannotStart, say
from lightfield.local.calls import Api
from lightfield.local.demo_checks import Seen, checked
from lightfield.local.demo_stage import PATIENCE, Stage, expect
from lightfield.local.demo_workflows import AGENT, Customer
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home
from lightfield.local.story import Aside, Chapter, told

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
            demo = Demo(Stage(home, held))
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
    """What is done on the stage, and what came of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.api = stage.api
        self.run: dict[str, Any] = {}
        self.chapters: list[Chapter] = []
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

    def play(self) -> None:
        """Let it happen, then look at it closely.

        Raises:
            CannotStart: something was not as promised; the message says what.
        """
        self.stage.open()
        say("sending the webhook, twice")
        run_id = self._send_webhook(*self._publish())
        before = self._kill_in_the_conversation(run_id)
        self._kill_in_the_request(run_id)
        self._look_back(run_id, before)
        say("verifying the invariants, then stopping everything")
        self.stage.manage("verify")
        self.findings.append("verify: every invariant of the database holds")
        for path in reversed(self.made):
            self.api.delete(path)

    def _publish(self) -> tuple[str, str]:
        """Write secret and workflows through the API and publish them; the address of the webhook, and its secret."""
        host = self.stage.far_end.base.removeprefix("http://")
        secret = {"name": self.secret, "value": self.stage.token, "hosts": [host]}
        self._make("/api/v1/credentials", secret)
        webhook_secret = signing.new_secret()
        call = self._make("/api/v1/workflows", demo_workflows.call_a_new_contact())
        definition = demo_workflows.welcome_a_customer(self.stage.far_end.base, webhook_secret, self.secret)
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
        self.stage.wait("the event to become a run", lambda: self.api.get(path)["run_id"])
        return str(self.api.get(path)["run_id"])

    # --- what goes wrong --------------------------------------------------------------------------

    def _kill_in_the_conversation(self, run_id: str) -> list[dict[str, Any]]:
        """Kill the agent's worker while its model thinks; the turns that were finished by then."""

        def is_at_it() -> bool:
            return self.stage.model.is_thinking(len(self._turns(run_id))) or self._is_past_the_agent(run_id)

        self.stage.wait("the middle of the agent's conversation", is_at_it)
        if self._is_past_the_agent(run_id):
            self._note("the agent had ended before its worker could be killed")
            return []
        self._kill("worker-ai", "in the middle of the agent's conversation")
        return [turn for turn in self._turns(run_id) if turn["finished_at"]]

    def _kill_in_the_request(self, run_id: str) -> None:
        def is_there() -> bool:
            return len(self._welcomes()) == 2 or self.api.get(f"/api/v1/runs/{run_id}")["status"] in OVER

        self.stage.wait("the second request of the welcome", is_there)
        if len(self._welcomes()) == 2:
            self._kill("worker-http", "while the far end holds its request")

    def _kill(self, name: str, when: str) -> None:
        victim = self.stage.supervisor.pid_of(name)
        os.kill(victim, signal.SIGKILL)
        self._note(f"kill -9 of {name} (pid {victim}) {when}")
        self.stage.wait(f"{name} to run again", lambda: self.stage.supervisor.pid_of(name) != victim)
        self._note(f"{name} runs again (pid {self.stage.supervisor.pid_of(name)})")

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
        seen = Seen(
            self.customer, self.stage.token, self.chapters, before, self._welcomes(), self.stage.model
        )
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

        self.stage.wait("the run that the contact started", led_to)
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

        self.stage.wait("the run to end", is_over)
        return found

    def _turns(self, run_id: str) -> list[dict[str, Any]]:
        run = self.api.get(f"/api/v1/runs/{run_id}")
        if not any(step["key"] == AGENT for step in run["steps"]):
            return []
        return self.api.pages(f"/api/v1/runs/{run_id}/steps/{AGENT}/turns")

    def _welcomes(self) -> list[dict[str, Any]]:
        return [seen for seen in self.stage.far_end.get("/seen") if seen["path"] == "/welcome"]

    def _note(self, words: str) -> None:
        self.asides.append(Aside(datetime.now(UTC), words))

    def story(self, *, colour: bool) -> str:
        return told(self.chapters, self.asides, self.findings, colour=colour)


if __name__ == "__main__":
    sys.exit(main())
