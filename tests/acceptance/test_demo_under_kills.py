"""The workflows of `bin/demo`, while a process is killed with -9 at a random moment, again and again: each effect once.

More kills: `LIGHTFIELD_TEST_KILLS=20 LIGHTFIELD_TEST_SEED=8 bin/test -s tests/acceptance/test_demo_under_kills.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from lightfield.local import demo_workflows, signing
from tests.acceptance import far_end as far_ends
from tests.acceptance import installation as installations
from tests.acceptance.far_end import FarEnd
from tests.acceptance.installation import PATIENCE, Installation

KILLS = int(os.environ.get("LIGHTFIELD_TEST_KILLS", "4"))
SEED = int(os.environ.get("LIGHTFIELD_TEST_SEED", "32"))
VICTIMS = ("web", "worker-fast", "worker-http", "worker-ai", "beat", "postgres", "redis")
PEOPLE, SENDERS = 10, 24  # new people of a round; webhooks on their way at once
ARRIVAL_SECONDS, KILL_SECONDS = 1.0, 1.5  # of a round, within which a webhook comes and the kill falls
TIMEOUT_SECONDS = 2  # of a request, so that a far end that is silent holds up its run for that long only
TOKEN = "drill_token_51c3f0"
ENDED = "SELECT count(*) FROM executions_run WHERE workflow_id = %s AND status IN ('completed', 'failed', 'cancelled')"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 60 * KILLS)]


@dataclass(frozen=True)
class Signup:
    """One message of the sender's: `id` is its webhook-id, `name` is nobody else's."""

    id: str
    email: str
    name: str
    plan: str

    @property
    def body(self) -> bytes:
        return json.dumps({"email": self.email, "name": self.name, "plan": self.plan}).encode()


@dataclass
class Drill:
    """The installation, the far end, and the sender's books."""

    installation: Installation
    far_end: FarEnd
    welcome: dict[str, Any]
    call: dict[str, Any]
    secret: str
    rng: random.Random
    signups: list[Signup] = field(default_factory=list)
    answers: list[tuple[Signup, str]] = field(default_factory=list)  # each with the event's id
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def people(self) -> dict[str, set[str]]:
        """Of each address the names under which it signed up."""
        found: dict[str, set[str]] = {}
        for signup in self.signups:
            found.setdefault(signup.email.lower(), set()).add(signup.name)
        return found

    def draw(self, number: int) -> list[Signup]:
        """The signups of a round: of new people, a few of whom sign up twice, and some of whom do not pay."""
        made = []
        for person in range(PEOPLE):
            who = f"{number}-{person}"
            for again in range(self.rng.choice((1, 1, 1, 2))):
                email = f"P{who}@example.com" if again else f"p{who}@example.com"
                plan = self.rng.choice(("pro", "pro", "pro", "free"))
                made.append(Signup(f"msg_{who}_{again}", email, f"Person {who} {again}", plan))
        return made

    def send(self, signup: Signup, after_seconds: float) -> None:
        """Until it is acknowledged, as senders do."""
        time.sleep(after_seconds)
        address, give_up = self.welcome["webhook_url"], time.monotonic() + PATIENCE
        url = address if address.startswith("http") else self.installation.api.base + address
        while True:
            signed = signing.signed(signup.body, secret=self.secret, id=signup.id)
            headers = {"Content-Type": "application/json"}
            headers |= {name.replace("_", "-"): value for name, value in signed.items()}
            with contextlib.suppress(requests.RequestException):
                answer = requests.post(url, data=signup.body, headers=headers, timeout=5)
                if answer.status_code in (200, 202):
                    self.answers.append((signup, answer.json()["event_id"]))
                    return
                assert answer.status_code >= 500, f"{signup.id} was answered {answer.text}"
            self.unanswered += 1
            assert time.monotonic() < give_up, f"{signup.id} was never acknowledged"
            time.sleep(0.2)

    def kill(self, victim: str, after_seconds: float) -> None:
        """And wait until the supervisor has started it again."""

        def pid() -> int:
            return int((self.installation.home / "run" / f"{victim}.pid").read_text() or 0)

        time.sleep(after_seconds)
        killed = pid()
        os.kill(killed, signal.SIGKILL)
        self.kills[victim] += 1
        self.installation.wait_for(f"{victim} to run again", lambda: pid() not in (0, killed))

    def is_over(self) -> bool:
        """Every run that there has to be has ended; a run too many is found in the end."""
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self.installation.url("DATABASE_URL"), autocommit=True) as connection,
        ):
            welcomes, calls = [
                int((connection.execute(ENDED, [workflow["id"]]).fetchone() or (0,))[0])
                for workflow in (self.welcome, self.call)
            ]
            return welcomes >= len(self.signups) and calls >= len(self.people)
        return False

    def round(self, number: int, victim: str) -> None:
        signups = self.draw(number)
        self.signups += signups
        sendings = signups + self.rng.sample(signups, len(signups) // 3)
        moments = [self.rng.uniform(0, ARRIVAL_SECONDS) for _ in sendings]
        killed_after = self.rng.uniform(0, KILL_SECONDS)
        with ThreadPoolExecutor(SENDERS) as pool:
            sending = [pool.submit(self.send, *one) for one in zip(sendings, moments, strict=True)]
            self.kill(victim, killed_after)
            for one in sending:
                one.result()
        self.installation.wait_for(f"the runs of round {number}, {victim} killed", self.is_over)


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    """The demo's workflows on an installation of their own, published."""
    with (
        far_ends.running(TOKEN, SEED) as (far_end, server),
        installations.running(tmp_path, LIGHTFIELD_EGRESS_ALLOW=server.endpoint) as installation,
    ):
        api, secret = installation.api, signing.new_secret()
        kept = {"name": demo_workflows.SECRET, "value": TOKEN, "hosts": [server.endpoint]}
        api.post("/api/v1/credentials", kept)
        welcome = demo_workflows.welcome_a_signup(server.url, secret)
        welcome["steps"][-1]["config"]["timeout_seconds"] = TIMEOUT_SECONDS
        published = []
        for definition in (demo_workflows.call_a_new_contact(), welcome):
            published.append(api.post("/api/v1/workflows", definition))
            api.post(f"/api/v1/workflows/{published[-1]['id']}/publish")
        yield Drill(installation, far_end, published[1], published[0], secret, random.Random(SEED))


def test_given_a_kill_at_a_random_moment_of_each_round_then_each_record_and_each_effect_exists_once(
    drill: Drill,
) -> None:
    began = time.monotonic()
    for number in range(KILLS):
        if number % len(VICTIMS) == 0:  # all of them, then all of them again, each time in another order
            order = drill.rng.sample(VICTIMS, len(VICTIMS))
        drill.round(number, order[number % len(VICTIMS)])
    api = drill.installation.api
    runs = {
        run["id"]: api.get(f"/api/v1/runs/{run['id']}")
        for workflow in (drill.welcome, drill.call)
        for run in drill.installation.runs(workflow)
    }
    timelines = {run_id: api.pages(f"/api/v1/runs/{run_id}/timeline") for run_id in runs}
    tell(drill, timelines, time.monotonic() - began)

    assert {run["status"] for run in runs.values()} == {"completed"}
    one_event_and_one_run_for_each_message(drill, list(runs.values()))
    one_contact_for_each_address_and_one_task_for_each_contact(drill, list(runs.values()))
    one_effect_for_each_message(drill)
    assert "[redacted]" in json.dumps(list(runs.values())), "the far end said the token back"
    assert TOKEN not in json.dumps([runs, timelines])
    verified = drill.installation.manage("verify", "--quiesced")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def one_event_and_one_run_for_each_message(drill: Drill, runs: list[dict[str, Any]]) -> None:
    told: dict[str, set[str]] = {}
    for signup, event_id in drill.answers:
        told.setdefault(signup.id, set()).add(event_id)
    assert {message: len(ids) for message, ids in told.items()} == {signup.id: 1 for signup in drill.signups}
    events = [
        event
        for event in drill.installation.api.pages("/api/v1/events")
        if event["trigger_type"] == "webhook"
    ]
    assert sorted(event["id"] for event in events) == sorted(id for ids in told.values() for id in ids)
    assert {len(event["runs"]) for event in events} == {1}
    welcomed = [run["trigger"]["name"] for run in runs if run["workflow"] == drill.welcome["id"]]
    assert sorted(welcomed) == sorted(signup.name for signup in drill.signups)


def one_contact_for_each_address_and_one_task_for_each_contact(
    drill: Drill, runs: list[dict[str, Any]]
) -> None:
    api, people = drill.installation.api, drill.people
    contacts = api.pages("/api/v1/crm/contacts")
    assert sorted(contact["email"].lower() for contact in contacts) == sorted(people)
    called = [run["trigger"]["id"] for run in runs if run["workflow"] == drill.call["id"]]
    assert sorted(called) == sorted(contact["id"] for contact in contacts)
    titles = Counter(task["title"] for task in api.pages("/api/v1/crm/tasks"))
    assert {email: sum(titles[f"Call {name}"] for name in names) for email, names in people.items()} == dict.fromkeys(
        people, 1
    )  # fmt: skip
    assert titles.total() == len(people)


def one_effect_for_each_message(drill: Drill) -> None:
    paying = [f"Welcome, {signup.name}!" for signup in drill.signups if signup.plan == "pro"]
    assert drill.far_end.effects == Counter(paying)
    keys = {(request.text, request.key, request.contact) for request in drill.far_end.requests}
    assert len(keys) == len({key for _, key, _ in keys}) == len(paying)
    assert all(request.key and request.has_token for request in drill.far_end.requests)


def tell(drill: Drill, timelines: dict[str, list[dict[str, Any]]], seconds: float) -> None:
    """The figures; pytest shows them when the test fails, or with -s."""
    types = Counter(entry["type"] for timeline in timelines.values() for entry in timeline)
    doubled = sum(count - 1 for count in drill.far_end.effects.values())
    figures = {
        "seed": SEED,
        "kills": dict(drill.kills),
        "messages": len(drill.signups),
        "webhooks acknowledged": len(drill.answers),
        "webhooks sent again for want of an answer": drill.unanswered,
        "runs": len(timelines),
        "attempts lost": types["step.lost"],
        "attempts retried": types["step.retrying"],
        "requests": len(drill.far_end.requests),
        "answered": dict(Counter(request.outcome for request in drill.far_end.requests)),
        "effects": drill.far_end.effects.total(),
        "doubled effects": doubled,
        "seconds": round(seconds),
    }
    print("\n" + "\n".join(f"{name}: {figure}" for name, figure in figures.items()))  # noqa: T201  for whoever runs it with -s
