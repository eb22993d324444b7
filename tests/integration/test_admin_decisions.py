"""The page "Why did it (not) fire?": a sentence for each decision, counts, one verdict alone, pages."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightfield.builder import decision_page
from lightfield.kernel import bells
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.dom import dom_of
from tests.factories import a_published_workflow, an_event
from triggers.decisions import Verdict
from triggers.models import Decision, DecisionCount, EventStatus, OutboxEvent, Trigger
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada() -> Client:
    return a_person()


def page_of(workflow: Workflow, query: str = "") -> str:
    return f"/admin/workflows/workflow/{workflow.pk}/decisions/{query}"


def a_decision(workflow: Workflow, verdict: Verdict, **columns: Any) -> Decision:
    trigger = Trigger.objects.get(workflow=workflow)
    return Decision.objects.create(trigger=trigger, at=timezone.now(), verdict=verdict, **columns)


def sentences(answer: Any) -> list[str]:
    return [found.text.strip() for found in dom_of(answer).all("p", class_="lf-timeline-text")]


SENTENCES = [
    (
        Verdict.UNCHANGED,
        {"subject": "contact 7", "detail": {"changed": ["name"], "watched": ["stage", "amount"]}},
        "Contact 7 changed in name, but none of the watched fields stage, amount did.",
    ),
    (Verdict.UNCHANGED, {"subject": "contact 7"}, "Contact 7 changed, but none of the watched fields did."),
    (
        Verdict.UNCHANGED,
        {"subject": "note 1", "detail": {"changed": list("abcdefgh"), "watched": ["z"]}},
        "Note 1 changed in a, b, c, d, e, f and 2 more, but none of the watched fields z did.",
    ),
    (
        Verdict.UNCHANGED,
        {"subject": "3 × contact", "detail": {"watched": ["stage"]}, "count": 3},
        "3 × contact changed, but none of the watched fields stage did.",
    ),
    (
        Verdict.DUPLICATE,
        {"subject": "key k-1", "detail": {"source": "webhook"}},
        "A webhook came again under key k-1. It was answered with the first event; nothing started twice.",
    ),
    (
        Verdict.KEY_REUSED,
        {"subject": "key k-1", "detail": {"source": "manual"}},
        "A run by hand came with another body under key k-1, which had been used before, and was refused. "
        "idempotency.body_mismatch",
    ),
    (
        Verdict.PAUSED,
        {"detail": {"source": "webhook"}, "count": 1200},
        "A webhook came while the workflow was paused. This happened 1,200 times.",
    ),
    (Verdict.MISSED, {"count": 1}, "One instant of the schedule passed unkept and was let go."),
    (Verdict.MISSED, {"count": 299}, "299 instants of the schedule passed unkept and were let go."),
    (
        Verdict.CLOCK_MOVED,
        {"subject": "time zone data", "detail": {"zone_data": "2026g"}},
        "The time zone data 2026g say another next instant than those before.",
    ),
    (
        Verdict.OWN_CHANGE,
        {"subject": "task 3"},
        "Task 3 was this workflow's own change, which does not start it again. trigger.own_change",
    ),
    (Verdict.NOT_PUBLISHED, {}, "Something came before the workflow was published. workflow.not_published"),
]


@pytest.mark.parametrize(("verdict", "columns", "sentence"), SENTENCES)
def test_a_decision_is_told_in_one_sentence(
    ada: Client, verdict: Verdict, columns: dict[str, Any], sentence: str
) -> None:
    workflow = a_published_workflow()
    a_decision(workflow, verdict, **columns)

    assert sentences(ada.get(page_of(workflow))) == [sentence]


def test_every_verdict_has_its_words(ada: Client) -> None:
    workflow = a_published_workflow()
    for verdict in Verdict:
        a_decision(workflow, verdict)

    assert len(sentences(ada.get(page_of(workflow)))) == len(Verdict)


def test_events_lead_to_themselves_and_to_their_runs(ada: Client, bellboy: Bellboy) -> None:
    workflow = a_published_workflow()
    event = an_event(workflow, idempotency_key="k")
    bells.ring_dispatch(event.shard)
    bellboy.answer_all()
    a_decision(workflow, Verdict.DUPLICATE, detail={"source": "webhook", "event_id": str(event.pk), "x": "y"})

    page = dom_of(ada.get(page_of(workflow)))

    run_id = OutboxEvent.objects.get().runs.get().pk
    links = [f"/admin/triggers/outboxevent/{event.pk}/change/", f"/admin/executions/run/{run_id}/change/"]
    found = [link.attributes["href"] for link in page.all("a") if link.has_class("lf-code")]
    assert found == [*links, *links]


def test_counts_stand_on_top_and_lead_to_one_verdict_alone(ada: Client) -> None:
    workflow = a_published_workflow()
    an_event(workflow)
    an_event(workflow, status=EventStatus.IGNORED, error_code="workflow.archived")
    a_decision(workflow, Verdict.PAUSED)
    DecisionCount.objects.create(
        trigger=Trigger.objects.get(workflow=workflow), verdict="paused", count=7_001, last_at=timezone.now()
    )

    page = dom_of(ada.get(page_of(workflow)))
    tabs = [(tab.text, tab.attributes["href"]) for tab in page.all("a") if tab.has_class("lf-tab")]
    assert tabs == [
        ("All", "?"),
        ("Paused 7,001", "?verdict=paused"),
        ("Archived 1", "?verdict=archived"),
        ("Fired 1", "?verdict=fired"),
    ]
    assert sentences(ada.get(page_of(workflow, "?verdict=paused"))) == [
        "Something came while the workflow was paused."
    ]
    assert "Nothing of this kind is kept." in ada.get(page_of(workflow, "?verdict=missed")).content.decode()


def test_older_ones_are_on_the_next_page(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_page, "SHOWN", 5)
    workflow = a_published_workflow()
    for number in range(12):
        a_decision(workflow, Verdict.UNCHANGED, subject=f"n{number}")
    seen: list[str] = []
    query: str | None = ""
    while query is not None:
        answer = ada.get(page_of(workflow, query))
        seen += [sentence.partition(" ")[0] for sentence in sentences(answer)]
        older = dom_of(answer).all("a", rel="next")
        query = older[0].attributes["href"] if older else None

    assert seen == [f"N{number}" for number in reversed(range(12))]


@pytest.mark.parametrize("query", ["?verdict=fried", "?before=yesterday", "?before=" + "9" * 5000])
def test_what_cannot_be_is_a_bad_request(ada: Client, query: str) -> None:
    assert ada.get(page_of(a_published_workflow(), query)).status_code == 400


def test_the_page_costs_the_same_for_few_and_for_many(ada: Client) -> None:
    workflow = a_published_workflow()
    costs = []
    for _ in range(2):
        for _ in range(12):
            an_event(workflow)
            a_decision(workflow, Verdict.UNCHANGED)
        with CaptureQueriesContext(connection) as captured:
            ada.get(page_of(workflow))
        costs.append(len(captured))

    assert costs[0] == costs[1]


def test_who_may_not_see_events_may_not_see_why(ada: Client) -> None:
    workflow = a_published_workflow()
    bob = a_person("workflows.view_workflow", name="bob")

    assert bob.get(page_of(workflow)).status_code == 403
    assert "(not) fire" not in bob.get(f"/admin/workflows/workflow/{workflow.pk}/change/").content.decode()
    assert "(not) fire" in ada.get(f"/admin/workflows/workflow/{workflow.pk}/change/").content.decode()
    assert page_of(workflow) in ada.get("/admin/triggers/trigger/").content.decode()
    assert ada.get(page_of(workflow).replace(str(workflow.pk), str(uuid4()))).status_code == 404


def test_what_a_stranger_wrote_is_text(ada: Client) -> None:
    workflow = a_published_workflow()
    a_decision(workflow, Verdict.UNCHANGED, subject="<script>x", detail={"<b>": "<i>", "watched": ["<u>"]})

    html = ada.get(page_of(workflow)).content.decode()
    assert "<script>x" not in html
    assert "<i>" not in html
    assert "<u>" not in html
