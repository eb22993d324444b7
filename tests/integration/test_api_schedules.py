"""/api/v1/workflows/{id}/ticks and /schedule-preview: what fired, and what will."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.api_client import ApiCaller, code_of
from tests.clockwork import a_schedule, an_overdue
from tests.factories import BY, WEBHOOK, a_published_workflow, a_workflow
from triggers import previews, ticking
from triggers.models import Tick
from workflows import services

pytestmark = pytest.mark.django_db

NIGHTLY = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


@pytest.fixture
def before_the_clock_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "database_now", lambda: datetime.fromisoformat("2026-10-23T12:00:00+00:00"))


def test_ticks_come_in_pages_the_newest_first(api: ApiCaller) -> None:
    trigger = an_overdue("all")
    an_overdue("latest")
    while ticking.fire_due():
        pass

    pages = api.pages(f"/workflows/{trigger.workflow_id}/ticks?limit=100")

    assert [len(page) for page in pages] == [100, 100, 100]
    dues = [tick["due_at"] for page in pages for tick in page]
    assert dues == sorted(dues, reverse=True)
    tick = Tick.objects.get(trigger=trigger, due_at=dues[0])
    newest = pages[0][0]
    assert list(newest) == ["due_at", "fired_at", "late_by_seconds", "event_id"]
    assert datetime.fromisoformat(newest["due_at"]) == tick.due_at
    assert datetime.fromisoformat(newest["fired_at"]) == tick.fired_at
    assert (newest["late_by_seconds"], newest["event_id"]) == (tick.late_by_seconds, str(tick.event_id))


def test_a_workflow_of_another_kind_has_no_ticks_and_an_unknown_one_is_not_found(api: ApiCaller) -> None:
    assert api.get(f"/workflows/{a_published_workflow().pk}/ticks").json()["results"] == []
    answer = api.get("/workflows/00000000-0000-7000-8000-000000000000/ticks")
    assert code_of(answer) == (404, "request.not_found")


@pytest.mark.usefixtures("before_the_clock_changes")
def test_the_preview_has_ten_instants_and_marks_the_change_of_the_clock(api: ApiCaller) -> None:
    trigger = a_schedule(NIGHTLY)

    body = api.get(f"/workflows/{trigger.workflow_id}/schedule-preview").json()

    assert body["config"]["cron"] == "30 2 * * *"
    assert len(body["instants"]) == 10
    assert body["instants"][1] == {
        "at": "2026-10-25T00:30:00Z",
        "local": "2026-10-25T02:30:00+02:00",
        "clock": "repeated_first",
        "detail": "The clock shows 02:30 twice; only the first time counts.",
    }
    assert [entry["clock"] for entry in body["instants"]][:3] == [None, "repeated_first", "clock_changed"]


def test_the_first_instant_of_the_preview_is_the_next_one_due(api: ApiCaller) -> None:
    trigger = a_schedule({"cron": "0 0 1 1 *"})

    first = api.get(f"/workflows/{trigger.workflow_id}/schedule-preview").json()["instants"][0]

    assert trigger.next_due_at is not None
    assert datetime.fromisoformat(first["at"]) == trigger.next_due_at


def test_draft_and_published_config_are_told_apart(api: ApiCaller) -> None:
    trigger = a_schedule(NIGHTLY)
    changed = {"type": "schedule", "config": {"every": "day", "at": "09:00"}}
    services.update_draft(workflow_id=trigger.workflow_id, changes={"trigger": changed}, by=BY)
    path = f"/workflows/{trigger.workflow_id}/schedule-preview"

    assert api.get(path).json()["config"]["cron"] == "30 2 * * *"
    assert api.get(f"{path}?of=published").json()["config"]["cron"] == "30 2 * * *"
    assert api.get(f"{path}?of=draft").json()["config"]["at"] == "09:00"
    assert code_of(api.get(f"{path}?of=mine")) == (400, "request.invalid")


def test_a_draft_is_previewed_before_it_is_published_and_its_problems_are_told(api: ApiCaller) -> None:
    good = a_workflow(trigger={"type": "schedule", "config": NIGHTLY})
    bad = a_workflow(trigger={"type": "schedule", "config": {"cron": "0 9 30 2 *"}})

    assert len(api.get(f"/workflows/{good.pk}/schedule-preview").json()["instants"]) == 10
    answer = api.get(f"/workflows/{bad.pk}/schedule-preview")
    assert code_of(answer) == (422, "config.invalid")
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
        ("/cron", "schedule.never_due")
    ]


@pytest.mark.parametrize("source", ["", "?of=draft", "?of=published"])
def test_without_a_schedule_there_is_no_preview(api: ApiCaller, source: str) -> None:
    workflow = a_published_workflow(trigger=WEBHOOK)

    answer = api.get(f"/workflows/{workflow.pk}/schedule-preview{source}")

    assert code_of(answer) == (404, "request.not_found")
    assert answer.json()["detail"] == "No schedule starts this workflow."


@pytest.mark.usefixtures("before_the_clock_changes")
def test_a_config_that_is_being_edited_is_previewed_and_nothing_is_stored(api: ApiCaller) -> None:
    workflow = a_workflow()

    answer = api.post(
        f"/workflows/{workflow.pk}/schedule-preview",
        {"cron": "0 * * * *", "timezone": "Europe/Berlin"},
    )

    assert answer.status_code == 200
    instants = [datetime.fromisoformat(entry["at"]) for entry in answer.json()["instants"]]
    assert {after - before for before, after in itertools.pairwise(instants)} == {timedelta(hours=1)}
    draft = workflow.draft
    workflow.refresh_from_db()
    assert workflow.draft == draft


@pytest.mark.parametrize(
    ("config", "pointers"),
    [
        ({"cron": "x", "timezone": "Nowhere"}, ["/cron", "/timezone"]),
        ({}, ["/cron"]),
        ({"every": "day"}, ["/at"]),
        ({"cron": "* * * * *", "moon": 1}, ["/moon"]),
        ({"cron": 5}, ["/cron"]),
        ([], [""]),
        ("0 9 * * *", [""]),
    ],
)
def test_a_config_that_cannot_be_is_refused_with_a_pointer_to_each_problem(
    api: ApiCaller, config: Any, pointers: list[str]
) -> None:
    answer = api.post(f"/workflows/{a_workflow().pk}/schedule-preview", config)

    assert code_of(answer) == (422, "config.invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
