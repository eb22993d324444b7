"""GET /api/v1/watchables: what a record trigger can name."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.api_client import ApiCaller
from triggers.records import watching
from triggers.records.watching import Watch

pytestmark = pytest.mark.django_db


def found() -> dict[str, Any]:
    answer = ApiCaller("viewer").get("/watchables")
    assert answer.status_code == 200
    return {one["entity"]: one for one in answer.json()["results"]}


def test_every_kind_of_record_is_listed_with_its_fields() -> None:
    kinds = found()
    assert list(kinds) == ["account", "contact", "meeting", "note", "opportunity", "task"]
    assert kinds["opportunity"]["label"] == "Opportunity"
    fields = {field["name"]: field for field in kinds["opportunity"]["fields"]}
    assert fields["stage"] == {
        "name": "stage",
        "label": "Stage",
        "type": "text",
        "refers_to": None,
        "watchable": True,
    }
    forms = {name: (field["type"], field["refers_to"], field["watchable"]) for name, field in fields.items()}
    assert forms == {
        "custom": ("json", None, True),
        "created_at": ("instant", None, True),
        "updated_at": ("instant", None, False),
        "name": ("text", None, True),
        "stage": ("text", None, True),
        "pipeline": ("text", None, True),
        "amount": ("number", None, True),
        "last_interaction_at": ("instant", None, True),
        "opportunity_status": ("text", None, True),
        "account": ("text", "account", True),
        "owner": ("number", "auth.User", True),
        "champion": ("text", "contact", True),
        "evaluator": ("text", "contact", True),
        "created_by": ("number", "auth.User", True),
    }


def test_what_a_project_adds_is_listed_without_what_it_keeps_to_itself() -> None:
    watch = Watch(User, "user", frozenset({"password", "email"}))
    watching.add(watch)
    try:
        names = [field["name"] for field in found()["user"]["fields"]]
    finally:
        watching.forget(User)
    assert "username" in names
    assert not {"password", "email", "id"} & set(names)


def test_whatever_is_listed_as_watchable_can_be_published() -> None:
    api = ApiCaller()
    for kind in found().values():
        names = [field["name"] for field in kind["fields"] if field["watchable"]]
        config = {"entity": kind["entity"], "event": "updated", "fields": names}
        definition = {
            "schema": 1,
            "name": kind["label"],
            "trigger": {"type": "record", "config": config},
            "steps": [{"key": "say", "type": "log", "config": {"message": "hello"}}],
        }
        draft = api.post("/workflows", definition).json()
        assert api.post(f"/workflows/{draft['id']}/publish").status_code == 201
