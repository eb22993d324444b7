"""Idempotency-Key: the same request twice has one effect and one answer, whatever happens in between."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.db.models.functions import Now

from lightfield.access.models import StoredAnswer
from lightfield.kernel import idempotency_key
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.factories import a_definition, a_published_workflow, a_workflow
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

KEY = {"idempotency_key": "order-1"}
TOLD = "Idempotent-Replayed"


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


def test_the_same_request_again_gets_the_stored_answer(api):
    first = api.post("/workflows", a_definition(), **KEY)
    again = api.post("/workflows", a_definition(), **KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert (first.headers.get(TOLD), again.headers.get(TOLD)) == (None, "true")
    assert Workflow.objects.count() == 1


def test_the_stored_answer_is_what_was_true_then(api):
    path = f"/workflows/{a_published_workflow().pk}"
    paused = api.post(f"{path}/pause", **KEY)
    api.post(f"{path}/resume")

    assert api.post(f"{path}/pause", **KEY).content == paused.content
    assert api.get(path).json()["status"] == "active"


def test_the_answer_is_kept_long_after_the_lease_of_its_making(api):
    first = api.post("/workflows", a_definition(), **KEY)
    StoredAnswer.objects.update(lease_expires_at=Now() - timedelta(days=29))

    assert api.post("/workflows", a_definition(), **KEY).content == first.content
    assert Workflow.objects.count() == 1


def test_a_refusal_is_an_answer_too(api):
    path = f"/workflows/{a_workflow().pk}/pause"

    first, again = api.post(path, **KEY), api.post(path, **KEY)

    assert code_of(first) == code_of(again) == (409, "workflow.illegal_transition")
    assert again.content == first.content
    assert again.headers[TOLD] == "true"


@pytest.mark.parametrize("other", ["body", "path", "query"])
def test_another_request_under_the_key_is_refused(api, other):
    api.post("/workflows", a_definition(), **KEY)

    if other == "body":
        answer = api.post("/workflows", a_definition(name="Other"), **KEY)
    elif other == "path":
        answer = api.post(f"/workflows/{a_published_workflow().pk}/pause", a_definition(), **KEY)
    else:
        answer = api.post("/workflows?x=1", a_definition(), **KEY)

    assert code_of(answer) == (422, "idempotency.key_reused")


def test_keys_of_two_callers_never_meet(api):
    first = api.post("/workflows", a_definition(), **KEY).json()
    second = ApiCaller().post("/workflows", a_definition(name="Theirs"), **KEY).json()

    assert first["id"] != second["id"]
    assert Workflow.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "tab\there", "é", "\x7f"])
def test_a_key_of_another_form_is_refused(api, key):
    for path in ("/workflows", f"/workflows/{a_published_workflow().pk}/run"):
        answer = api.post(path, a_definition(), idempotency_key=key)
        assert code_of(answer) == (400, "idempotency.key_invalid")
    assert not StoredAnswer.objects.exists()


def test_a_key_of_255_characters_works(api):
    longest = "k" * 255

    assert api.post("/workflows", a_definition(), idempotency_key=longest).status_code == 201
    assert api.post("/workflows", a_definition(), idempotency_key=longest).headers[TOLD] == "true"


def test_a_body_that_cannot_be_read_does_not_bind_the_key(api):
    assert code_of(api.post("/workflows", b"{", **KEY)) == (400, "payload.invalid_json")

    assert api.post("/workflows", a_definition(), **KEY).status_code == 201


def test_what_the_caller_may_not_do_does_not_bind_the_key():
    viewer = ApiCaller("viewer")

    assert code_of(viewer.post("/workflows", a_definition(), **KEY)) == (403, "auth.forbidden")
    assert not StoredAnswer.objects.exists()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError("gone"), (503, "engine.database_unavailable")),
        (ZeroDivisionError(), (500, "engine.internal")),
    ],
)
def test_an_answer_above_500_is_not_kept(api, monkeypatch, error, expected):
    def break_down(**_: Any) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(services, "create_workflow", break_down)
        assert code_of(api.post("/workflows", a_definition(), **KEY)) == expected
    assert not StoredAnswer.objects.exists()

    assert api.post("/workflows", a_definition(), **KEY).status_code == 201


def test_given_twenty_at_once_then_one_effect_and_one_answer(api):
    def send() -> Any:
        return api.twin().post("/workflows", a_definition(), **KEY)

    answers = race(*[send] * 20)

    made = [answer for answer in answers if answer.status_code == 201]
    assert Workflow.objects.count() == 1
    assert len([answer for answer in made if TOLD not in answer.headers]) == 1
    assert {answer.content for answer in made} == {made[0].content}
    others = [code_of(answer) for answer in answers if answer.status_code != 201]
    assert set(others) <= {(409, "idempotency.in_flight")}
    assert api.post("/workflows", a_definition(), **KEY).content == made[0].content


def test_given_a_request_in_flight_then_its_twin_is_told_so(api, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    create = services.create_workflow

    def create_slowly(**given: Any) -> Workflow:
        reached.set()
        assert go_on.wait(10)
        return create(**given)

    def first() -> Any:
        return api.twin().post("/workflows", a_definition(), **KEY)

    def twin() -> Any:
        assert reached.wait(10)
        try:
            return api.twin().post("/workflows", a_definition(), **KEY)
        finally:
            go_on.set()

    monkeypatch.setattr(services, "create_workflow", create_slowly)
    made, told = race(first, twin)

    assert made.status_code == 201
    assert code_of(told) == (409, "idempotency.in_flight")
    assert told.headers["Retry-After"] == "1"
    assert Workflow.objects.count() == 1


def test_given_a_crash_when_the_lease_is_over_then_a_repeat_does_the_deed(api):
    path = f"/workflows/{a_published_workflow().pk}/pause"
    api.post(path, **KEY)
    Workflow.objects.update(status="active")

    leave_claim(expired=False)
    assert code_of(api.post(path, **KEY)) == (409, "idempotency.in_flight")

    leave_claim(expired=True)
    assert api.post(path, **KEY).json()["status"] == "paused"
    assert api.post(path, **KEY).headers[TOLD] == "true"


def test_given_a_crash_then_only_the_same_request_takes_over(api):
    api.post("/workflows", a_definition(), **KEY)
    leave_claim(expired=True)

    assert code_of(api.post("/workflows", a_definition(name="Other"), **KEY)) == (
        422,
        "idempotency.key_reused",
    )


def test_given_a_crash_when_twenty_repeat_then_one_takes_over(api):
    api.post("/workflows", a_definition(), **KEY)
    Workflow.objects.update(name="before the crash")
    leave_claim(expired=True)

    answers = race(*[lambda: api.twin().post("/workflows", a_definition(), **KEY)] * 20)

    assert Workflow.objects.exclude(name="before the crash").count() == 1
    assert (
        len([answer for answer in answers if answer.status_code == 201 and TOLD not in answer.headers]) == 1
    )


def test_given_a_request_that_slept_through_its_lease_then_its_deed_is_rolled_back(api, monkeypatch):
    create = services.create_workflow

    def create_too_late(**given: Any) -> Workflow:
        workflow = create(**given)
        race(
            lambda: StoredAnswer.objects.update(lease_expires_at=F("lease_expires_at") + timedelta(seconds=1))
        )
        return workflow

    monkeypatch.setattr(services, "create_workflow", create_too_late)

    assert code_of(api.post("/workflows", a_definition(), **KEY)) == (409, "idempotency.in_flight")
    assert not Workflow.objects.exists()


def test_what_is_kept_does_not_show_a_webhook_token(api):
    made = api.post("/workflows", a_definition(), **KEY).json()

    with connection.cursor() as cursor:
        cursor.execute("SELECT a::text FROM access_storedanswer a")
        (row,) = cursor.fetchone()
    assert made["webhook_url"].removeprefix("/hooks/") not in row
    assert made["id"] not in row


def test_run_keeps_its_key_with_the_event_and_not_here(api):
    path = f"/workflows/{a_published_workflow().pk}/run"

    statuses = [api.post(path, {"a": 1}, **KEY).status_code for _ in range(3)]

    assert statuses == [202, 200, 200]
    assert not StoredAnswer.objects.exists()


def leave_claim(*, expired: bool) -> None:
    """What a crash leaves: deed and answer rolled back together, and the claim that was committed before them."""
    lease = Now() + timedelta(seconds=-1 if expired else 30)
    left = StoredAnswer.objects.filter(key=idempotency_key.stored(KEY["idempotency_key"]))
    assert left.update(status_code=None, body="", lease_expires_at=lease) == 1
