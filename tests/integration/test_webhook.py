"""POST /hooks/<token>: every answer, and what it leaves in the database."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseBase
from django.test import Client, RequestFactory

from lightfield.kernel import bells, sql
from lightfield.urls import HookShortcut
from tests.concurrency import race
from tests.factories import BY, a_published_workflow, a_workflow
from triggers import outbox
from triggers import services as triggers
from triggers.models import OutboxEvent, Trigger
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

TRACE = "0af7651916cd43dd8448eb211c80319c"


def address_of(workflow: Workflow) -> str:
    return triggers.webhook_path(Trigger.objects.get(workflow=workflow))


def not_a_hook(_request: object) -> HttpResponseBase:
    raise AssertionError("the request went on to Django")


answered = HookShortcut(not_a_hook)


def post(address: str, body: Any = b'{"a":1}', content_type: str = "application/json", **headers: str) -> Any:
    """The answer of the webhook door itself, on this thread's connection."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answered(RequestFactory().post(address, raw, content_type=content_type, headers=headers))


def post_raw(address: str, body: io.BytesIO, **environ: str) -> Any:
    """The same with a body and a WSGI environment of one's own."""
    given = {"REQUEST_METHOD": "POST", "PATH_INFO": address, "CONTENT_TYPE": "application/json"}
    return answered(WSGIRequest({**given, "wsgi.input": body, **environ}))


def told(answer: Any) -> Any:
    return json.loads(answer.content)


@pytest.fixture
def hook() -> str:
    return address_of(a_published_workflow())


def test_a_webhook_is_accepted_and_stored(hook, bellboy):
    answer = post(hook, {"email": "a@b.c"}, Traceparent=f"00-{TRACE}-b7ad6b7169203331-01")

    event = OutboxEvent.objects.get()
    assert answer.status_code == 202
    assert answer.headers["Content-Type"] == "application/json"
    assert told(answer) == {"event_id": str(event.pk), "duplicate": False}
    assert (event.payload, event.trace_id, event.idempotency_key) == ({"email": "a@b.c"}, TRACE, None)
    assert bellboy.names() == ["dispatch_shard"]


def test_without_a_traceparent_a_trace_begins_here(hook):
    post(hook)

    assert len(bytes.fromhex(OutboxEvent.objects.get().trace_id)) == 16


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"[1, 2.5, null]", [1, 2.5, None]),
        (b'"text"', "text"),
        (b" null\n", None),
        (b'{"k": "\\ud83d\\ude00 \xc3\xbc", "n": 1e300}', {"k": "😀 ü", "n": 1e300}),
        (b"-0.0", 0),
        (b"1E+2", 100),
    ],
)
def test_any_strict_json_comes_back_as_it_was_sent(hook, body, payload):
    assert post(hook, body).status_code == 202
    assert OutboxEvent.objects.get().payload == payload


def test_without_a_key_equal_deliveries_are_separate_events(hook):
    ids = {told(post(hook))["event_id"] for _ in range(3)}

    assert len(ids) == OutboxEvent.objects.count() == 3


def test_a_repeated_key_and_body_is_answered_as_a_duplicate(hook, bellboy):
    first = post(hook, **{"Idempotency-Key": "k-1"})

    again = post(hook, **{"Idempotency-Key": "k-1"})

    assert again.status_code == 200
    assert told(again) == {"event_id": told(first)["event_id"], "duplicate": True}
    assert bellboy.names() == ["dispatch_shard"]


def test_a_repeated_key_with_another_body_is_a_conflict_and_the_first_body_stays(hook):
    post(hook, {"a": 1}, **{"Idempotency-Key": "k-1"})

    answer = post(hook, {"a": 2}, **{"Idempotency-Key": "k-1"})

    assert_problem(answer, 409, "idempotency.body_mismatch")
    assert OutboxEvent.objects.get().payload == {"a": 1}


def test_a_repeated_key_with_the_same_json_spelled_differently_is_a_duplicate(hook):
    post(hook, b'{"a": 1, "b": 2}', **{"Idempotency-Key": "k-1"})

    assert post(hook, b'{"b":2,"a":1.0}', **{"Idempotency-Key": "k-1"}).status_code == 200


def test_ids_of_schemes_that_are_not_in_use_are_no_keys(hook):
    for header in ("webhook-id", "X-GitHub-Delivery", "Stripe-Signature"):
        post(hook, **{header: "same"})
        post(hook, **{header: "same"})

    assert OutboxEvent.objects.filter(idempotency_key=None).count() == 6


@pytest.mark.parametrize("key", ["k" * 256, "with space", "\xfc", "\x7f", ""])
def test_an_unusable_key_is_refused(hook, key):
    assert_problem(post(hook, **{"Idempotency-Key": key}), 400, "idempotency.key_invalid")
    assert not OutboxEvent.objects.exists()


def test_a_key_of_255_characters_is_kept_as_its_hash(hook):
    for status in (202, 200):
        assert post(hook, **{"Idempotency-Key": "k" * 255}).status_code == status
    assert str(OutboxEvent.objects.get().idempotency_key).startswith("sha256:")


def test_a_key_survives_publishes_also_while_the_definition_changes():
    workflow = a_published_workflow()
    hook = address_of(workflow)
    first = told(post(hook, **{"Idempotency-Key": "k-1"}))["event_id"]

    for number in range(10):
        services.update_draft(workflow_id=workflow.pk, changes={"name": f"v{number}"}, by=BY)
        services.publish(workflow_id=workflow.pk, by=BY)
        assert address_of(workflow) == hook
        again = post(hook, **{"Idempotency-Key": "k-1"})
        assert told(again) == {"event_id": first, "duplicate": True}
    assert OutboxEvent.objects.count() == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.x+json",
        "text/plain",
        "",
    ],
)
def test_content_types_that_are_read_as_json(hook, content_type):
    assert post(hook, content_type=content_type).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/html",
        "application/xml",
        "json",
        "application/jsonx",
    ],
)
def test_other_content_types_are_refused(hook, content_type):
    assert_problem(post(hook, content_type=content_type), 415, "payload.unsupported_type")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "identity, gzip"])
def test_compressed_bodies_are_refused(hook, encoding):
    assert_problem(post(hook, **{"Content-Encoding": encoding}), 415, "payload.unsupported_encoding")
    assert post(hook, **{"Content-Encoding": "identity"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "payload.invalid_json"),
        (b"  ", "payload.invalid_json"),
        (b"{", "payload.invalid_json"),
        (b"a=1&b=2", "payload.invalid_json"),
        (b'{"a":1}{"a":1}', "payload.invalid_json"),
        (b'{"a":1,"a":2}', "payload.duplicate_key"),
        (b'"\\u0000"', "payload.nul_character"),
        (b'"\\ud800"', "payload.lone_surrogate"),
        (b"1e5000", "payload.number_out_of_range"),
        (b"18446744073709551616", "payload.number_out_of_range"),
        (b"NaN", "payload.not_a_number"),
        (b"-Infinity", "payload.not_a_number"),
        (b"\xff", "payload.not_utf8"),
        (b"[" * 33 + b"]" * 33, "payload.too_deep"),
        (b"[" * 100_000, "payload.too_deep"),
        (b"[" + b"1," * 10_000 + b"1]", "payload.too_many_nodes"),
        (b'{"' + b"k" * 257 + b'":1}', "payload.key_too_long"),
    ],
)
def test_what_is_not_strict_json_is_refused_and_leaves_nothing(hook, body, code):
    assert_problem(post(hook, body), 400, code)
    assert not OutboxEvent.objects.exists()


def test_a_body_of_one_mebibyte_is_accepted_and_one_byte_more_is_not(hook):
    text = json.dumps("x" * ((1 << 20) - 2)).encode()

    assert post(hook, text).status_code == 202
    assert_problem(post(hook, text + b" "), 413, "payload.too_large")
    assert OutboxEvent.objects.count() == 1


class Unread(io.BytesIO):
    """A body that must not be touched."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("the body was read")


def test_a_body_announced_as_far_too_large_is_refused_unread(hook):
    assert_problem(post_raw(hook, Unread(), CONTENT_LENGTH=str(1 << 30)), 413, "payload.too_large")


def test_a_chunked_body_is_read_to_its_end_and_bounded_too(hook):
    def chunked(body: bytes) -> Any:
        return post_raw(hook, io.BytesIO(body), HTTP_TRANSFER_ENCODING="chunked")

    assert chunked(b'{"a": 1}').status_code == 202
    assert OutboxEvent.objects.get().payload == {"a": 1}
    assert_problem(chunked(b" " * ((1 << 20) + 1)), 413, "payload.too_large")
    assert_problem(chunked(b" " * (9 << 20)), 413, "payload.too_large")


def test_a_body_that_ends_early_is_refused(hook):
    assert_problem(post_raw(hook, io.BytesIO(b'{"a":1}'), CONTENT_LENGTH="8"), 400, "payload.incomplete")


class Broken(io.BytesIO):
    """A sender that goes away in the middle."""

    def read(self, *_: Any) -> bytes:
        raise ConnectionResetError


def test_a_body_that_breaks_off_is_refused(hook):
    assert_problem(post_raw(hook, Broken(), CONTENT_LENGTH="8"), 400, "payload.incomplete")


@pytest.mark.parametrize("length", ["-1", "1.0", "x", "\u0661"])
def test_a_length_that_is_no_number_is_refused(hook, length):
    assert_problem(post_raw(hook, Unread(), CONTENT_LENGTH=length), 400, "request.invalid_header")


def test_without_a_length_there_is_no_body(hook):
    assert_problem(post_raw(hook, Unread()), 400, "payload.invalid_json")


def test_every_address_without_an_active_webhook_answers_the_same_bytes(hook):
    draft = address_of(a_workflow())
    manual = address_of(a_published_workflow(trigger={"type": "manual"}))
    paused, archived, rotated = a_published_workflow(), a_published_workflow(), a_published_workflow()
    old_address = address_of(rotated)
    services.pause(workflow_id=paused.pk, by=BY)
    services.archive(workflow_id=archived.pk, by=BY)
    triggers.rotate_token(workflow_id=rotated.pk, by=BY)
    addresses = [
        draft, manual, address_of(paused), address_of(archived), old_address,
        "/hooks/" + "x" * 43, "/hooks/", hook + "/", hook[:-1], "/hooks/%FF", "/hooks/a/b",
    ]  # fmt: skip

    answers = [post(address) for address in addresses]

    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({str(answer.headers) for answer in answers}) == 1
    assert_problem(answers[0], 404, "request.not_found")
    assert not OutboxEvent.objects.exists()
    assert post(address_of(rotated)).status_code == 202


def test_a_paused_workflow_accepts_again_once_it_is_resumed():
    workflow = a_published_workflow()
    services.pause(workflow_id=workflow.pk, by=BY)
    assert post(address_of(workflow)).status_code == 404

    services.resume(workflow_id=workflow.pk, by=BY)
    assert post(address_of(workflow)).status_code == 202


@pytest.mark.parametrize("body", [b"{", b"x" * ((1 << 20) + 1)])
def test_a_bad_body_is_told_the_same_at_known_and_unknown_addresses(hook, body):
    known, unknown = post(hook, body), post("/hooks/unknown", body)

    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert known.status_code in (400, 413)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_refused_the_same_everywhere(hook, method):
    known = answered(RequestFactory().generic(method, hook))
    unknown = answered(RequestFactory().generic(method, "/hooks/unknown"))
    assert isinstance(known, HttpResponse)
    assert isinstance(unknown, HttpResponse)

    assert known.status_code == unknown.status_code == 405
    assert known.headers["Allow"] == "POST, OPTIONS"
    assert known.content == unknown.content
    if method == "HEAD":
        assert known.content == b""
    else:
        assert_problem(known, 405, "request.method_not_allowed")


def test_a_webhook_needs_no_session_cookie_or_csrf_token(hook):
    answer = Client(enforce_csrf_checks=True).post(hook, b"{}", "application/json")

    assert answer.status_code == 202
    assert not answer.cookies
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_webhook_costs_one_statement_and_a_duplicate_two(hook, monkeypatch):
    statements: list[str] = []
    run = sql.rows

    def counted(statement: str, params: Any) -> Any:
        statements.append(statement)
        return run(statement, params)

    def refuse_orm(*_: Any) -> Any:
        raise AssertionError("a statement through the ORM")

    monkeypatch.setattr(sql, "rows", counted)
    with connection.execute_wrapper(refuse_orm):
        post(hook, **{"Idempotency-Key": "k-1"})
        assert len(statements) == 1
        post(hook, **{"Idempotency-Key": "k-1"})
        assert len(statements) == 3


def test_the_address_is_never_logged(hook, caplog, monkeypatch):
    def whole(method: str, body: bytes = b"{}") -> Any:
        return Client().generic(method, hook, body, "application/json")

    with caplog.at_level(logging.DEBUG):
        statuses = [whole("POST").status_code, whole("POST", b"{").status_code, whole("GET").status_code]
        statuses.append(Client().post(hook + "x", b"{}", "application/json").status_code)
        monkeypatch.setattr(outbox, "CAPTURE_WEBHOOK", "SELECT * FROM no_such_table")
        statuses.append(whole("POST").status_code)

    assert statuses == [202, 400, 405, 404, 500]
    assert "webhook_failed" in caplog.text
    token = hook.removeprefix("/hooks/")
    assert not [record for record in caplog.records if token in f"{record.getMessage()} {record.__dict__}"]


def test_an_unforeseen_error_tells_nothing_of_the_inside(hook, monkeypatch):
    monkeypatch.setattr(outbox, "CAPTURE_WEBHOOK", "SELECT * FROM no_such_table")

    answer = post(hook)

    assert_problem(answer, 500, "engine.internal")
    assert b"no_such_table" not in answer.content


def test_given_the_connection_was_cut_then_the_webhook_is_captured_over_a_new_one(hook, bellboy):
    def end_backend(pid: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]
    race(lambda: end_backend(own))

    assert post(hook).status_code == 202
    assert OutboxEvent.objects.count() == 1
    assert bellboy.names() == ["dispatch_shard"]


def test_given_a_lock_that_nobody_lets_go_then_the_sender_is_told_to_come_again(hook):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK triggers_outboxevent IN SHARE MODE")

        def deliver() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = 50")
            return post(hook)

        [answer] = race(deliver)

    assert_problem(answer, 503, "engine.database_unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert post(hook).status_code == 202


def test_given_redis_is_down_then_webhooks_are_accepted_without_delay(hook, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    ringer = bells.Ringer()
    before = bells.use(ringer)
    try:
        statuses = [post(hook).status_code for _ in range(20)]
    finally:
        bells.use(before)
        ringer.flush(5)

    assert statuses == [202] * 20
    assert OutboxEvent.objects.filter(status="pending").count() == 20


def test_given_a_hundred_identical_webhooks_at_once_in_fifty_rounds_then_each_round_is_one_event(hook):
    # Twenty connections, as many as a small installation has, each with five of the hundred
    rounds, connections = 50, 20
    start = threading.Barrier(connections)

    def deliver() -> list[tuple[int, int, str]]:
        answers = []
        for number in range(rounds):
            start.wait(10)
            for _ in range(100 // connections):
                answer = post(hook, **{"Idempotency-Key": f"round-{number}"})
                answers.append((number, answer.status_code, told(answer)["event_id"]))
        return answers

    answers = [answer for worker in race(*[deliver] * connections) for answer in worker]

    for number in range(rounds):
        event_id = OutboxEvent.objects.get(idempotency_key=f"round-{number}").pk
        of_round = [(status, told_id) for answered_in, status, told_id in answers if answered_in == number]
        assert sorted(of_round) == [(200, str(event_id))] * 99 + [(202, str(event_id))]
    assert OutboxEvent.objects.count() == rounds


def test_given_two_bodies_under_one_key_at_once_then_one_wins_and_the_others_are_told(hook):
    bodies = [{"n": number % 2} for number in range(8)]

    answers = race(*(lambda body=body: post(hook, body, **{"Idempotency-Key": "k"}) for body in bodies))

    winner = OutboxEvent.objects.get().payload
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.status_code in ((200, 202) if body == winner else (409,))
    assert [answer.status_code for answer in answers].count(202) == 1


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = told(answer)
    assert set(document) == {"type", "title", "status", "detail", "code", "errors"}
    assert (document["type"], document["status"], document["code"]) == (f"/errors/{code}", status, code)
    assert document["title"]
    assert document["detail"]
