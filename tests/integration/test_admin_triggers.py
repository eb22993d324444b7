"""A trigger's own page in the admin: what starts the workflow, what fired, what is next, and who wakes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tests.admin_client import a_person
from tests.clockwork import a_schedule, an_overdue, make_due
from tests.dom import Dom, dom_of
from tests.factories import BY, a_published_workflow, a_workflow
from triggers import previews, ticking
from triggers.models import Tick, Trigger
from workflows import services

pytestmark = pytest.mark.django_db(transaction=True)

NIGHTLY = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture
def ada() -> Client:
    return a_person()


def page_of(person: Client, trigger: Trigger) -> Dom:
    answer = person.get(f"/admin/triggers/trigger/{trigger.pk}/change/")
    assert answer.status_code == 200
    return dom_of(answer)


def beat_entry(**columns: Any) -> PeriodicTask:
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
    return PeriodicTask.objects.create(
        name="lightfield: ticks", task="triggers.fire_ticks", interval=second, **columns
    )


def test_a_schedule_shows_what_fired_and_how_late_with_a_link_to_each_event(ada: Client) -> None:
    trigger = an_overdue()
    ticking.fire_due()
    tick = Tick.objects.get()

    page = page_of(ada, trigger)

    row = page.one("a", href=f"/admin/triggers/outboxevent/{tick.event_id}/change/")
    assert f"{tick.due_at:%Y-%m-%d %H:%M} UTC" in row.text
    assert "late" in row.text
    assert "Next due" in page.text


def test_the_next_instants_are_shown_in_the_zone_with_the_change_of_its_clock(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = datetime.fromisoformat("2026-10-23T12:00:00+00:00")
    monkeypatch.setattr(previews, "database_now", lambda: noon)

    page = page_of(ada, a_schedule(NIGHTLY))

    assert len(page.all("tr")) == 11
    marked = page.all("tr", class_="lf-marked")
    assert len(marked) == 2
    assert "Sun 2026-10-25 02:30, UTC+02:00" in marked[0].text
    assert "only the first time counts" in marked[0].text
    assert "Mon 2026-10-26 02:30, UTC+01:00" in marked[1].text


def test_the_beat_entry_that_wakes_it_is_named_and_linked(ada: Client) -> None:
    entry = beat_entry()

    page = page_of(ada, a_schedule())

    link = page.one("a", href=f"/admin/django_celery_beat/periodictask/{entry.pk}/change/")
    assert link.text == "lightfield: ticks"
    assert ada.get(link.attributes["href"]).status_code == 200


def test_given_an_entry_that_is_disabled_or_not_written_yet_then_the_page_says_so(ada: Client) -> None:
    trigger = a_schedule()

    assert "not in beat's table yet" in page_of(ada, trigger).text
    beat_entry(enabled=False)
    assert "is disabled" in page_of(ada, trigger).text


def test_who_may_see_triggers_only_is_led_nowhere_else() -> None:
    beat_entry()
    trigger = an_overdue()
    ticking.fire_due()
    viewer = a_person("triggers.view_trigger", name="eve")

    page = page_of(viewer, trigger)

    links = [element.attributes.get("href", "") for element in page.all("a")]
    assert not [link for link in links if "periodictask" in link or "outboxevent" in link]
    assert "lightfield: ticks" in page.text


def test_who_may_not_see_triggers_sees_no_page() -> None:
    trigger = a_schedule()
    viewer = a_person("workflows.view_workflow", name="eve")

    assert viewer.get(f"/admin/triggers/trigger/{trigger.pk}/change/").status_code == 403


def test_a_schedule_that_was_set_aside_says_why_and_what_to_do(ada: Client) -> None:
    trigger = a_schedule()
    Trigger.objects.update(
        config={"moon": "full"}, failures=3, error_code="schedule.set_aside", next_due_at=None
    )

    page = page_of(ada, trigger)

    assert "schedule.set_aside" in page.text
    assert "pause and resume" in page.text
    assert "Another release may have published it" in page.text
    assert "Set aside" in dom_of(ada.get("/admin/triggers/trigger/")).text


def test_a_paused_schedule_says_that_nothing_is_due(ada: Client) -> None:
    trigger = make_due(a_schedule())
    services.pause(workflow_id=trigger.workflow_id, by=BY)

    page = page_of(ada, trigger)

    assert "Nothing is due while the workflow is paused" in page.text
    assert "These would be due if the workflow were active." in page.text


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (
            {"type": "webhook", "config": {"signature": {"scheme": "none"}}},
            "A POST to the workflow's own address",
        ),
        ({"type": "manual", "config": {}}, "A person, or a program through the API"),
    ],
)
def test_every_kind_has_its_page(ada: Client, trigger: dict[str, Any], words: str) -> None:
    workflow = a_published_workflow(trigger=trigger)

    page = page_of(ada, workflow.trigger)

    assert words in page.text
    assert "Last ticks" not in page.text


def test_a_trigger_that_was_never_published_has_a_page_too(ada: Client) -> None:
    assert "Never published" in page_of(ada, a_workflow().trigger).text


@pytest.mark.parametrize("address", ["0", "99999999", "x", "9" * 40])
def test_a_trigger_that_is_not_there_is_not_found(ada: Client, address: str) -> None:
    assert ada.get(f"/admin/triggers/trigger/{address}/change/").status_code == 404


def test_the_workflow_leads_to_it(ada: Client) -> None:
    trigger = a_schedule()

    page = dom_of(ada.get(f"/admin/workflows/workflow/{trigger.workflow_id}/change/"))

    assert page.one("a", href=f"/admin/triggers/trigger/{trigger.pk}/change/").text == "When it is due"
    assert "by the clock, next" in page.text


def test_the_page_asks_a_fixed_number_of_questions(ada: Client, django_assert_max_num_queries: Any) -> None:
    trigger = an_overdue("all")
    beat_entry()
    while ticking.fire_due():
        pass

    with django_assert_max_num_queries(6):  # session and user are two of them
        page_of(ada, trigger)
