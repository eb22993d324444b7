"""Send again: as an event nothing starts twice, as a test the draft runs. And samples, which come from the same rows."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from executions.models import Run
from executions.verifying import running
from lightfield.access.models import AuditEntry
from lightfield.kernel import sql
from lightfield.urls import HookShortcut
from tests.admin_client import a_person
from tests.api_client import ApiCaller, code_of
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.staging import say
from triggers import services as triggers
from triggers.deliveries import desk, pruning, samples, sending
from triggers.deliveries.models import Delivery, DeliveryVerdict
from triggers.deliveries.sending import As
from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)

answered = HookShortcut(lambda _: HttpResponse(status=599))  # nothing goes on to Django


def deliver(workflow: Workflow, body: Any, **headers: str) -> Delivery:
    """The delivery of an accepted webhook."""
    path = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    answer: Any = answered(
        RequestFactory().generic("POST", path, json.dumps(body).encode(), "application/json", headers=headers)
    )
    assert answer.status_code == 202, answer.content
    return Delivery.objects.get(event_id=json.loads(answer.content)["event_id"])


def sound() -> bool:
    return [finding.invariant.name for finding in running.verify() if finding.broken] == []


@pytest.fixture
def workflow() -> Workflow:
    return a_published_workflow()


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k" * 255}])
def test_sent_again_as_an_event_it_is_the_first_one_however_often(workflow, bellboy, headers):
    delivery = deliver(workflow, {"n": 1}, **headers)
    bellboy.answer_all()

    for _ in range(3):
        sent = sending.send_again(delivery_id=delivery.pk, as_=As.EVENT, by=BY)
        assert (sent.event_id, sent.is_duplicate) == (delivery.event_id, True)
    bellboy.answer_all()

    assert OutboxEvent.objects.count() == Run.objects.count() == Delivery.objects.count() == 1
    entry = AuditEntry.objects.filter(action="delivery.sent_again").latest("pk")
    assert (entry.actor, entry.subject) == (BY, str(workflow.pk))
    assert entry.metadata == {"delivery_id": str(delivery.pk), "event_id": str(delivery.event_id)}


def test_given_many_send_again_at_once_then_there_is_one_run(workflow, bellboy):
    delivery = deliver(workflow, {"n": 1})

    def again() -> bool:
        return sending.send_again(delivery_id=delivery.pk, as_=As.EVENT, by=BY).is_duplicate

    assert race(*[again] * 8) == [True] * 8
    bellboy.answer_all()
    assert OutboxEvent.objects.count() == Run.objects.count() == 1


def test_given_a_bell_that_was_lost_then_to_send_again_rings(workflow, bellboy):
    delivery = deliver(workflow, {"n": 1})
    bellboy.lose_all()

    sending.send_again(delivery_id=delivery.pk, as_=As.EVENT, by=BY)
    bellboy.answer_all()

    assert Run.objects.count() == 1


def test_what_was_delivered_starts_nothing_again_after_pruning_whoever_sends_it(workflow, bellboy, settings):
    settings.LIGHTFIELD_INBOX_MOST = 40
    sent = [
        ({"n": n}, {"Idempotency-Key": f"k-{n}"} if n % 2 else {}) for n in range(60)
    ]  # half without a key
    for body, headers in sent:
        deliver(workflow, body, **headers)
    bellboy.answer_all()
    assert pruning.prune(seconds=5) == 20
    kept = list(Delivery.objects.values_list("pk", flat=True))
    random.Random(1).shuffle(kept)

    for delivery_id in kept:
        sending.send_again(delivery_id=delivery_id, as_=As.EVENT, by=BY)
    path = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    for body, headers in random.Random(2).sample(sent, len(sent)):
        if headers:  # also those that were pruned
            answer = Client().post(path, body, content_type="application/json", headers=headers)
            assert answer.status_code == 200
    bellboy.answer_all()

    assert Run.objects.count() == OutboxEvent.objects.count() == 60
    assert sound()


# Tests.


def edited(workflow: Workflow, words: str) -> None:
    services.update_draft(workflow_id=workflow.pk, changes={"steps": [say("told", words)]}, by=BY)


def test_sent_again_as_a_test_the_draft_runs_and_the_published_version_stays(
    workflow: Workflow, bellboy: Bellboy
) -> None:
    delivery = deliver(workflow, {"n": 7}, **{"Idempotency-Key": "k"})
    edited(workflow, "draft {{ trigger.n }}")

    sent = sending.send_again(delivery_id=delivery.pk, as_=As.TEST, by=BY)
    bellboy.answer_all()

    run = Run.objects.get(event_id=sent.event_id)
    assert (run.status, run.version.is_test, run.version.number) == ("completed", True, 2)
    assert run.steps.get().output == {"message": "draft 7"}
    assert sent.delivery_id is not None
    test = Delivery.objects.get(pk=sent.delivery_id)
    assert (test.is_test, test.again_of, test.event_id) == (True, delivery.pk, sent.event_id)
    event = OutboxEvent.objects.get(pk=sent.event_id)
    assert (event.source, event.idempotency_key, event.payload) == ("test", None, {"n": 7})
    workflow.refresh_from_db()
    assert workflow.active_version is not None
    assert (workflow.status, workflow.active_version.number) == ("active", 1)
    assert AuditEntry.objects.filter(action="delivery.tested", subject=str(workflow.pk)).count() == 1
    assert sound()


def test_a_draft_is_frozen_once_and_published_as_a_version_of_its_own(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    edited(workflow, "one")
    for _ in range(2):
        sending.send_again(delivery_id=delivery.pk, as_=As.TEST, by=BY)
    edited(workflow, "two")
    sending.send_again(delivery_id=delivery.pk, as_=As.TEST, by=BY)

    version, is_new = services.publish(workflow_id=workflow.pk, by=BY)

    assert (version.number, version.is_test, is_new) == (2, False, True)
    assert list(WorkflowVersion.objects.order_by("pk").values_list("number", "is_test")) == [
        (1, False),
        (2, True),
        (2, True),
        (2, False),
    ]
    listed = ApiCaller().get(f"/workflows/{workflow.pk}/versions").json()["results"]
    assert [one["version"] for one in listed] == [2, 1]
    assert sound()


def test_a_draft_that_cannot_be_published_cannot_be_tested(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    services.update_draft(workflow_id=workflow.pk, changes={"steps": []}, by=BY)

    answer = ApiCaller().post(f"/deliveries/{delivery.pk}/send-again", {"as": "test"})

    assert code_of(answer) == (422, "config.invalid_definition")
    assert OutboxEvent.objects.count() == 1


def test_while_a_test_is_frozen_a_publish_waits_and_gets_its_own_number(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    edited(workflow, "raced")

    def test() -> Any:
        return sending.send_again(delivery_id=delivery.pk, as_=As.TEST, by=BY)

    results = race(test, lambda: services.publish(workflow_id=workflow.pk, by=BY), test)

    assert not [result for result in results if isinstance(result, Exception)], results
    assert WorkflowVersion.objects.filter(is_test=False).count() == 2
    assert sound()


def test_tests_are_told_apart_in_the_api(workflow: Workflow, bellboy: Bellboy) -> None:
    delivery = deliver(workflow, {"n": 1})
    caller = ApiCaller("builder")
    answer = caller.post(f"/deliveries/{delivery.pk}/send-again", {"as": "test"}, idempotency_key="once")
    again = caller.post(f"/deliveries/{delivery.pk}/send-again", {"as": "test"}, idempotency_key="once")
    bellboy.answer_all()

    assert (answer.status_code, again.json()) == (202, answer.json())
    runs = {run["event_id"]: run["test"] for run in caller.get("/runs").json()["results"]}
    assert runs == {str(delivery.event_id): False, answer.json()["event_id"]: True}
    listed = caller.get("/deliveries").json()["results"]
    assert [(row["test"], row["again_of"]) for row in listed] == [(True, str(delivery.pk)), (False, None)]
    assert [row["id"] for row in caller.get("/deliveries?test=true").json()["results"]] == [listed[0]["id"]]


# What cannot be sent, and who may.


def test_what_was_refused_has_no_payload(workflow: Workflow, inbox: Any) -> None:
    first = deliver(workflow, {"n": 1}, **{"Idempotency-Key": "k"})
    path = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    Client().post(path, {"n": 2}, content_type="application/json", headers={"Idempotency-Key": "k"})
    Client().post(path, b"{", content_type="application/json")
    inbox.flush()

    caller = ApiCaller()
    for delivery in Delivery.objects.exclude(pk=first.pk):
        for as_ in ("event", "test"):
            answer = caller.post(f"/deliveries/{delivery.pk}/send-again", {"as": as_})
            assert code_of(answer) == (409, "delivery.no_payload")
    assert code_of(caller.post(f"/deliveries/{uuid4()}/send-again", {"as": "event"}))[0] == 404
    assert code_of(caller.post(f"/deliveries/{first.pk}/send-again", {"as": "run"})) == (
        400,
        "request.invalid",
    )


def test_an_event_that_is_gone_has_no_payload(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    sql.rows("DELETE FROM triggers_outboxevent", {})

    answer = ApiCaller().post(f"/deliveries/{delivery.pk}/send-again", {"as": "event"})

    assert code_of(answer) == (409, "delivery.no_payload")
    assert not OutboxEvent.objects.exists()


@pytest.mark.parametrize(
    ("scope", "event", "test"), [("viewer", 403, 403), ("operator", 200, 403), ("builder", 200, 202)]
)
def test_who_may_send_again(workflow: Workflow, scope: str, event: int, test: int) -> None:
    delivery = deliver(workflow, {"n": 1})
    caller = ApiCaller(scope)

    statuses = [
        caller.post(f"/deliveries/{delivery.pk}/send-again", {"as": as_}).status_code
        for as_ in ("event", "test")
    ]

    assert statuses == [event, test]


@pytest.mark.parametrize(("scope", "seen"), [("viewer", False), ("operator", False), ("builder", True)])
def test_which_check_failed_is_for_those_who_may_change_the_trigger(
    workflow: Workflow, inbox: Any, scope: str, seen: bool
) -> None:
    from triggers.deliveries.arrivals import Arrival

    trigger = Trigger.objects.get(workflow=workflow)
    arrival = Arrival(trigger.token_hash, "192.0.2.1", {}, "", 2)
    desk.note(arrival, DeliveryVerdict.BAD_SIGNATURE, detail={"check": "no_secret"})
    inbox.flush()

    caller = ApiCaller(scope)
    shown = caller.get(f"/deliveries/{arrival.id}")
    pages = [shown, caller.get("/deliveries"), caller.get(f"/workflows/{workflow.pk}/decisions")]

    assert shown.json()["detail"] == ({"check": "no_secret"} if seen else None)
    assert any("no_secret" in page.content.decode() for page in pages) == seen


# Samples.


def test_the_last_ten_payloads_become_samples(workflow: Workflow) -> None:
    caller = ApiCaller("builder")
    path = f"/workflows/{workflow.pk}/samples"
    assert caller.get(path).json() == {
        "taken_at": None, "taken_by": None, "left_out": 0, "samples": [], "paths": [],
    }  # fmt: skip
    for n in range(12):
        deliver(workflow, {"n": n, "who": {"e mail": "a@b.c"}, "items": [{"sku": 1}]})
    Delivery.objects.latest("pk")

    taken = caller.post(path, {"from": "deliveries"}).json()

    assert [sample["payload"]["n"] for sample in taken["samples"]] == list(range(11, 1, -1))
    assert taken == caller.get(path).json()
    assert {(one["path"], tuple(one["types"]), one["samples"]) for one in taken["paths"]} == {
        ("trigger", ("object",), 10),
        ("trigger.n", ("number",), 10),
        ("trigger.who", ("object",), 10),
        ('trigger.who["e mail"]', ("text",), 10),
        ("trigger.items", ("list",), 10),
        ("trigger.items[0]", ("object",), 10),
        ("trigger.items[0].sku", ("number",), 10),
    }
    assert AuditEntry.objects.get(action="samples.taken").metadata == {"count": 10}
    assert caller.delete(path).status_code == 204
    assert caller.get(path).json()["samples"] == []


def test_samples_are_bounded(workflow: Workflow) -> None:
    for size in (70_000, 60_000, 60_000, 60_000, 60_000, 60_000, 10):
        deliver(workflow, {"text": "x" * size})

    taken = samples.take(workflow_id=workflow.pk, by=BY)

    assert [len(one["payload"]["text"]) for one in taken.payloads] == [10, 60_000, 60_000, 60_000, 60_000]
    assert taken.left_out == 2


def test_tests_and_refused_ones_are_no_samples(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    sending.send_again(delivery_id=delivery.pk, as_=As.TEST, by=BY)

    assert len(samples.take(workflow_id=workflow.pk, by=BY).payloads) == 1


def test_run_by_hand_offers_the_newest_sample(workflow: Workflow) -> None:
    deliver(workflow, {"email": "real@sender.example"})
    samples.take(workflow_id=workflow.pk, by=BY)

    page = a_person().get(f"/admin/workflows/workflow/{workflow.pk}/run/")

    assert "real@sender.example" in page.content.decode()
