"""Record triggers that cannot be published: each problem at its place, in the API and in the builder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.admin_client import a_person
from tests.api_client import ApiCaller
from tests.dom import dom_of, words_of
from tests.factories import LOG_STEP, a_definition
from triggers.models import Trigger
from workflows.models import Workflow

pytestmark = pytest.mark.django_db

UPDATED = {"entity": "contact", "event": "updated"}
# The trigger's config, and of each problem pointer, code and a piece of what it says.
REFUSED: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {
    "a kind that nobody watches": (
        {**UPDATED, "entity": "invoice"},
        [
            (
                "/entity",
                "trigger.unknown_entity",
                "No watched model is called 'invoice'; entity is one of account, contact, ",
            )
        ],
    ),
    "a kind by its class": (
        {**UPDATED, "entity": "Contact"},
        [("/entity", "trigger.unknown_entity", "called 'Contact'")],
    ),
    "fields that are not there": (
        {**UPDATED, "fields": ["email", "phone", "title", "mobile"]},
        [
            (
                "/fields/1",
                "trigger.unknown_field",
                "contact has no field 'phone' to watch; there are custom, ",
            ),
            ("/fields/3", "trigger.unknown_field", "contact has no field 'mobile'"),
        ],
    ),
    "a field that changes with every save": (
        {**UPDATED, "fields": ["updated_at"]},
        [("/fields/0", "trigger.unknown_field", "updated_at changes with every save, so it says nothing")],
    ),
    "the key": ({**UPDATED, "fields": ["id"]}, [("/fields/0", "trigger.unknown_field", "no field 'id'")]),
    "a column instead of its field": (
        {**UPDATED, "fields": ["account_id"]},
        [("/fields/0", "trigger.unknown_field", "no field 'account_id'")],
    ),
    "fields of a new record": (
        {"entity": "contact", "event": "created", "fields": ["email"]},
        [("/fields", "config.invalid", "in a new record all of them are new")],
    ),
    "an event that does not exist": (
        {"entity": "contact", "event": "deleted"},
        [("/event", "config.invalid", "created")],
    ),
    "no event": ({"entity": "contact"}, [("/event", "config.invalid", "")]),
    "no kind": ({"event": "created"}, [("/entity", "config.invalid", "")]),
    "a text as list": ({**UPDATED, "fields": "email"}, [("/fields", "config.invalid", "list")]),
    "an empty name": ({**UPDATED, "fields": [""]}, [("/fields/0", "config.invalid", "")]),
    "a number": ({**UPDATED, "fields": [1]}, [("/fields/0", "config.invalid", "")]),
    "too many fields": (
        {**UPDATED, "fields": ["email"] * 101},
        [("/fields", "config.invalid", "100")],
    ),
    "a kind of unlikely length": (
        {**UPDATED, "entity": "a" * 101},
        [("/entity", "config.invalid", "100")],
    ),
    "something unknown": ({**UPDATED, "when": "now"}, [("/when", "config.invalid", "")]),
    "a word for a truth": (
        {**UPDATED, "own_changes": "yes"},
        [("/own_changes", "config.invalid", "")],
    ),
}


def text_of(config: dict[str, Any]) -> str:
    return json.dumps(a_definition(trigger={"type": "record", "config": config}), indent=2)


@pytest.mark.parametrize("what", REFUSED)
def test_the_api_refuses_to_publish_it_and_says_where(what: str) -> None:
    # Given a draft, which may be unfinished
    config, expected = REFUSED[what]
    api = ApiCaller()
    draft = api.post("/workflows", json.loads(text_of(config)))
    assert draft.status_code == 201, draft.content

    # When it is published
    answer = api.post(f"/workflows/{draft.json()['id']}/publish")

    # Then each problem is told at its place, and nothing has changed
    assert answer.status_code == 422
    found = answer.json()["errors"]
    assert [(one["pointer"], one["code"]) for one in found] == [
        (f"/trigger/config{pointer}", code) for pointer, code, _ in expected
    ]
    for one, (_, _, words) in zip(found, expected, strict=True):
        assert words in one["detail"]
    assert Workflow.objects.get().active_version is None
    assert not Trigger.objects.exclude(kind="").exists()


@pytest.mark.parametrize("what", REFUSED)
def test_the_builder_shows_it_at_its_line(what: str) -> None:
    config, expected = REFUSED[what]
    typed = text_of(config)
    person: Client = a_person()
    answer = person.post(
        "/admin/workflows/workflow/add/", {"definition": typed, "_publish": "1"}, follow=True
    )

    page = dom_of(answer)
    shown = [words_of(item) for item in page.one("ul", class_="lf-problems").children("li")]
    assert [line.split()[-2:] for line in shown] == [
        [f"/trigger/config{pointer}", code] for pointer, code, _ in expected
    ]
    assert all(line.startswith("Line ") for line in shown)
    assert not Workflow.objects.exclude(status="draft").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"entity": "contact", "event": "created"},
        {**UPDATED},
        {**UPDATED, "fields": ["email", "account", "custom"], "own_changes": True},
        {**UPDATED, "fields": []},
    ],
)
def test_what_is_right_is_published_as_it_is(config: dict[str, Any]) -> None:
    api = ApiCaller()
    draft = api.post("/workflows", json.loads(text_of(config))).json()
    assert api.post(f"/workflows/{draft['id']}/publish").status_code == 201
    trigger = Trigger.objects.get()
    assert (trigger.kind, trigger.config) == ("record", config)


def test_templates_may_name_what_such_a_trigger_tells() -> None:
    message = "{{ trigger.id }} {{ trigger.fields.email }} {{ trigger._diff.email.before }} {{ trigger.occurred_at }}"
    step = {**LOG_STEP, "config": {"message": message}}
    api = ApiCaller()
    definition = a_definition(
        trigger={"type": "record", "config": {**UPDATED, "fields": ["email"]}}, steps=[step]
    )
    draft = api.post("/workflows", definition).json()
    assert api.post(f"/workflows/{draft['id']}/publish").status_code == 201
