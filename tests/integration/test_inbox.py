"""Deliveries: one for each request to a known address, whatever became of it, and nothing secret in any."""

from __future__ import annotations

import hashlib
import json
import signal
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory

from executions.verifying import running
from lightfield.kernel.errors import RequestRefused
from lightfield.urls import HookShortcut
from tests.concurrency import race, wait_until_alone, wait_until_blocked
from tests.dying import mortals
from tests.factories import BY, a_published_workflow, a_workflow
from triggers import services as triggers
from triggers import tokens
from triggers.deliveries import arrivals, desk, headers
from triggers.deliveries.desk import Desk
from triggers.deliveries.models import Delivery, DeliveryVerdict, UnmatchedDay
from triggers.deliveries.page import MOST_OF_ONE
from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

answered = HookShortcut(lambda _: HttpResponse(status=599))  # nothing goes on to Django


def address_of(workflow: Workflow) -> str:
    return triggers.webhook_path(Trigger.objects.get(workflow=workflow))


def post(address: str, body: Any = b'{"a":1}', content_type: str = "application/json", **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answered(RequestFactory().generic("POST", address, raw, content_type, headers=headers))


def sound() -> bool:
    return [finding.invariant.name for finding in running.verify() if finding.broken] == []


@pytest.fixture
def workflow() -> Workflow:
    return a_published_workflow()


@pytest.fixture
def hook(workflow: Workflow) -> str:
    return address_of(workflow)


def test_an_accepted_webhook_leaves_one_delivery_with_its_event(workflow, hook, inbox):
    post(hook, b'{"a": 1}', **{"User-Agent": "sender/1"})

    event, delivery = OutboxEvent.objects.get(), Delivery.objects.get()
    assert (delivery.verdict, delivery.answer, delivery.event_id) == ("accepted", 202, event.pk)
    assert (delivery.workflow_id, delivery.trigger_id) == (workflow.pk, event.trigger_id)
    assert bytes(delivery.digest or b"") == hashlib.sha256(b'{"a": 1}').digest()
    assert (delivery.size, delivery.content_type, delivery.address) == (8, "application/json", "127.0.0.1")
    assert delivery.headers["user-agent"] == "sender/1"
    assert (delivery.code, delivery.body, delivery.count, delivery.is_test) == (None, None, 1, False)
    assert inbox.flush()
    assert Delivery.objects.count() == 1
    assert sound()


def refused(workflow: Workflow, verdict: str) -> Workflow:
    if verdict in ("paused", "archived"):
        deed = {"paused": services.pause, "archived": services.archive}[verdict]
        deed(workflow_id=workflow.pk, by=BY)
    elif verdict == "not_published":
        return a_workflow()
    elif verdict == "other_kind":
        return a_published_workflow(trigger={"type": "manual"})
    return workflow


@pytest.mark.parametrize("verdict", ["paused", "archived", "not_published", "other_kind"])
def test_a_webhook_that_nothing_takes_leaves_one_delivery(workflow, verdict, inbox):
    workflow = refused(workflow, verdict)

    assert post(address_of(workflow)).status_code == 404

    assert not Delivery.objects.exists()  # the answer did not wait for it
    inbox.flush()
    delivery = Delivery.objects.get()
    assert (delivery.verdict, delivery.answer, delivery.event_id) == (verdict, 404, None)
    assert (delivery.workflow_id, delivery.size, delivery.body) == (workflow.pk, 7, None)
    assert sound()


def test_repetitions_leave_one_delivery_each_and_a_mismatch_keeps_its_body(hook, inbox):
    for body in ({"a": 1}, {"a": 1}, {"a": 2}):
        post(hook, body, **{"Idempotency-Key": "k-1"})
    inbox.flush()

    event = OutboxEvent.objects.get()
    found = Delivery.objects.order_by("id").values_list("verdict", "answer", "event_id", "code", "body")
    assert list(found) == [
        ("accepted", 202, event.pk, None, None),
        ("duplicate", 200, event.pk, None, None),
        ("body_mismatch", 409, event.pk, "idempotency.body_mismatch", {"a": 2}),
    ]
    assert sound()


def test_of_a_large_mismatch_only_digest_and_size_are_kept(hook, inbox):
    large = {"a": "x" * (16 << 10)}
    for body in ({"a": 1}, large):
        post(hook, body, **{"Idempotency-Key": "k-1"})
    inbox.flush()

    delivery = Delivery.objects.get(verdict="body_mismatch")
    assert (delivery.body, delivery.size) == (None, len(json.dumps(large)))


@pytest.mark.parametrize(
    ("body", "given", "code", "status"),
    [
        (b"{", {}, "payload.invalid_json", 400),
        (b"[" * 33 + b"]" * 33, {}, "payload.too_deep", 400),
        (b"x" * ((1 << 20) + 1), {}, "payload.too_large", 413),
        (b"{}", {"content_type": "text/html"}, "payload.unsupported_type", 415),
        (b"{}", {"Content-Encoding": "gzip"}, "payload.unsupported_encoding", 415),
        (b"{}", {"Idempotency-Key": "with space"}, "idempotency.key_invalid", 400),
    ],
)
def test_a_webhook_that_cannot_be_read_leaves_one_delivery(hook, inbox, jotter, body, given, code, status):
    assert post(hook, body, **given).status_code == status
    inbox.flush()

    delivery = Delivery.objects.get()
    assert (delivery.verdict, delivery.code, delivery.answer) == ("malformed", code, status)
    assert (delivery.event_id, delivery.body, delivery.size) == (None, None, len(body))
    assert [(verdict, detail["code"]) for _, verdict, detail in jotter.told] == [("malformed", code)]
    assert sound()


def an_arrival(hook: str) -> arrivals.Arrival:
    token = hook.removeprefix("/hooks/")
    return arrivals.Arrival(
        token_hash=tokens.hash_of(token), address="192.0.2.1", headers={}, content_type="", size=2
    )


def test_a_bad_signature_leaves_one_delivery_with_the_check_that_failed(hook, inbox):
    desk.note(an_arrival(hook), DeliveryVerdict.BAD_SIGNATURE, detail={"check": "no_matching_signature"})
    inbox.flush()

    delivery = Delivery.objects.get()
    assert (delivery.verdict, delivery.answer, delivery.address) == ("bad_signature", 404, "192.0.2.1")
    assert delivery.detail == {"check": "no_matching_signature"}
    assert sound()


def test_throttled_requests_are_counted_by_the_minute(hook, inbox, jotter):
    token_hash = an_arrival(hook).token_hash
    for round_ in range(3):
        for _ in range(1_000):
            desk.note_throttled(token_hash, f"192.0.2.{round_}")
        inbox.flush()

    found = list(Delivery.objects.values_list("verdict", "answer", "code", "address"))
    assert set(found) <= {("throttled", 429, "webhook.throttled", f"192.0.2.{n}") for n in range(3)}
    assert len(found) <= 2  # a minute may end meanwhile
    assert sum(Delivery.objects.values_list("count", flat=True)) == 3_000
    assert sum(note.count for note in jotter.notes if note.verdict == "throttled") == 3_000
    assert sound()


def test_a_refusal_as_too_many_is_counted_and_any_other_is_told_in_full(hook, inbox):
    arrival = an_arrival(hook)
    desk.note_refusal(arrival, RequestRefused("webhook.throttled", retry_after=1))
    desk.note_refusal(arrival, RequestRefused("payload.too_slow"))
    inbox.flush()

    assert set(Delivery.objects.values_list("verdict", "answer")) == {("throttled", 429), ("malformed", 408)}


def test_what_came_to_nobodys_address_is_counted_for_its_day_and_nothing_of_it_is_stored(inbox):
    paths = [f"/hooks/{'unknown-token-':x<40}{n}" for n in range(3)]
    for path in paths:
        assert post(path).status_code == 404
    assert post(paths[0], b"{").status_code == 400
    desk.note_throttled(tokens.hash_of("nobody's"), "192.0.2.1")
    inbox.flush()
    post(paths[0])
    inbox.flush()

    assert not Delivery.objects.exists()
    assert UnmatchedDay.objects.get().count == 6
    assert "unknown-token" not in everything_stored()
    assert tokens.hash_of(paths[0].removeprefix("/hooks/")) not in everything_stored()


CANARIES = {
    "Authorization": "Bearer canary-authorization",
    "Proxy-Authorization": "Basic canary-proxy",
    "Cookie": "session=canary-cookie",
    "Stripe-Signature": "t=1,v1=canary-stripe",
    "Webhook-Signature": "v1,canary-standard",
    "X-Hub-Signature-256": "sha256=canary-github",
    "X-Api-Key": "canary-key",
    "X-Whatever": "canary-whatever",
    "User-Agent": "agent whsec_canary-agent",
    "X-Request-Id": "sk_live_canary-request",
    "Accept": "Bearer canary-accept",
    "Traceparent": "Bearer canary-trace",
    "Host": "testserver",
}


def test_no_secret_of_a_request_is_found_anywhere(hook, inbox):
    token = hook.removeprefix("/hooks/")
    given = {
        **CANARIES,
        "Referer": f"https://x{hook}",
        "Accept-Language": f"x{token}y",
        "X-Event-Type": hook,
        "X-Correlation-Id": token,
        "X-Request-Id": f"id{token}x",  # of no form by which an address is known
    }
    post(hook, **given)
    post(hook, b"{", content_type=f"text/plain; x={token}", **given)
    post(hook, content_type=f"text/{token}", **given)
    inbox.flush()

    stored = everything_stored()
    assert Delivery.objects.count() == 3
    assert "canary" not in stored
    assert token not in stored
    delivery = Delivery.objects.earliest("pk")
    assert delivery.headers["authorization"] == delivery.headers["referer"] == "[redacted]"
    assert delivery.headers["user-agent"] == "agent [redacted]"


def test_headers_are_bounded():
    many = [(f"X-{n:03}", "v") for n in range(100)]
    assert len(headers.kept(many, token="t")) == headers.MOST + 1
    assert headers.kept(many, token="t")[headers.LEFT_OUT] == "60"
    long = headers.kept([("User-Agent", "a b " * 1_000), ("N-" * 500, "v")], token="own")
    assert {len(value) for value in long.values()} <= {headers.MOST_VALUE, len(headers.REDACTED)}
    assert max(map(len, long)) == headers.MOST_NAME


def test_a_value_that_postgresql_cannot_store_is_stored_without_it(hook, inbox):
    post(hook, **{"User-Agent": "a\x00b\udcff"[:2] + "\x7fc", "X-Event-Type": "\xff\x01"})

    assert Delivery.objects.get().headers["user-agent"] == "a\ufffd\ufffdc"


def everything_stored() -> str:
    """Every row of every table of ours, as text."""
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if "_" in name]
        found = []
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM \"{table}\" t")
            found.append(cursor.fetchone()[0])
    return "\n".join(found)


# What may go wrong.


def test_given_the_database_does_not_take_it_then_the_answer_stands_and_the_delivery_comes_later(
    workflow, hook, inbox
):
    services.pause(workflow_id=workflow.pk, by=BY)
    assert post(hook).status_code == 404
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK triggers_delivery IN ACCESS EXCLUSIVE MODE")

        def write() -> bool:
            with connection.cursor() as other:
                other.execute("SET lock_timeout = 50")
            return desk.flush()

        assert race(write) == [False]

    assert not Delivery.objects.exists()
    assert inbox.flush()
    assert Delivery.objects.get().verdict == "paused"


def test_given_its_delivery_cannot_be_written_then_there_is_no_event_either(hook):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK triggers_delivery IN SHARE MODE")

        def deliver() -> int:
            with connection.cursor() as other:
                other.execute("SET lock_timeout = 50")
            return int(post(hook).status_code)

        assert race(deliver) == [503]

    assert not OutboxEvent.objects.exists()
    assert not Delivery.objects.exists()


def test_given_the_backend_dies_between_event_and_delivery_then_there_is_neither(hook):
    """CP-W2, whose statement nobody of ours can stop inside: a lock does."""

    def end_the_waiting() -> None:
        for _ in range(2):  # the capture is repeated once over a new connection
            wait_until_blocked()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK triggers_delivery IN SHARE MODE")
        status, _ = race(lambda: post(hook).status_code, end_the_waiting)

    assert status == 503
    assert not OutboxEvent.objects.exists()
    assert not Delivery.objects.exists()


def test_a_flood_of_one_address_is_told_in_part_and_counted_whole(hook, inbox):
    for _ in range(5 * MOST_OF_ONE):
        desk.note(an_arrival(hook), DeliveryVerdict.MALFORMED, code="payload.invalid_json", answer=400)
    inbox.flush()

    assert Delivery.objects.filter(minute=None).count() == MOST_OF_ONE
    assert Delivery.objects.exclude(minute=None).get().count == 4 * MOST_OF_ONE
    assert sound()


def test_a_flood_of_repetitions_is_sound_too(hook, inbox):
    for _ in range(MOST_OF_ONE + 20):
        post(hook, **{"Idempotency-Key": "k"})
    inbox.flush()

    counted = Delivery.objects.exclude(minute=None).get()
    assert (counted.verdict, counted.count, counted.event_id) == ("duplicate", 19, None)
    assert sound()


def test_given_many_processes_at_once_then_every_throttled_request_is_counted(hook):
    token_hash = an_arrival(hook).token_hash

    def process() -> None:
        own = Desk(is_threaded=False)
        counter = (None, token_hash, "throttled", "webhook.throttled", 429)
        for _ in range(5):
            for _ in range(20):
                own.count(counter, "192.0.2.1")
            assert own.flush()

    assert race(*[process] * 8) == [None] * 8
    assert sum(Delivery.objects.values_list("count", flat=True)) == 800


def test_a_thread_writes_what_is_noted(hook, inbox):
    threaded = Desk()
    before = desk.use(threaded)
    try:
        desk.note(an_arrival(hook), DeliveryVerdict.PAUSED)
        with connection.cursor() as cursor:
            for _ in range(500):
                if Delivery.objects.exists():
                    break
                cursor.execute("SELECT pg_sleep(0.02)")
    finally:
        desk.use(before)

    assert Delivery.objects.get().verdict == "paused"


@pytest.mark.parametrize(("point", "rows"), [("CP-W1", 0), ("CP-W3", 1)])
def test_given_a_death_then_there_are_event_and_delivery_or_neither(workflow, hook, point, rows):
    with mortals(str(connection.settings_dict["NAME"])) as some:
        ended = some.do("deliver", hook.removeprefix("/hooks/"), point=point)

    assert ended == -signal.SIGKILL
    wait_until_alone()
    assert OutboxEvent.objects.count() == Delivery.objects.count() == rows
    assert sound()
