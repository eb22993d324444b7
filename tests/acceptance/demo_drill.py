"""The demo's workflows on an installation of their own, customers who pay, and processes that are killed meanwhile."""

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
import requests

from lightfield.local import demo_model, demo_workflows, signing
from lightfield.local.demo_workflows import Customer
from lightfield.local.scripted_model import ScriptedModel
from lightfield.local.scripted_shapes import Conversation
from tests.acceptance import far_end as far_ends
from tests.acceptance import installation as installations
from tests.acceptance.far_end import FarEnd
from tests.acceptance.installation import PATIENCE, Installation

OTHERS = ("web", "worker-fast", "worker-http", "beat", "postgres", "redis")
PEOPLE, SENDERS = 6, 24  # new people of a round; webhooks on their way at once
ARRIVAL_SECONDS, KILL_SECONDS = 1.0, 1.5  # of a round, within which a webhook comes and the kill falls
TIMEOUT_SECONDS = 2  # of a request, so that a far end that is silent holds up its run for that long only
SLOWEST_ANSWER = 0.4  # seconds, of the model
TOKEN = "drill_token_51c3f0"
ENDED = "SELECT count(*) FROM executions_run WHERE workflow_id = %s AND status IN ('completed', 'failed', 'cancelled')"


@dataclass(frozen=True)
class Payment:
    """One event of the sender's; `id` is the event's, and the customer's name is nobody else's."""

    id: str
    customer: Customer

    @property
    def body(self) -> bytes:
        return json.dumps(demo_workflows.checkout(self.customer, id=self.id)).encode()


@dataclass
class Drill:
    """The installation, the model, the far end, and the sender's books."""

    installation: Installation
    model: ScriptedModel
    far_end: FarEnd
    welcome: dict[str, Any]
    call: dict[str, Any]
    secret: str
    rng: random.Random
    payments: list[Payment] = field(default_factory=list)
    answers: list[tuple[Payment, str]] = field(default_factory=list)  # each with the event's id
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, bytes] = field(default_factory=dict)  # of each event, the same whenever it is sent

    @property
    def people(self) -> dict[str, set[str]]:
        """Of each address the first names under which it paid."""
        found: dict[str, set[str]] = {}
        for payment in self.payments:
            customer = payment.customer
            found.setdefault(customer.email.lower(), set()).add(customer.name.partition(" ")[0])
        return found

    def victims(self, kills: int) -> list[str]:
        """Every other time the worker of the agents; in between all the others, then all of them again, in another order."""
        others: list[str] = []
        while len(others) < kills:
            others += self.rng.sample(OTHERS, len(OTHERS))
        return [others[n // 2] if n % 2 else "worker-ai" for n in range(kills)]

    def draw(self, number: int) -> list[Payment]:
        """The payments of a round: of new people, a few of whom pay twice, and some of whom pay nothing."""
        made = []
        for person in range(PEOPLE):
            who = f"{number}-{person}"
            for again in range(self.rng.choice((1, 1, 1, 2))):
                email = f"P{who}@example.com" if again else f"p{who}@example.com"
                plan = self.rng.choice(("pro", "pro", "pro", "free"))
                site = f"https://p{who}.example"
                customer = Customer(
                    email,
                    f"P{who}-{again} Person",
                    f"Company {who}",
                    site,
                    plan,
                    9900 if plan == "pro" else 0,
                )
                made.append(Payment(f"evt_{who}_{again}", customer))
        return made

    def send(self, payment: Payment, after_seconds: float) -> None:
        """Until it is acknowledged, as senders do."""
        time.sleep(after_seconds)
        address, give_up = self.welcome["webhook_url"], time.monotonic() + PATIENCE
        url = address if address.startswith("http") else self.installation.api.base + address
        body = self.bodies.setdefault(payment.id, payment.body)
        while True:
            signed = signing.signed(body, secret=self.secret)
            headers = {"Content-Type": "application/json"}
            headers |= {name.replace("_", "-"): value for name, value in signed.items()}
            with contextlib.suppress(requests.RequestException):
                answer = requests.post(url, data=body, headers=headers, timeout=5)
                if answer.status_code in (200, 202):
                    self.answers.append((payment, answer.json()["event_id"]))
                    return
                assert answer.status_code >= 500, f"{payment.id} was answered {answer.text}"
            self.unanswered += 1
            assert time.monotonic() < give_up, f"{payment.id} was never acknowledged"
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
            return welcomes >= len(self.payments) and calls >= len(self.people)
        return False

    def round(self, number: int, victim: str) -> None:
        """Payments come in, and meanwhile one process dies: a worker of agents while a model thinks."""
        payments = self.draw(number)
        self.payments += payments
        sendings = payments + self.rng.sample(payments, len(payments) // 3)
        moments = [self.rng.uniform(0, ARRIVAL_SECONDS) for _ in sendings]
        killed_after = self.rng.uniform(0, KILL_SECONDS)
        with ThreadPoolExecutor(SENDERS) as pool:
            sending = [pool.submit(self.send, *one) for one in zip(sendings, moments, strict=True)]
            if victim == "worker-ai":
                asked = len(self.model.asked) + self.rng.randrange(1, 3 * len(payments))
                self.installation.wait_for("questions", lambda: len(self.model.asked) >= asked)
                killed_after = self.rng.uniform(0, SLOWEST_ANSWER)
            self.kill(victim, killed_after)
            for one in sending:
                one.result()
        self.installation.wait_for(f"the runs of round {number}, {victim} killed", self.is_over)


class Moods:
    """The demo's script, in the moods that the seed says: each answer takes its time, and the first request for one may go wrong."""

    TROUBLES = (
        {"status": 503},
        {"status": 529},
        {"cut": 40},
        {"status": 429, "headers": {"retry-after": "1"}},
    )

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, conversation: Conversation) -> dict[str, Any]:
        script = demo_model.SCRIPT
        drawn = random.Random(f"{self.seed}:{conversation.texts[0]}:{conversation.turn}")
        said = {
            **script[min(conversation.turn, len(script)) - 1],
            "after_seconds": drawn.uniform(0, SLOWEST_ANSWER),
        }
        if drawn.random() > 0.05:
            return said
        return {**said, "first": [{**said, **drawn.choice(self.TROUBLES)}]}


@contextlib.contextmanager
def running(home: Path, seed: int) -> Iterator[Drill]:
    """The demo's workflows on an installation of their own, published."""
    model = ScriptedModel({"*": Moods(seed)})
    model.start()
    with contextlib.ExitStack() as held:
        held.callback(model.stop)
        far_end, server = held.enter_context(far_ends.running(TOKEN, seed))
        installation = held.enter_context(
            installations.running(
                home,
                LIGHTFIELD_EGRESS_ALLOW=f"{server.endpoint},{model.endpoint}",
                LIGHTFIELD_AI_MODEL=demo_model.NAME,
                LIGHTFIELD_AI_BASE_URL=f"{model.url}/v1",
            )
        )
        api, secret = installation.api, signing.new_secret()
        api.post(
            "/api/v1/credentials", {"name": demo_workflows.SECRET, "value": TOKEN, "hosts": [server.endpoint]}
        )
        welcome = demo_workflows.welcome_a_customer(server.url, secret)
        welcome["steps"][-1]["config"]["timeout_seconds"] = TIMEOUT_SECONDS
        published = []
        for definition in (demo_workflows.call_a_new_contact(), welcome):
            published.append(api.post("/api/v1/workflows", definition))
            api.post(f"/api/v1/workflows/{published[-1]['id']}/publish")
        yield Drill(installation, model, far_end, published[1], published[0], secret, random.Random(seed))
