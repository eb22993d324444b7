"""Why did it (not) fire? What is noted where, and the one list of events and decisions."""

from __future__ import annotations

from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from executions import decision_list
from executions.decision_list import Tally
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused
from tests.api_client import ApiCaller, code_of
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow, a_workflow, an_event
from tests.jotter import Jotter
from triggers import services as triggers
from triggers.decisions import Verdict
from triggers.decisions.verdicts import CODES, NOTED
from triggers.models import Decision, DecisionCount, EventStatus, OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller("viewer")


def trigger_of(workflow: Workflow) -> Trigger:
    return Trigger.objects.get(workflow=workflow)


def deliver(workflow: Workflow, body: Any, **headers: str) -> Any:
    path = triggers.webhook_path(trigger_of(workflow))
    return Client().post(path, body, content_type="application/json", headers=headers)


def run(workflow: Workflow, payload: Any, key: str | None = None) -> Any:
    return triggers.run_by_hand(
        workflow_id=workflow.pk, payload=payload, idempotency_key=key, traceparent=None, by=BY
    )


def a_decision(workflow: Workflow, verdict: Verdict = Verdict.UNCHANGED, **columns: Any) -> Decision:
    return Decision.objects.create(
        trigger=trigger_of(workflow), at=timezone.now(), verdict=verdict, **columns
    )


def decided(api: ApiCaller, workflow: Workflow, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"/workflows/{workflow.pk}/decisions{query}")
    assert answer.status_code == 200, answer.content
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


# What is noted where.


def paused(workflow: Workflow) -> None:
    services.pause(workflow_id=workflow.pk, by=BY)


def archived(workflow: Workflow) -> None:
    services.archive(workflow_id=workflow.pk, by=BY)


@pytest.mark.parametrize(
    ("end", "trigger", "verdict"),
    [
        (paused, None, "paused"),
        (archived, None, "archived"),
        (None, {"type": "manual"}, "other_kind"),
        (paused, {"type": "manual"}, "paused"),
    ],
)
def test_a_webhook_that_starts_nothing_is_noted_with_the_reason_and_answered_as_ever(
    jotter: Jotter, end: Any, trigger: Any, verdict: str
) -> None:
    workflow = a_published_workflow(**({"trigger": trigger} if trigger else {}))
    if end:
        end(workflow)

    answer = deliver(workflow, {"n": 1})

    assert code_of(answer) == (404, "request.not_found")
    [note] = jotter.notes
    assert (note.trigger_id, note.verdict) == (trigger_of(workflow).pk, verdict)
    assert note.detail == {"source": "webhook", "delivery_id": ANY}
    assert not OutboxEvent.objects.exists()


def test_a_webhook_to_a_workflow_that_was_never_published_is_noted(jotter: Jotter) -> None:
    workflow = a_workflow()

    assert deliver(workflow, {"n": 1}).status_code == 404
    assert [verdict for _, verdict, _ in jotter.told] == ["not_published"]


def test_given_a_flood_of_unknown_addresses_then_nothing_of_it_is_noted(jotter: Jotter) -> None:
    a_published_workflow()
    for number in range(50):
        path = f"/hooks/{number:043d}"
        assert Client().post(path, {}, content_type="application/json").status_code == 404

    assert jotter.told == []


def test_a_repeated_webhook_is_noted_with_the_first_event(jotter: Jotter) -> None:
    workflow = a_published_workflow()
    first = deliver(workflow, {"n": 1}, idempotency_key="k").json()
    assert jotter.told == []

    assert deliver(workflow, {"n": 1}, idempotency_key="k").status_code == 200
    assert deliver(workflow, {"n": 2}, idempotency_key="k").status_code == 409

    told = {"source": "webhook", "event_id": first["event_id"]}
    trigger_id = trigger_of(workflow).pk
    assert [(of, verdict) for of, verdict, _ in jotter.told] == [
        (trigger_id, "duplicate"),
        (trigger_id, "key_reused"),
    ]
    for _, _, detail in jotter.told:
        assert detail is not None
        assert {**detail, "delivery_id": None} == {**told, "delivery_id": None}
    assert jotter.notes[0].subject == "key k"


def test_a_repeated_run_by_hand_is_noted_also_when_its_transaction_is_refused(jotter: Jotter) -> None:
    workflow = a_published_workflow()
    first = run(workflow, {"n": 1}, key="k")

    run(workflow, {"n": 1}, key="k")
    with pytest.raises(RequestRefused):
        run(workflow, {"n": 2}, key="k")

    told = {"source": "manual", "event_id": str(first.event_id)}
    assert [(verdict, detail) for _, verdict, detail in jotter.told] == [
        ("duplicate", told),
        ("key_reused", told),
    ]


def test_a_refused_run_by_hand_is_noted(jotter: Jotter) -> None:
    draft, ended = a_workflow(), a_published_workflow()
    archived(ended)
    for workflow in (draft, ended):
        with pytest.raises(RequestRefused):
            run(workflow, {})

    assert [verdict for _, verdict, _ in jotter.told] == ["not_published", "archived"]


def test_what_is_accepted_is_not_noted(jotter: Jotter) -> None:
    workflow = a_published_workflow()
    assert deliver(workflow, {"n": 1}).status_code == 202
    run(workflow, {})

    assert jotter.told == []


# The list.


def test_events_and_decisions_are_one_list_the_newest_first(api: ApiCaller, bellboy: Bellboy) -> None:
    workflow = a_published_workflow()
    a_decision(workflow, Verdict.UNCHANGED, subject="contact 7", detail={"changed": ["name"]})
    deliver(workflow, {"n": 1})
    bellboy.answer_all()
    event = OutboxEvent.objects.get()
    a_decision(workflow, Verdict.DUPLICATE, detail={"source": "webhook", "event_id": str(event.pk)}, count=2)
    an_event(workflow, source="record", payload={"type": "contact", "id": "8"})
    ignored = an_event(workflow, status=EventStatus.IGNORED, error_code="run.depth_exceeded")
    an_event(workflow, status=EventStatus.IGNORED, error_code="trigger.something_new")
    an_event(workflow, status=EventStatus.POISON, error_code="engine.dispatch_failed")
    a_decision(a_published_workflow())
    an_event(a_published_workflow())

    found = decided(api, workflow)

    assert [(row["verdict"], row["source"], row["subject"], row["code"]) for row in found] == [
        ("poison", "webhook", "", "engine.dispatch_failed"),
        ("ignored", "webhook", "", "trigger.something_new"),
        ("too_deep", "webhook", "", "run.depth_exceeded"),
        ("fired", "record", "contact 8", None),
        ("duplicate", "webhook", "", None),
        ("fired", "webhook", "", None),
        ("unchanged", "", "contact 7", None),
    ]
    run_id = str(event.runs.get().pk)
    assert [(row["event_id"], row["run_id"]) for row in found[2:]] == [
        (str(ignored.pk), None),
        (found[3]["event_id"], None),
        (str(event.pk), run_id),
        (str(event.pk), run_id),
        (None, None),
    ]
    assert [row["count"] for row in found] == [1, 1, 1, 1, 2, 1, 1]
    assert found[-1]["detail"] == {"changed": ["name"]}
    assert found[4]["detail"] == {}
    assert list(found[0]) == [
        "at", "verdict", "source", "subject", "detail", "event_id", "run_id", "delivery_id", "code", "count"
    ]  # fmt: skip


def test_a_verdict_can_be_asked_for_wherever_it_stands(api: ApiCaller) -> None:
    workflow = a_published_workflow()
    for code in [*CODES.values(), "some.other"]:
        an_event(workflow, status=EventStatus.IGNORED, error_code=code)
    an_event(workflow, status=EventStatus.POISON, error_code="engine.dispatch_failed")
    an_event(workflow)
    for verdict in NOTED:
        a_decision(workflow, verdict)
    whole = decided(api, workflow, "?limit=100")

    for verdict in Verdict:
        found = decided(api, workflow, f"?verdict={verdict}&limit=100")
        assert found == [row for row in whole if row["verdict"] == verdict], verdict
        assert found, verdict


@pytest.mark.parametrize("query", ["verdict=fried", "verdict=", "colour=red", "limit=0", "cursor=x"])
def test_what_the_list_does_not_understand_is_refused(api: ApiCaller, query: str) -> None:
    workflow = a_published_workflow()

    assert code_of(api.get(f"/workflows/{workflow.pk}/decisions?{query}")) == (400, "request.invalid")


@pytest.mark.parametrize("path", ["decisions", "decisions/summary"])
def test_an_unknown_workflow_is_not_found(api: ApiCaller, path: str) -> None:
    assert code_of(api.get(f"/workflows/{uuid4()}/{path}")) == (404, "request.not_found")


def test_given_new_rows_in_both_tables_between_two_pages_then_none_is_shown_twice_or_left_out(
    api: ApiCaller,
) -> None:
    workflow = a_published_workflow()
    for _ in range(12):
        a_decision(workflow)
        an_event(workflow)
    expected = decided(api, workflow)
    first = api.get(f"/workflows/{workflow.pk}/decisions?limit=7").json()

    a_decision(workflow)
    an_event(workflow)
    rest = [row for page in api.pages(first["next"]) for row in page]

    assert first["results"] + rest == expected


def test_a_record_events_payload_is_the_only_one_that_is_read(api: ApiCaller) -> None:
    workflow = a_published_workflow()
    an_event(workflow)
    with CaptureQueriesContext(connection) as captured:
        decided(api, workflow)

    (events,) = [query["sql"] for query in captured if 'FROM "triggers_outboxevent"' in query["sql"]]
    assert events.count('"payload"') == 2
    assert events.index("CASE WHEN") < events.index('"payload"')


# The summary.


def test_the_summary_adds_what_events_tell_and_what_was_noted(api: ApiCaller) -> None:
    workflow = a_published_workflow()
    trigger = trigger_of(workflow)
    for _ in range(3):
        an_event(workflow)
    an_event(workflow, status=EventStatus.IGNORED, error_code="workflow.archived")
    now = timezone.now()
    DecisionCount.objects.create(trigger=trigger, verdict="archived", count=4, last_at=now)
    DecisionCount.objects.create(trigger=trigger, verdict="unchanged", count=123_456, last_at=now)

    found = api.get(f"/workflows/{workflow.pk}/decisions/summary").json()["verdicts"]

    assert [(row["verdict"], row["count"], row["is_complete"]) for row in found] == [
        ("unchanged", 123_456, True),
        ("archived", 5, True),
        ("fired", 3, True),
    ]


def test_given_more_events_than_are_counted_then_the_summary_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workflow = a_published_workflow()
    trigger = trigger_of(workflow)
    for _ in range(5):
        last = an_event(workflow)
    now = timezone.now()
    DecisionCount.objects.create(trigger=trigger, verdict="paused", count=2, last_at=now)
    DecisionCount.objects.create(trigger=trigger, verdict="archived", count=1, last_at=now)
    monkeypatch.setattr(decision_list, "COUNTED", 3)

    fired, paused, archived = decision_list.tallies_of(trigger)

    last.refresh_from_db()
    assert fired == Tally(Verdict.FIRED, 3, is_complete=False, last_at=last.captured_at)
    assert paused == Tally(Verdict.PAUSED, 2, is_complete=True, last_at=now)
    assert archived == Tally(Verdict.ARCHIVED, 1, is_complete=False, last_at=now)  # older events may tell it


# The words.


def test_every_code_of_a_verdict_is_catalogued() -> None:
    assert {code for code in CODES.values() if code not in CATALOGUE} <= {"trigger.own_change"}
