"""Creating and editing workflows, and which deed is allowed in which status."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection

from lightfield.kernel.errors import LostRace, RequestRefused
from tests.concurrency import race
from tests.factories import BY, a_definition, a_published_workflow, a_workflow, active_version_of
from triggers import services as triggers
from triggers.models import Trigger
from workflows import hooks, services
from workflows.models import Workflow, WorkflowStatus

pytestmark = pytest.mark.django_db(transaction=True)

DEEDS = {
    "publish": services.publish,
    "pause": services.pause,
    "resume": services.resume,
    "archive": services.archive,
}


def a_workflow_that_is(status: str) -> Workflow:
    workflow = a_workflow() if status == "draft" else a_published_workflow()
    if status == "paused":
        services.pause(workflow_id=workflow.pk, by=BY)
    if status == "archived":
        services.archive(workflow_id=workflow.pk, by=BY)
    return workflow


def test_a_new_workflow_is_a_draft_with_every_default_written_out():
    workflow = services.create_workflow(definition={"schema": 1, "name": "Sign-up"}, by=BY)

    stored = Workflow.objects.get()
    assert (stored.pk, stored.name, stored.status) == (workflow.pk, "Sign-up", WorkflowStatus.DRAFT)
    assert stored.active_version is None
    assert stored.draft["steps"] == []
    assert stored.draft["settings"]["timeout_seconds"] == 86_400


def test_a_new_workflow_has_its_address_from_the_start():
    workflow = a_workflow()

    trigger = Trigger.objects.get(workflow=workflow)
    path = triggers.webhook_path(trigger)
    assert path.startswith("/hooks/")
    assert len(path.removeprefix("/hooks/")) == 43  # 256 bits in base64url
    assert trigger.kind == ""


def test_the_token_is_stored_as_hash_and_ciphertext_only():
    trigger = Trigger.objects.get(workflow=a_workflow())
    token = triggers.webhook_path(trigger).removeprefix("/hooks/")

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t::text FROM triggers_trigger t UNION ALL SELECT w::text FROM workflows_workflow w"
        )
        assert not [row for (row,) in cursor.fetchall() if token in row]


@pytest.mark.parametrize(
    ("definition", "pointer"),
    [
        ("text", ""),
        (None, ""),
        ({"schema": 1}, "/name"),
        ({"schema": 2, "name": "x"}, "/schema"),
        (a_definition(colour="red"), "/colour"),
        (a_definition(steps=[{"key": "A", "type": "log"}]), "/steps/0/key"),
        (a_definition(settings={"concurrency": 0}), "/settings/concurrency"),
    ],
)
def test_a_definition_of_the_wrong_shape_is_refused_with_a_pointer(definition, pointer):
    with pytest.raises(RequestRefused) as refusal:
        services.create_workflow(definition=definition, by=BY)

    assert refusal.value.code == "config.invalid_definition"
    assert [problem.pointer for problem in refusal.value.problems] == [pointer]
    assert not Workflow.objects.exists()


def test_given_a_secret_that_cannot_be_one_when_the_draft_is_stored_then_it_is_refused_and_kept_nowhere():
    signed = {"type": "webhook", "config": {"signature": {"scheme": "standard", "secret": "whsec_xyz"}}}
    workflow = a_workflow()

    for deed in (
        lambda: services.create_workflow(definition=a_definition(trigger=signed), by=BY),
        lambda: services.update_draft(workflow_id=workflow.pk, changes={"trigger": signed}, by=BY),
    ):
        with pytest.raises(RequestRefused) as refusal:
            deed()
        problem = refusal.value.problems[0]
        assert problem.pointer == "/trigger/config/signature/secret"
        assert problem.code == "config.invalid_secret"
        assert "xyz" not in problem.detail
    assert "whsec" not in str(Workflow.objects.values_list("draft"))


def test_an_edit_replaces_parts_of_the_draft_and_mirrors_the_name():
    workflow = a_workflow(description="kept")

    services.update_draft(workflow_id=workflow.pk, changes={"name": "Renamed", "steps": []}, by=BY)

    workflow.refresh_from_db()
    assert workflow.name == workflow.draft["name"] == "Renamed"
    assert workflow.draft["steps"] == []
    assert workflow.draft["description"] == "kept"


def test_an_edit_of_an_active_workflow_changes_the_draft_only():
    workflow = a_published_workflow()
    published = active_version_of(workflow).definition

    services.update_draft(workflow_id=workflow.pk, changes={"name": "Renamed"}, by=BY)

    workflow.refresh_from_db()
    assert workflow.status == WorkflowStatus.ACTIVE
    assert active_version_of(workflow).definition == published


@pytest.mark.parametrize("changes", [[], "name", None, {"nmae": "typo"}, {"name": ""}, {"schema": None}])
def test_a_refused_edit_leaves_the_draft_as_it_was(changes):
    workflow = a_workflow()

    with pytest.raises(RequestRefused) as refusal:
        services.update_draft(workflow_id=workflow.pk, changes=changes, by=BY)

    assert refusal.value.code == "config.invalid_definition"
    assert Workflow.objects.get().draft == workflow.draft


def test_two_people_who_edit_different_parts_at_once_both_keep_their_change():
    workflow = a_workflow()
    parts = {"name": "New", "description": "New", "steps": [], "settings": {"concurrency": 7}}

    results = race(
        *(
            lambda part=part, value=value: services.update_draft(
                workflow_id=workflow.pk, changes={part: value}, by=BY
            )
            for part, value in parts.items()
        )
    )

    assert all(isinstance(result, Workflow) for result in results)
    draft = Workflow.objects.get().draft
    assert (draft["name"], draft["description"], draft["steps"]) == ("New", "New", [])
    assert draft["settings"]["concurrency"] == 7


@pytest.mark.parametrize(
    ("status", "deed", "after"),
    [
        ("draft", "publish", "active"),
        ("active", "publish", "active"),
        ("paused", "publish", "active"),
        ("archived", "publish", None),
        ("draft", "pause", None),
        ("active", "pause", "paused"),
        ("paused", "pause", None),
        ("archived", "pause", None),
        ("draft", "resume", None),
        ("active", "resume", None),
        ("paused", "resume", "active"),
        ("archived", "resume", None),
        ("draft", "archive", "archived"),
        ("active", "archive", "archived"),
        ("paused", "archive", "archived"),
        ("archived", "archive", None),
    ],
)
def test_each_deed_in_each_status(status, deed, after):
    workflow = a_workflow_that_is(status)

    if after is None:
        with pytest.raises(RequestRefused) as refusal:
            DEEDS[deed](workflow_id=workflow.pk, by=BY)
        assert refusal.value.code == "workflow.illegal_transition"
        assert status in refusal.value.message
    else:
        DEEDS[deed](workflow_id=workflow.pk, by=BY)
    assert Workflow.objects.get().status == (after or status)


def test_an_archived_workflow_can_be_neither_edited_nor_given_a_new_address():
    workflow = a_workflow_that_is("archived")

    for deed in (
        lambda: services.update_draft(workflow_id=workflow.pk, changes={"name": "x"}, by=BY),
        lambda: triggers.rotate_token(workflow_id=workflow.pk, by=BY),
    ):
        with pytest.raises(RequestRefused) as refusal:
            deed()
        assert refusal.value.code == "workflow.illegal_transition"


def test_an_unknown_workflow_is_not_found():
    nobody = uuid.uuid4()

    for deed in (
        *(lambda deed=deed: deed(workflow_id=nobody, by=BY) for deed in DEEDS.values()),
        lambda: services.update_draft(workflow_id=nobody, changes={}, by=BY),
        lambda: triggers.rotate_token(workflow_id=nobody, by=BY),
        lambda: triggers.run_by_hand(
            workflow_id=nobody, payload={}, idempotency_key=None, traceparent=None, by=BY
        ),
    ):
        with pytest.raises(RequestRefused) as refusal:
            deed()
        assert refusal.value.code == "request.not_found"


def test_a_status_that_changed_since_it_was_read_is_not_overwritten():
    stale = a_published_workflow()
    services.archive(workflow_id=stale.pk, by=BY)

    with pytest.raises(LostRace):
        services._move(stale, "pause")
    assert Workflow.objects.get().status == WorkflowStatus.ARCHIVED


def test_given_eight_people_who_pause_at_once_then_exactly_one_did_it():
    workflow = a_published_workflow()

    results = race(*[lambda: services.pause(workflow_id=workflow.pk, by=BY)] * 8)

    assert (
        sorted(getattr(result, "code", "done") for result in results)
        == ["done"] + ["workflow.illegal_transition"] * 7
    )


def test_a_hook_that_fails_undoes_the_whole_deed(monkeypatch):
    def refuse(_workflow):
        raise ZeroDivisionError

    monkeypatch.setattr(hooks, "_archived", [refuse])
    workflow = a_published_workflow()

    with pytest.raises(ZeroDivisionError):
        services.archive(workflow_id=workflow.pk, by=BY)
    assert Workflow.objects.get().status == WorkflowStatus.ACTIVE


def test_rotating_the_token_changes_the_address_and_nothing_else():
    workflow = a_published_workflow()
    before = Trigger.objects.get(workflow=workflow)

    rotated = triggers.rotate_token(workflow_id=workflow.pk, by=BY)

    assert rotated.pk == before.pk
    assert triggers.webhook_path(rotated) != triggers.webhook_path(before)
    assert Trigger.objects.get().config == before.config
