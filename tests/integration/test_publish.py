"""Publishing: what is refused, what a version holds, and that it never changes again."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from lightfield.kernel.errors import RequestRefused
from tests.concurrency import race
from tests.factories import (
    BY,
    LOG_STEP,
    a_definition,
    a_published_workflow,
    a_workflow,
    active_version_of,
)
from triggers import services as triggers
from triggers.models import Trigger
from workflows import hooks, services
from workflows.definitions import checksum
from workflows.models import VersionIsImmutable, Workflow, WorkflowStatus, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)


def publish(workflow: Workflow) -> tuple[WorkflowVersion, bool]:
    return services.publish(workflow_id=workflow.pk, by=BY)


def edit(workflow: Workflow, **changes: object) -> None:
    services.update_draft(workflow_id=workflow.pk, changes=changes, by=BY)


def a_log_step(key: str) -> dict[str, object]:
    return {**LOG_STEP, "key": key}


def test_the_first_publish_makes_version_1_and_activates_the_workflow():
    workflow = a_workflow(
        settings={"concurrency": 3, "timeout_seconds": 60},
        steps=[a_log_step("one"), {**a_log_step("two"), "retry": {"max_attempts": 2}}],
    )

    version, is_new = publish(workflow)

    workflow.refresh_from_db()
    assert is_new
    assert version.number == 1
    assert (workflow.status, workflow.active_version) == (WorkflowStatus.ACTIVE, version)
    stored = WorkflowVersion.objects.get()
    assert stored.definition == workflow.draft
    assert (stored.concurrency, stored.timeout_seconds, stored.published_by) == (3, 60, BY)
    assert stored.plan == [
        {"key": "one", "type": "log", "lane": "fast", "max_attempts": 5},
        {"key": "two", "type": "log", "lane": "fast", "max_attempts": 2},
    ]


def test_the_checksum_of_a_stored_version_can_be_computed_again():
    numbers = {"n": 1e16, "m": 1.0, "k": 2.5e-7, "h": 1e300}
    workflow = a_published_workflow(trigger={"type": "webhook", "config": {"sample": numbers}})

    version = WorkflowVersion.objects.get()

    assert version.checksum == checksum(version.definition)
    assert publish(workflow) == (version, False)


def test_publishing_sets_the_triggers_kind_and_config_and_keeps_its_address():
    workflow = a_workflow(trigger={"type": "manual"})
    address = triggers.webhook_path(Trigger.objects.get())
    publish(workflow)
    assert (Trigger.objects.get().kind, Trigger.objects.get().config) == ("manual", {})

    edit(workflow, trigger={"type": "webhook", "config": {"sample": {"a": 1}}})
    publish(workflow)

    trigger = Trigger.objects.get()
    assert trigger.kind == "webhook"
    assert trigger.config["sample"] == {"a": 1}
    assert triggers.webhook_path(trigger) == address


def test_publishing_an_unchanged_draft_answers_with_the_same_version():
    workflow = a_published_workflow()
    edit(workflow, name="Other")
    edit(workflow, name=workflow.name)

    version, is_new = publish(workflow)

    assert (version, is_new) == (workflow.active_version, False)
    assert WorkflowVersion.objects.count() == 1


def test_publishing_a_changed_draft_makes_the_next_version_and_keeps_the_old_one():
    workflow = a_published_workflow()
    first = active_version_of(workflow)
    edit(workflow, name="Second")

    second, is_new = publish(workflow)

    assert (second.number, is_new) == (2, True)
    kept = WorkflowVersion.objects.get(pk=first.pk)
    assert (kept.definition, kept.checksum) == (first.definition, first.checksum)


def test_going_back_to_an_earlier_definition_is_a_new_version():
    workflow = a_published_workflow()
    edit(workflow, name="Second")
    publish(workflow)
    edit(workflow, name=workflow.name)

    version, is_new = publish(workflow)

    assert (version.number, is_new) == (3, True)
    first = WorkflowVersion.objects.get(number=1)
    assert version.checksum == first.checksum


@pytest.mark.parametrize("is_changed", [True, False])
def test_publishing_a_paused_workflow_activates_it(is_changed):
    workflow = a_published_workflow()
    services.pause(workflow_id=workflow.pk, by=BY)
    if is_changed:
        edit(workflow, name="Second")

    _, is_new = publish(workflow)

    assert is_new == is_changed
    assert Workflow.objects.get().status == WorkflowStatus.ACTIVE


def test_every_problem_of_a_draft_is_told_at_once_and_nothing_is_published():
    workflow = a_workflow(
        trigger={"type": "telepathy"},
        steps=[
            {"key": "say", "type": "log", "config": {"message": "{{ later.x }}"}},
            {"key": "later", "type": "shout", "config": {}},
        ],
    )

    with pytest.raises(RequestRefused) as refusal:
        publish(workflow)

    assert refusal.value.code == "config.invalid_definition"
    assert {(problem.pointer, problem.code) for problem in refusal.value.problems} == {
        ("/trigger/type", "config.unknown_trigger_type"),
        ("/steps/0/config/message", "template.unknown_reference"),
        ("/steps/1/type", "config.unknown_step_type"),
    }
    workflow.refresh_from_db()
    assert (workflow.status, workflow.active_version) == (WorkflowStatus.DRAFT, None)
    assert not WorkflowVersion.objects.exists()


@pytest.mark.parametrize("missing", [{"trigger": None}, {"steps": []}])
def test_an_unfinished_draft_can_be_stored_but_not_published(missing):
    workflow = a_workflow(**missing)

    with pytest.raises(RequestRefused) as refusal:
        publish(workflow)
    assert [problem.pointer for problem in refusal.value.problems] == [f"/{next(iter(missing))}"]


@pytest.mark.parametrize("scheme", ["standard", "stripe", "github"])
def test_a_signature_scheme_without_a_secret_that_verifies_is_refused(scheme):
    workflow = a_workflow(trigger={"type": "webhook", "config": {"signature": {"scheme": scheme}}})

    with pytest.raises(RequestRefused) as refusal:
        publish(workflow)

    problem = refusal.value.problems[0]
    assert (problem.pointer, problem.code) == (
        "/trigger/config/signature/secret",
        "config.missing_secret",
    )
    assert "webhook-secrets" in problem.detail


@pytest.mark.parametrize(
    ("trigger", "pointer"),
    [
        ({"type": "webhook", "config": {"colour": 1}}, "/trigger/config/colour"),
        ({"type": "webhook", "config": {"signature": "none"}}, "/trigger/config/signature"),
        ({"type": "webhook", "config": {"signature": {"scheme": "md5"}}}, "/trigger/config/signature/scheme"),
        ({"type": "manual", "config": {"x": 1}}, "/trigger/config/x"),
    ],
)
def test_a_wrong_trigger_config_is_refused_with_its_pointer(trigger, pointer):
    workflow = a_workflow(trigger=trigger)

    with pytest.raises(RequestRefused) as refusal:
        publish(workflow)
    assert pointer in [problem.pointer for problem in refusal.value.problems]


def test_a_failing_hook_undoes_the_publish(monkeypatch):
    workflow = a_published_workflow()
    edit(workflow, name="Second")

    def refuse(_workflow, _version):
        raise ZeroDivisionError

    monkeypatch.setattr(hooks, "_published", [refuse])

    with pytest.raises(ZeroDivisionError):
        publish(workflow)
    stored = Workflow.objects.get()
    assert stored.active_version == workflow.active_version
    assert WorkflowVersion.objects.count() == 1


def test_given_twelve_publishes_of_one_draft_at_once_then_there_is_one_version():
    workflow = a_workflow()

    results = race(*[lambda: publish(workflow)] * 12)

    assert sorted(is_new for _, is_new in results) == [False] * 11 + [True]
    assert [version.number for version in WorkflowVersion.objects.all()] == [1]


def test_given_edits_and_publishes_at_once_then_numbers_have_no_gap_and_versions_are_whole():
    workflow = a_published_workflow()

    def edit_and_publish(number: int) -> None:
        for step in range(4):
            key = f"s{number}_{step}"
            edit(workflow, name=key, steps=[a_log_step(key)])
            publish(workflow)

    results = race(*(lambda number=number: edit_and_publish(number) for number in range(6)))

    assert results == [None] * 6
    versions = list(WorkflowVersion.objects.order_by("number"))
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    for version in versions[1:]:
        assert version.definition["name"] == version.definition["steps"][0]["key"]
        assert version.checksum == checksum(version.definition)
    stored = Workflow.objects.get()
    assert stored.active_version == versions[-1]
    assert Trigger.objects.get().config == versions[-1].definition["trigger"]["config"]


def test_a_version_cannot_be_saved_or_deleted_again():
    version = active_version_of(a_published_workflow())
    version.definition = a_definition(name="forged")

    with pytest.raises(VersionIsImmutable):
        version.save()
    with pytest.raises(VersionIsImmutable):
        version.delete()
    assert WorkflowVersion.objects.get().definition["name"] == "A workflow"


@pytest.mark.parametrize(
    "forge",
    [
        lambda: WorkflowVersion.objects.update(checksum="0" * 64),
        lambda: WorkflowVersion.objects.all()._raw_delete("default"),
        lambda: connection.cursor().execute("UPDATE workflows_workflowversion SET definition = '{}'"),
        lambda: connection.cursor().execute("DELETE FROM workflows_workflowversion"),
    ],
)
def test_the_database_refuses_to_change_a_version(forge):
    version = active_version_of(a_published_workflow())

    with pytest.raises(DatabaseError, match="never changed"):
        forge()
    stored = WorkflowVersion.objects.get()
    assert (stored.checksum, stored.definition) == (version.checksum, version.definition)
