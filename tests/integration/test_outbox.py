"""The outbox: an event is stored with its cause, once per key, and rings after the commit."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from lightfield.kernel import sql
from lightfield.kernel.ids import uuid7
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from triggers import outbox, outbox_statements, tokens
from triggers.models import OutboxEvent, Trigger
from triggers.outbox import Captured
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "0af7651916cd43dd8448eb211c80319c"


def append(workflow: Workflow, **given: Any) -> Captured:
    with transaction.atomic():
        return outbox.append_event(
            **{
                "trigger": Trigger.objects.get(workflow=workflow),
                "source": "record",
                "payload": {"n": 1},
                "idempotency_key": "k",
                "trace_id": TRACE,
                **given,
            }
        )


def capture(token: str, **given: Any) -> Captured | None:
    body = given.pop("body", '{"n": 1}')
    captured = outbox.capture_webhook(
        **{
            "token_hash": tokens.hash_of(token),
            "event_id": uuid7(),
            "body": body,
            "body_digest": hashlib.sha256(body.encode()).digest(),
            "idempotency_key": "k",
            "trace_id": TRACE,
            **given,
        }
    )
    return captured if isinstance(captured, Captured) else None


def token_of(workflow: Workflow) -> str:
    trigger = Trigger.objects.get(workflow=workflow)
    return tokens.shown(trigger.token_ciphertext, workflow_id=workflow.pk)


def test_an_event_holds_what_its_run_will_need():
    workflow = a_published_workflow()
    cause = uuid7()

    captured = append(workflow, payload={"a": [1, 2.5, None, "ü"]}, depth=2, caused_by=cause)

    event = OutboxEvent.objects.get()
    trigger = Trigger.objects.get()
    assert (event.pk, captured.is_duplicate) == (captured.event_id, False)
    assert event.payload == {"a": [1, 2.5, None, "ü"]}
    assert (event.trigger, event.workflow, event.version) == (trigger, workflow, workflow.active_version)
    assert (event.source, event.idempotency_key, event.trace_id) == ("record", "k", TRACE)
    assert (event.status, event.tries, event.depth, event.caused_by) == ("pending", 0, 2, cause)
    assert event.shard == trigger.shard


def test_without_a_transaction_nothing_is_appended():
    trigger = Trigger.objects.get(workflow=a_published_workflow())

    with pytest.raises(RuntimeError, match="transaction"):
        outbox.append_event(
            trigger=trigger, source="record", payload={}, idempotency_key=None, trace_id=TRACE
        )
    assert not OutboxEvent.objects.exists()


def test_given_a_cause_that_is_rolled_back_then_there_is_no_event_and_no_bell(bellboy):
    workflow = a_published_workflow()

    with transaction.atomic():
        append(workflow)
        transaction.set_rollback(True)

    assert not OutboxEvent.objects.exists()
    assert bellboy.names() == []


def test_the_bell_rings_after_the_commit_and_once_per_event(bellboy):
    workflow = a_published_workflow()

    with transaction.atomic():
        append(workflow)
        append(workflow)
        assert bellboy.names() == []

    assert bellboy.names() == ["dispatch_shard"]
    assert bellboy.rung[0].args == (Trigger.objects.get().shard,)


def test_a_repeated_key_answers_with_the_first_event():
    workflow = a_published_workflow()

    first = append(workflow)
    again = append(workflow)

    assert again == Captured(first.event_id, is_duplicate=True, has_same_body=True)
    assert OutboxEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("payload", "is_same"),
    [
        ({"n": 1}, True),
        ({"n": 1.0}, True),
        ({"n": 2}, False),
        ({"n": 1, "m": None}, False),
        ({"n": "1"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_repeated_key_tells_whether_the_body_is_the_same_json(payload, is_same):
    workflow = a_published_workflow()
    append(workflow, payload={"n": 1})

    again = append(workflow, payload=payload)

    assert (again.is_duplicate, again.has_same_body) == (True, is_same)
    assert OutboxEvent.objects.get().payload == {"n": 1}


def test_without_a_key_every_event_is_its_own():
    workflow = a_published_workflow()

    ids = {append(workflow, idempotency_key=None).event_id for _ in range(3)}

    assert len(ids) == OutboxEvent.objects.count() == 3


def test_keys_of_different_sources_and_workflows_never_meet():
    one, two = a_published_workflow(), a_published_workflow()

    ids = {append(one).event_id, append(two).event_id, append(one, source="manual").event_id}

    assert len(ids) == 3


def test_long_keys_are_kept_as_their_hash_and_nobody_can_write_that_hash_by_hand():
    workflow = a_published_workflow()
    long_key = "k" * 201
    hashed = "sha256:" + hashlib.sha256(long_key.encode()).hexdigest()

    first = append(workflow, idempotency_key=long_key)
    assert OutboxEvent.objects.get().idempotency_key == hashed
    assert append(workflow, idempotency_key=long_key).event_id == first.event_id
    assert append(workflow, idempotency_key=hashed).event_id != first.event_id
    assert append(workflow, idempotency_key="k" * 200).event_id != first.event_id


def test_the_version_is_the_one_that_was_active_at_capture():
    workflow = a_published_workflow()
    append(workflow)
    services.update_draft(workflow_id=workflow.pk, changes={"name": "Second"}, by=BY)
    services.publish(workflow_id=workflow.pk, by=BY)
    append(workflow, idempotency_key="later")

    numbers = OutboxEvent.objects.order_by("id").values_list("version__number", flat=True)
    assert list(numbers) == [1, 2]


def test_a_key_survives_ten_publishes():
    workflow = a_published_workflow()
    token = token_of(workflow)
    first = capture(token)

    for number in range(10):
        services.update_draft(workflow_id=workflow.pk, changes={"name": f"v{number}"}, by=BY)
        services.publish(workflow_id=workflow.pk, by=BY)
        again = capture(token)
        assert first is not None
        assert again == Captured(first.event_id, is_duplicate=True)
    assert OutboxEvent.objects.count() == 1


def test_given_two_at_once_when_the_first_has_not_committed_then_the_second_waits_and_sees_the_winner():
    # Given a first writer whose transaction is open
    workflow = a_published_workflow()
    is_inserted, may_commit = threading.Event(), threading.Event()

    def first() -> Captured:
        with transaction.atomic():
            captured = append(workflow)
            is_inserted.set()
            may_commit.wait(5)
            return captured

    # When a second one brings the same key, and the first commits once PostgreSQL makes the second wait
    def second() -> Captured:
        is_inserted.wait(5)
        return append(workflow)

    def referee() -> None:
        is_inserted.wait(5)
        wait_until_somebody_waits_for_a_lock()
        may_commit.set()

    winner, loser, _ = race(first, second, referee)

    # Then the second one answers with the first one's event
    assert winner == Captured(OutboxEvent.objects.get().pk, is_duplicate=False)
    assert loser == Captured(winner.event_id, is_duplicate=True)


def test_given_two_at_once_when_the_first_rolls_back_then_the_second_becomes_the_winner():
    workflow = a_published_workflow()
    is_inserted, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            append(workflow)
            is_inserted.set()
            may_end.wait(5)
            transaction.set_rollback(True)

    def second() -> Captured:
        is_inserted.wait(5)
        return append(workflow)

    def referee() -> None:
        is_inserted.wait(5)
        wait_until_somebody_waits_for_a_lock()
        may_end.set()

    _, survivor, _ = race(first, second, referee)

    assert survivor == Captured(OutboxEvent.objects.get().pk, is_duplicate=False)


def wait_until_somebody_waits_for_a_lock() -> None:
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute(
                "SELECT pg_sleep(0.01), count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waited")


def test_a_webhook_is_captured_by_its_token(bellboy):
    workflow = a_published_workflow()

    captured = capture(token_of(workflow), body='{"n": 1, "big": 1e300}')

    event = OutboxEvent.objects.get()
    assert captured == Captured(event.pk, is_duplicate=False)
    assert event.payload == {"n": 1, "big": 1e300}
    assert (event.source, event.version) == ("webhook", workflow.active_version)
    assert bellboy.names() == ["dispatch_shard"]


def test_a_webhook_inside_a_transaction_is_refused():
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        capture("token")


def test_the_same_call_again_after_a_lost_answer_is_not_a_duplicate(bellboy):
    token = token_of(a_published_workflow())

    for key in ("k", None):
        event_id = uuid7()
        for _ in range(2):
            assert capture(token, event_id=event_id, idempotency_key=key) == Captured(
                event_id, is_duplicate=False
            )

    assert OutboxEvent.objects.count() == 2
    assert bellboy.names() == ["dispatch_shard"] * 4


def test_given_the_first_event_is_pruned_between_the_two_statements_then_the_caller_is_told_to_try_again(
    monkeypatch,
):
    token = token_of(a_published_workflow())
    capture(token)
    run = sql.row

    def prune_after_the_first(statement: str, params: Any) -> Any:
        row = run(statement, params)
        if statement == outbox_statements.CAPTURE_WEBHOOK:
            OutboxEvent.objects.all().delete()
        return row

    monkeypatch.setattr(sql, "row", prune_after_the_first)

    with pytest.raises(OperationalError):
        capture(token)
    assert not OutboxEvent.objects.exists()


@pytest.mark.parametrize("trigger", [{"type": "manual"}, None])
def test_a_workflow_without_a_webhook_captures_none(trigger):
    workflow = a_published_workflow(trigger=trigger) if trigger else a_published_workflow()
    token = token_of(workflow)
    if trigger is None:
        services.pause(workflow_id=workflow.pk, by=BY)

    assert capture(token) is None
    assert not OutboxEvent.objects.exists()
