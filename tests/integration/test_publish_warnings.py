"""What publishing warns of: told in the API's answer and at the editor, and a reason to refuse nothing."""

from __future__ import annotations

from typing import Any

import pytest

from lightfield.builder.starters import STARTERS, Starter
from tests.admin_client import a_person
from tests.api_client import ApiCaller
from tests.dom import dom_of, words_of
from tests.factories import a_definition, a_published_workflow, a_workflow
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of

pytestmark = pytest.mark.django_db

UPDATED = {"type": "record", "config": {"entity": "opportunity", "event": "updated", "fields": ["stage"]}}
CREATED = {"type": "record", "config": {"entity": "opportunity", "event": "created"}}
DAILY = {"type": "schedule", "config": {"every": "day", "at": "09:00"}}
SAMPLED = {"type": "webhook", "config": {"sample": {"email": "a@b.c"}}}


def saying(message: str, **parts: Any) -> dict[str, Any]:
    return {"steps": [{"key": "say", "type": "log", "config": {"message": message}}], **parts}


def test_publishing_answers_with_what_will_probably_go_wrong():
    api = ApiCaller()
    made = api.post("/workflows", a_definition(**saying("{{ trigger.emial }}", trigger=SAMPLED))).json()

    answer = api.post(f"/workflows/{made['id']}/publish")

    assert answer.status_code == 201
    assert answer.json()["warnings"] == [
        {
            "pointer": "/steps/0/config/message",
            "code": "template.unknown_field",
            "detail": "In the sample, trigger has no emial; did you mean email? (template line 1, column 4)",
        }
    ]
    again = api.post(f"/workflows/{made['id']}/publish")
    assert (again.status_code, again.json()) == (200, answer.json())


def test_a_workflow_that_nothing_is_wrong_with_has_no_warnings():
    api = ApiCaller()
    made = api.post("/workflows", a_definition()).json()

    assert api.post(f"/workflows/{made['id']}/publish").json()["warnings"] == []


@pytest.mark.parametrize(
    ("trigger", "template", "warning"),
    [
        (UPDATED, "{{ trigger._diff.stage.after }} {{ trigger.fields.amount }} {{ trigger.id }}", None),
        (UPDATED, "{{ trigger._diff.stage.now }}", "trigger._diff.stage has no now; there is before, after."),
        (UPDATED, "{{ trigger.fields.stag }}", "trigger.fields has no stag; did you mean stage?"),
        (CREATED, "{{ trigger._diff.stage.after }}", "trigger has no _diff"),
        (DAILY, "{{ trigger.scheduled_for }} {{ trigger.late_by_seconds }}", None),
        (DAILY, "{{ trigger.scheduled_at }}", "trigger has no scheduled_at; did you mean scheduled_for?"),
        ({"type": "manual"}, "{{ trigger.any.thing }}", None),
        ({"type": "webhook"}, "{{ trigger.any.thing }}", None),
    ],
)
def test_what_each_kind_of_trigger_gives_is_known(trigger, template, warning):
    found = warnings_of(parse_definition(a_definition(**saying(template, trigger=trigger))))

    if warning is None:
        assert found == []
    else:
        assert warning in found[0].detail


def test_the_editor_shows_warnings_at_their_line_and_nothing_stands_in_the_way():
    ada = a_person()
    workflow = a_workflow(**saying("{{ trigger.emial }}", trigger=SAMPLED))
    address = f"/admin/workflows/workflow/{workflow.pk}"

    page = dom_of(ada.get(f"{address}/change/"))
    (line,) = page.one("ul", class_="lf-problems").children("li")
    assert "did you mean email?" in words_of(line)
    assert words_of(line).startswith("Line ")
    assert "Ready to publish" in page.text

    answer = ada.post(f"{address}/publish/", follow=True)
    assert "1 warning at the editor." in str(next(iter(answer.context["messages"])))


def test_the_editor_of_a_version_without_warnings_shows_none():
    workflow = a_published_workflow()

    page = dom_of(a_person().get(f"/admin/workflows/workflow/{workflow.pk}/change/"))

    assert "lf-warnings" not in str(page)
    assert page.all("ul", class_="lf-problems") == []


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.slug)
def test_no_starter_is_warned_of(starter: Starter) -> None:
    assert warnings_of(parse_definition(starter.definition)) == []


def test_the_editor_tells_what_each_step_and_trigger_gives():
    page = dom_of(a_person().get(f"/admin/workflows/workflow/{a_workflow().pk}/change/"))

    assert "Later steps read status_code, headers, body, encoding, truncated" in page.text
    assert "Steps read trigger.scheduled_for, trigger.fired_at, trigger.timezone" in page.text
