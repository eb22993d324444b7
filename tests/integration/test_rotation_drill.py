"""Secret and address are replaced under load, as people do it: nothing is lost, nothing is double.

Through a real gunicorn. Senders learn of a new secret or address whenever they happen to look, each for itself, and
every message is sent twice: the second time perhaps by the new address and with the new secret.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from lightfield.kernel import sql
from tests.factories import BY
from tests.integration.test_webhook_server import Web, web  # noqa: F401  a fixture
from tests.signing import SECRETS, a_signed_workflow, signed
from triggers import services, webhook_secrets
from triggers.models import OutboxEvent, Trigger
from workflows.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SENDERS, ROUNDS, PATIENCE_SECONDS = 6, 5, 60
GRACE_OVER = """
UPDATE triggers_trigger SET previous_token_until = clock_timestamp() WHERE previous_token_until IS NOT NULL
"""


@dataclass
class Settings:
    """What a sender has been told, and which it used last."""

    hook: str
    secret: str
    number: int = 0


@dataclass
class Drill:
    web: Web
    told: Settings
    is_over: bool = False
    used: list[int] = field(
        default_factory=lambda: [0] * SENDERS
    )  # of each sender, in its last answered request
    moved: threading.Condition = field(default_factory=threading.Condition)

    def send(self, sender: int) -> list[tuple[str, list[tuple[int, str]]]]:
        """Until it is over: what was sent, and the two answers."""
        answered: list[tuple[str, list[tuple[int, str]]]] = []
        for number in itertools.count():
            if self.is_over:
                return answered
            message = f"{sender}-{number}"
            answered.append((message, [self._post(message, sender) for _ in range(2)]))
        raise AssertionError

    def _post(self, message: str, sender: int) -> tuple[int, str]:
        told = self.told
        body = json.dumps({"message": message}).encode()
        answer = self.web.post(told.hook, body, **signed("standard", body, secret=told.secret, id=message))
        with self.moved:
            self.used[sender] = told.number
            self.moved.notify_all()
        return answer.status_code, answer.json().get("event_id", "")

    def tell(self, *, hook: str = "", secret: str = "") -> None:
        """Senders use it from now on; when all of them do, the old one may end."""
        told = Settings(hook or self.told.hook, secret or self.told.secret, self.told.number + 1)
        self.told = told
        with self.moved:
            assert self.moved.wait_for(lambda: min(self.used) >= told.number, PATIENCE_SECONDS)


def replace_secret(workflow: Workflow, drill: Drill) -> None:
    made = webhook_secrets.add(workflow_id=workflow.pk, by=BY)
    drill.tell(secret=made.secret)
    for old in webhook_secrets.live(workflow.trigger.pk, "standard")[1:]:
        webhook_secrets.end(workflow_id=workflow.pk, secret_id=old.pk, by=BY)


def replace_address(workflow: Workflow, drill: Drill) -> None:
    trigger = services.rotate_token(workflow_id=workflow.pk, by=BY, previous_valid_for_seconds=3600)
    drill.tell(hook=services.webhook_path(trigger))
    sql.rows(GRACE_OVER, {})


def test_given_secrets_and_addresses_replaced_under_load_then_every_message_is_one_event(web: Web) -> None:  # noqa: F811
    workflow = a_signed_workflow("standard")
    hook = services.webhook_path(Trigger.objects.get(workflow=workflow))
    drill = Drill(web, Settings(hook, SECRETS["standard"]))
    deeds: list[Callable[[Workflow, Drill], None]] = [replace_secret, replace_address]

    with ThreadPoolExecutor(SENDERS) as senders:
        sending = [senders.submit(drill.send, sender) for sender in range(SENDERS)]
        try:
            for deed in deeds * ROUNDS:
                deed(workflow, drill)
        finally:
            drill.is_over = True
        answered = [one for each in sending for one in each.result()]

    stored = {event.payload["message"]: str(event.pk) for event in OutboxEvent.objects.all()}
    assert len(answered) >= SENDERS * ROUNDS
    assert {tuple(status for status, _ in answers) for _, answers in answered} == {(202, 200)}
    assert {message: {event_id for _, event_id in answers} for message, answers in answered} == {
        message: {event_id} for message, event_id in stored.items()
    }
    assert OutboxEvent.objects.count() == len(answered)
