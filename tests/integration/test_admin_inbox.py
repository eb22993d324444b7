"""The inbox in the admin: from a run to the delivery that started it and back, sending it again, and who sees what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from executions.models import Run
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.dom import dom_of
from tests.factories import BY, a_published_workflow
from tests.staging import say
from triggers import services as triggers
from triggers.deliveries import desk
from triggers.deliveries.arrivals import Arrival
from triggers.deliveries.models import Delivery, DeliveryVerdict, Samples
from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

INBOX = "/admin/triggers/delivery/"
VIEWER = (
    "triggers.view_delivery",
    "triggers.view_outboxevent",
    "executions.view_run",
    "workflows.view_workflow",
)


@pytest.fixture
def workflow() -> Workflow:
    return a_published_workflow()


def deliver(workflow: Workflow, body: Any, **headers: str) -> Delivery:
    path = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    answer = Client().generic("POST", path, json.dumps(body).encode(), "application/json", headers=headers)
    return Delivery.objects.get(event_id=answer.json()["event_id"])


def links_of(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return [link.attributes.get("href", "") for link in dom_of(answer).all("a")]


def shown(answer: Any) -> str:
    return " ".join(dom_of(answer).text.split())


def page_of(delivery: Delivery) -> str:
    return f"{INBOX}{delivery.pk}/change/"


def test_every_page_on_the_way_of_a_delivery_leads_to_it_and_back(
    workflow: Workflow, bellboy: Bellboy
) -> None:
    delivery = deliver(workflow, {"n": 1})
    bellboy.answer_all()
    ada, run = a_person(), Run.objects.get()
    here = page_of(delivery)
    event, run_page = (
        f"/admin/triggers/outboxevent/{delivery.event_id}/change/",
        f"/admin/executions/run/{run.pk}/change/",
    )

    for path in (event, run_page, INBOX, f"/admin/workflows/workflow/{workflow.pk}/decisions/"):
        assert here in links_of(ada.get(path)), path
    assert {event, run_page} <= set(links_of(ada.get(here)))
    inbox = f"{INBOX}?workflow={workflow.pk}"
    trigger = Trigger.objects.get().pk
    for path in (
        f"/admin/workflows/workflow/{workflow.pk}/change/",
        f"/admin/triggers/trigger/{trigger}/change/",
    ):
        assert inbox in links_of(ada.get(path)), path
    assert any(link.startswith(here) for link in links_of(ada.get(inbox)))


def test_the_button_sends_again_and_nothing_starts_twice(workflow: Workflow, bellboy: Bellboy) -> None:
    delivery = deliver(workflow, {"n": 1})
    ada = a_person()

    answer = ada.post(f"{INBOX}{delivery.pk}/send-again/event/", follow=True)
    bellboy.answer_all()

    assert "nothing started twice" in shown(answer)
    assert Run.objects.count() == 1


def test_the_button_tests_the_draft_and_shows_the_test(workflow: Workflow, bellboy: Bellboy) -> None:
    delivery = deliver(workflow, {"n": 1})
    services.update_draft(workflow_id=workflow.pk, changes={"steps": [say("new", "of the draft")]}, by=BY)
    ada = a_person()

    answer = ada.post(f"{INBOX}{delivery.pk}/send-again/test/", follow=True)
    bellboy.answer_all()

    test = Delivery.objects.get(is_test=True)
    assert answer.redirect_chain == [(page_of(test), 302)]
    assert page_of(delivery) in links_of(answer)
    run = Run.objects.get(version__is_test=True)
    assert "A test of the draft as it was then." in shown(ada.get(f"/admin/executions/run/{run.pk}/change/"))
    assert "(test)" in shown(ada.get("/admin/executions/run/"))
    version = shown(ada.get(f"/admin/workflows/workflowversion/{run.version_id}/change/"))
    assert "Test of a draft" in version


def test_a_draft_with_problems_is_not_tested_and_the_page_says_why(workflow: Workflow) -> None:
    delivery = deliver(workflow, {"n": 1})
    services.update_draft(workflow_id=workflow.pk, changes={"steps": []}, by=BY)

    answer = a_person().post(f"{INBOX}{delivery.pk}/send-again/test/", follow=True)

    assert "Not sent:" in shown(answer)
    assert OutboxEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("rights", "event", "test"),
    [
        ((), 403, 403),
        (("workflows.run_workflow",), 302, 403),
        (("workflows.change_workflow",), 403, 403),
        (("workflows.run_workflow", "workflows.change_workflow"), 302, 302),
    ],
)
def test_who_may_send_again(workflow: Workflow, rights: tuple[str, ...], event: int, test: int) -> None:
    delivery = deliver(workflow, {"n": 1})
    vera = a_person(*VIEWER, *rights)

    offered = shown(vera.get(page_of(delivery)))
    statuses = [vera.post(f"{INBOX}{delivery.pk}/send-again/{as_}/").status_code for as_ in ("event", "test")]

    assert statuses == [event, test]
    assert ("Send again" in offered, "Test the draft" in offered) == (event == 302, test == 302)
    assert vera.post(f"{INBOX}{delivery.pk}/send-again/other/").status_code == 404


def test_which_check_failed_is_for_those_who_may_change_the_trigger(workflow: Workflow, inbox: Any) -> None:
    arrival = Arrival(Trigger.objects.get().token_hash, "192.0.2.1", {}, "", 2)
    desk.note(arrival, DeliveryVerdict.BAD_SIGNATURE, detail={"check": "no_matching_signature"})
    inbox.flush()
    path = page_of(Delivery.objects.get())

    told = shown(a_person(*VIEWER, "triggers.change_trigger").get(path))
    assert "no_matching_signature" in told
    assert "No signature fits a live secret" in told
    hidden = shown(a_person(*VIEWER, name="vera").get(path))
    assert "no_matching_signature" not in hidden
    assert "fits a live secret" not in hidden
    assert "shown to those who may change the trigger" in hidden


def test_the_inbox_can_be_narrowed_and_counts_what_came_to_nobody(workflow: Workflow, inbox: Any) -> None:
    delivery = deliver(workflow, {"n": 1}, **{"Idempotency-Key": "order-7"})
    desk.note_throttled(Trigger.objects.get().token_hash, "192.0.2.1")
    desk.note_throttled(Trigger.objects.get().token_hash, "192.0.2.1")
    desk.note_throttled("0" * 64, "192.0.2.1")  # nobody has this address
    inbox.flush()
    counted = Delivery.objects.get(verdict="throttled")
    ada = a_person()

    everything = ada.get(INBOX)
    assert "1 request on" in shown(everything)
    assert "Throttled ×2" in shown(everything)
    assert "The last came" in shown(ada.get(page_of(counted)))
    for query, wanted in {
        "verdict=throttled": [counted],
        "verdict=accepted": [delivery],
        "since=1h": [delivery, counted],
        "q=order-7": [delivery],
        f"q={delivery.pk}": [delivery],
        "q=webhook.throttled": [counted],
        "verdict=none-such": [],
    }.items():
        found = {
            link
            for link in links_of(ada.get(f"{INBOX}?{query}"))
            if link.endswith("/change/") or "/change/?" in link
        }
        pks = {one.pk for one in (delivery, counted) if any(str(one.pk) in link for link in found)}
        assert pks == {one.pk for one in wanted}, query


def test_the_last_deliveries_become_samples_by_a_button(workflow: Workflow) -> None:
    for n in range(3):
        deliver(workflow, {"customer": {"email": f"{n}@b.c"}})
    ada, page = a_person(), f"/admin/workflows/workflow/{workflow.pk}"
    assert "Use the last ten deliveries as samples" in shown(ada.get(f"{page}/change/"))

    answer = ada.post(f"{page}/samples/take/", follow=True)

    assert "3 real payloads are samples now." in shown(answer)
    assert "trigger.customer.email" in shown(answer)
    ada.post(f"{page}/samples/throw/")
    assert not Samples.objects.exists()
