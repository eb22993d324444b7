"""Starting a workflow by hand."""

from __future__ import annotations

from typing import Any

import pytest

from lightfield.kernel.errors import RequestRefused
from tests.concurrency import race
from tests.factories import BY, a_published_workflow, a_workflow
from triggers import services as triggers
from triggers.models import OutboxEvent
from triggers.outbox import Captured
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)


def run(
    workflow: Workflow, payload: Any = None, key: str | None = None, header: str | None = None
) -> Captured:
    return triggers.run_by_hand(
        workflow_id=workflow.pk, payload=payload, idempotency_key=key, traceparent=header, by=BY
    )


@pytest.mark.parametrize("payload", [{"a": 1}, [], "text", 0, None, True])
def test_any_json_starts_an_active_workflow(payload, bellboy):
    workflow = a_published_workflow()

    captured = run(workflow, payload)

    event = OutboxEvent.objects.get()
    assert captured == Captured(event.pk, is_duplicate=False)
    assert (event.payload, event.source, event.version) == (payload, "manual", workflow.active_version)
    assert bellboy.names() == ["dispatch_shard"]


@pytest.mark.parametrize("trigger", [{"type": "manual"}, {"type": "webhook"}])
def test_a_workflow_of_any_kind_can_be_started_also_while_it_is_paused(trigger):
    workflow = a_published_workflow(trigger=trigger)
    services.pause(workflow_id=workflow.pk, by=BY)

    assert not run(workflow).is_duplicate


@pytest.mark.parametrize("status", ["draft", "archived", "archived draft"])
def test_a_workflow_that_is_not_published_cannot_be_started(status):
    workflow = a_published_workflow() if status == "archived" else a_workflow()
    if "archived" in status:
        services.archive(workflow_id=workflow.pk, by=BY)

    with pytest.raises(RequestRefused) as refusal:
        run(workflow)
    assert refusal.value.code == "workflow.not_published"
    assert not OutboxEvent.objects.exists()


def test_a_repeated_key_answers_with_the_first_event():
    workflow = a_published_workflow()

    first = run(workflow, {"a": 1, "b": 2}, key="k")

    assert run(workflow, {"b": 2, "a": 1}, key="k") == Captured(first.event_id, is_duplicate=True)


def test_a_key_with_another_payload_is_refused_and_changes_nothing():
    workflow = a_published_workflow()
    run(workflow, {"a": 1}, key="k")

    with pytest.raises(RequestRefused) as refusal:
        run(workflow, {"a": 2}, key="k")

    assert refusal.value.code == "idempotency.key_reused"
    assert OutboxEvent.objects.get().payload == {"a": 1}


@pytest.mark.parametrize("key", ["", "with space", "tab\t", "ü", "k" * 256])
def test_a_key_that_is_not_1_to_255_visible_ascii_characters_is_refused(key):
    with pytest.raises(RequestRefused) as refusal:
        run(a_published_workflow(), key=key)
    assert refusal.value.code == "idempotency.key_invalid"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"a": "\0"}, "payload.nul_character"),
        ({"a": float("nan")}, "payload.not_a_number"),
        ({"a": 2**64}, "payload.number_out_of_range"),
    ],
)
def test_a_payload_that_cannot_be_stored_is_refused(payload, code):
    with pytest.raises(RequestRefused) as refusal:
        run(a_published_workflow(), payload)
    assert refusal.value.code == code


def test_a_valid_traceparent_is_continued_and_anything_else_starts_a_trace():
    workflow = a_published_workflow()
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    run(workflow, header=f"00-{trace_id}-b7ad6b7169203331-01")
    run(workflow, header="nonsense")

    first, second = OutboxEvent.objects.order_by("id").values_list("trace_id", flat=True)
    assert first == trace_id
    assert second != trace_id
    assert len(bytes.fromhex(second)) == 16


def test_given_ten_people_with_one_key_at_once_then_there_is_one_event():
    workflow = a_published_workflow()

    results = race(*[lambda: run(workflow, {"a": 1}, key="k")] * 10)

    assert sorted(result.is_duplicate for result in results) == [False] + [True] * 9
    assert {result.event_id for result in results} == {OutboxEvent.objects.get().pk}
