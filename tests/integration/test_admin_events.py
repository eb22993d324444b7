"""Events in the admin, and running a workflow by hand, which makes one."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from executions.models import Run
from lightfield.access.models import AuditEntry
from lightfield.kernel import bells
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.dom import dom_of, words_of
from tests.factories import WEBHOOK, a_published_workflow, a_workflow, an_event
from triggers.models import OutboxEvent
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/triggers/outboxevent/"


def page_of(event: OutboxEvent, deed: str = "change") -> str:
    return f"{LIST}{event.pk}/{deed}/"


def a_poisoned_event(workflow: Workflow) -> OutboxEvent:
    columns: dict[str, Any] = {
        "status": "poison",
        "error_code": "engine.dispatch_failed",
        "tries": 3,
        "decided_at": timezone.now(),
    }
    return an_event(workflow, **columns)


def run_page(workflow: Workflow) -> str:
    return f"/admin/workflows/workflow/{workflow.pk}/run/"


def key_of(answer: Any) -> str:
    return dom_of(answer).one("input", name="key").attributes["value"]


@pytest.fixture
def ada() -> Client:
    return a_person()


def test_an_event_shows_what_came_in_and_what_became_of_it(ada: Client, bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(), payload={"email": "a@b.c"}, idempotency_key="k-1")
    waiting = dom_of(ada.get(page_of(event)))
    assert "This page shows the run as soon as there is one." in waiting.text
    assert waiting.all("span", data_live="2000")

    bells.ring_dispatch(event.shard)
    bellboy.answer_all()

    page = dom_of(ada.get(page_of(event)))
    run = Run.objects.get()
    assert [link.attributes["href"] for link in page.all("a", class_="lf-row")] == [
        f"/admin/executions/run/{run.pk}/change/"
    ]
    assert '"email": "a@b.c"' in page.one("pre").text
    assert "k-1" in page.text
    assert page.all("span", data_live="2000") == []


def test_a_poisoned_event_is_dispatched_again_by_a_person_and_that_is_audited(
    ada: Client, bellboy: Bellboy
) -> None:
    event = a_poisoned_event(a_published_workflow())
    page = dom_of(ada.get(page_of(event)))
    assert "The event could not be turned into a run three times." in page.text

    ada.post(page_of(event, "dispatch-again"))
    bellboy.answer_all()

    event.refresh_from_db()
    assert (event.status, event.tries) == ("dispatched", 0)
    assert Run.objects.get().status == "completed"
    entry = AuditEntry.objects.get(action="event.dispatched_again")
    assert (entry.actor, entry.subject) == ("ada", str(event.pk))


def test_only_poison_is_dispatched_again(ada: Client) -> None:
    event = an_event(a_published_workflow())

    answer = ada.post(page_of(event, "dispatch-again"), follow=True)

    assert "Nothing was done: the event is no longer poison." in dom_of(answer).text
    assert not AuditEntry.objects.filter(action="event.dispatched_again").exists()
    assert "Dispatch again" not in dom_of(ada.get(page_of(event))).text


def test_events_are_found_and_filtered(ada: Client) -> None:
    one, other = a_published_workflow(), a_published_workflow()
    first = an_event(one, idempotency_key="order-7")
    poisoned = a_poisoned_event(other)

    def found(**filters: Any) -> list[str]:
        rows = dom_of(ada.get(LIST, filters)).all("tr", class_="data-row")
        return [words_of(row.children("th")[0]) for row in rows]

    short = [str(event.pk)[-8:] for event in (first, poisoned)]
    assert found() == short[::-1]
    assert found(q="order-7") == found(q=str(first.pk)) == found(q=str(first.pk)[:20]) == short[:1]
    assert found(status="poison") == found(workflow=other.pk) == short[1:]
    assert found(q="order-8") == []
    assert ada.get(LIST, {"status": "x"}).status_code == 400


def test_an_unknown_event_is_not_found(ada: Client) -> None:
    assert ada.get(f"{LIST}0199c0de-0000-7000-8000-000000000000/change/").status_code == 404


# --- run by hand ----------------------------------------------------------------------------------


def test_the_form_begins_with_the_published_sample(ada: Client) -> None:
    trigger = {"type": "webhook", "config": {**WEBHOOK["config"], "sample": {"email": "ada@example.com"}}}  # type: ignore[dict-item]
    workflow = a_published_workflow(trigger=trigger)
    services.update_draft(workflow_id=workflow.pk, changes={"trigger": None}, by="bob")

    payload = dom_of(ada.get(run_page(workflow))).one("textarea", name="payload").text

    assert '"email": "ada@example.com"' in payload


def test_given_the_form_is_sent_twice_when_it_is_the_same_then_one_run_starts(ada: Client) -> None:
    # Given
    workflow = a_published_workflow()
    form = {"payload": '{"n": 1}', "key": key_of(ada.get(run_page(workflow)))}

    # When
    first, second = (ada.post(run_page(workflow), form, follow=True) for _ in range(2))

    # Then
    event = OutboxEvent.objects.get()
    assert (event.source, event.payload, event.idempotency_key) == ("manual", {"n": 1}, form["key"])
    assert first.redirect_chain == second.redirect_chain == [(page_of(event), 302)]
    assert "Started." in dom_of(first).text
    assert "nothing was started twice" in dom_of(second).text
    assert AuditEntry.objects.filter(action="workflow.run_by_hand", actor="ada").count() == 1


def test_two_forms_start_two_runs(ada: Client) -> None:
    workflow = a_published_workflow()
    keys = {key_of(ada.get(run_page(workflow))) for _ in range(2)}

    for key in keys:
        ada.post(run_page(workflow), {"payload": "{}", "key": key})

    assert OutboxEvent.objects.count() == len(keys) == 2


def test_another_payload_under_a_used_key_has_to_be_meant(ada: Client) -> None:
    workflow = a_published_workflow()
    key = key_of(ada.get(run_page(workflow)))
    ada.post(run_page(workflow), {"payload": '{"n": 1}', "key": key})

    answer = ada.post(run_page(workflow), {"payload": '{"n": 2}', "key": key})

    assert OutboxEvent.objects.count() == 1
    page = dom_of(answer)
    assert "Send it again to start another run." in page.text
    assert '"n": 2' in page.one("textarea", name="payload").text
    ada.post(run_page(workflow), {"payload": '{"n": 2}', "key": key_of(answer)})
    assert OutboxEvent.objects.count() == 2


def test_a_payload_that_cannot_be_read_is_shown_with_its_line(ada: Client) -> None:
    workflow = a_published_workflow()

    answer = ada.post(run_page(workflow), {"payload": '{\n"n": Ada}', "key": "k"})

    assert words_of(dom_of(answer).one("ul", class_="lf-problems")).startswith(
        "Line 2 A value is expected here."
    )
    assert not OutboxEvent.objects.exists()


def test_no_payload_at_all_is_an_empty_object(ada: Client) -> None:
    ada.post(run_page(a_published_workflow()), {"payload": " ", "key": "k"})

    assert OutboxEvent.objects.get().payload == {}


def test_a_paused_workflow_can_be_run_and_an_unpublished_one_cannot(ada: Client) -> None:
    paused, draft = a_published_workflow(), a_workflow()
    services.pause(workflow_id=paused.pk, by="bob")

    ada.post(run_page(paused), {"payload": "{}", "key": "k"})
    answer = ada.post(run_page(draft), {"payload": "{}", "key": "k"})

    assert OutboxEvent.objects.get().workflow == paused
    assert "workflow.not_published" in dom_of(answer).text


def test_who_may_run_but_not_read_events_comes_back_to_the_workflow() -> None:
    workflow = a_published_workflow()
    olga = a_person("workflows.run_workflow", "workflows.view_workflow", name="olga")

    answer = olga.post(run_page(workflow), {"payload": "{}", "key": "k"}, follow=True)

    assert answer.redirect_chain[-1][0] == f"/admin/workflows/workflow/{workflow.pk}/change/"
    assert OutboxEvent.objects.count() == 1
