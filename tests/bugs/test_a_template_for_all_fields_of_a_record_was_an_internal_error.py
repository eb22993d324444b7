"""A template in place of all of `fields`, `match`, `filters` or `sort` was an AttributeError or TypeError when the workflow was published.

Found in a review of record steps: elsewhere a template may stand for anything, and what it becomes is judged by the run.
"""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Task
from tests.integration.record_steps.playing import error_of, output_of, step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

TITLE = {"title": "Call"}
FILTER = {"field": "title", "operator": "is", "value": "Call"}


@pytest.mark.parametrize(
    ("type_", "config", "given"),
    [
        ("create_record", {"fields": "{{ trigger.x }}"}, TITLE),
        ("upsert_record", {"match": "{{ trigger.x }}"}, TITLE),
        ("upsert_record", {"match": TITLE, "fields": "{{ trigger.x }}"}, {"status": "in_progress"}),
        ("find_records", {"filters": "{{ trigger.x }}"}, [FILTER]),
        ("find_records", {"filters": ["{{ trigger.x }}"]}, FILTER),
        ("find_records", {"sort": "{{ trigger.x }}"}, ["-title"]),
    ],
)
def test_a_template_may_stand_for_the_whole_part(type_: str, config: dict[str, Any], given: Any) -> None:
    output_of(step(type_, entity="task", **config), payload={"x": given})


def test_update_takes_it_too() -> None:
    task = Task.objects.create(title="Write")

    output_of(
        step("update_record", entity="task", id=str(task.pk), fields="{{ trigger.x }}"), payload={"x": TITLE}
    )

    task.refresh_from_db()
    assert task.title == "Call"


@pytest.mark.parametrize(
    ("type_", "config", "given", "place"),
    [
        ("create_record", {"fields": "{{ trigger.x }}"}, {"titel": "Call"}, "/fields/titel"),
        ("create_record", {"fields": "{{ trigger.x }}"}, ["Call"], "/fields"),
        ("upsert_record", {"match": "{{ trigger.x }}"}, {"titel": "Call"}, "/match/titel"),
        ("upsert_record", {"match": "{{ trigger.x }}"}, {}, "/match"),
        ("upsert_record", {"match": "{{ trigger.x }}"}, {"created_at": "2026-03-01"}, "/match/created_at"),
        ("find_records", {"filters": ["{{ trigger.x }}"]}, FILTER | {"field": "titel"}, "/filters/0/field"),
        ("find_records", {"sort": "{{ trigger.x }}"}, ["titel"], "/sort/0"),
    ],
)
def test_what_it_becomes_is_judged_by_the_run(
    type_: str, config: dict[str, Any], given: Any, place: str
) -> None:
    error = error_of(step(type_, entity="task", **config), payload={"x": given})

    assert error["code"] in ("config.invalid", "record.invalid")
    assert error["metadata"]["pointer"] == place


@pytest.mark.parametrize(
    "given", [{"phone_numbers": ["1"]}, {"primary_address": {"city": "Ulm"}}, {"custom": {"a": 1}}]
)
def test_a_match_by_what_tells_no_record_from_another_is_refused_by_the_run(given: dict[str, Any]) -> None:
    entity = "contact" if "phone_numbers" in given else "account"

    error = error_of(step("upsert_record", entity=entity, match="{{ trigger.x }}"), payload={"x": given})

    assert error["code"] == "record.invalid"
