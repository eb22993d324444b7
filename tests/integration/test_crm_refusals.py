"""/api/v1/crm: what is refused, with which code and at which place; natural keys; two who write at once."""

from __future__ import annotations

import uuid
from functools import partial

import pytest

from crm import services
from crm.models import Contact
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import LostRace
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.records import KINDS, NINE, NOWHERE, SMALLEST, TEN, made

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


@pytest.mark.parametrize(
    ("kind", "body", "problems"),
    [
        ("accounts", {}, {"/name": "record.missing_field"}),
        ("accounts", {"name": ""}, {"/name": "record.invalid_value"}),
        ("accounts", {"name": None}, {"/name": "record.invalid_value"}),
        ("accounts", {"name": "x" * 201}, {"/name": "record.invalid_value"}),
        ("accounts", {"name": "A", "website": "no address"}, {"/website": "record.invalid_value"}),
        ("accounts", {"name": "A", "website": "javascript:alert(1)"}, {"/website": "record.invalid_value"}),
        ("accounts", {"name": "A", "industry": ["Tools", ""]}, {"/industry/1": "record.invalid_value"}),
        ("accounts", {"name": "A", "industry": "Tools"}, {"/industry": "record.invalid_value"}),
        (
            "accounts",
            {"name": "A", "primary_address": {"planet": 1}},
            {"/primary_address": "record.invalid_value"},
        ),
        ("accounts", {"name": "A", "custom": [1]}, {"/custom": "record.invalid_value"}),
        ("accounts", {"name": "A", "custom": None}, {"/custom": "record.invalid_value"}),
        ("accounts", {"name": "A", "owner": 999_999}, {"/owner": "record.not_found"}),
        (
            "accounts",
            {"id": NOWHERE, "created_at": NINE, "nmae": 1, "a/b~c": 1},
            {
                "/id": "record.read_only_field",
                "/created_at": "record.read_only_field",
                "/nmae": "record.unknown_field",
                "/a~1b~0c": "record.unknown_field",
                "/name": "record.missing_field",
            },
        ),
        ("contacts", {}, {"": "record.invalid_value"}),
        ("contacts", {"title": "CEO"}, {"": "record.invalid_value"}),
        ("contacts", {"email": "nobody"}, {"/email": "record.invalid_value"}),
        ("contacts", {"last_name": "L", "account": NOWHERE}, {"/account": "record.not_found"}),
        ("contacts", {"last_name": "L", "account": "no-uuid"}, {"/account": "record.invalid_value"}),
        ("contacts", {"last_name": "L", "account": {}}, {"/account": "record.invalid_value"}),
        ("opportunities", {"name": "D", "amount": "a lot"}, {"/amount": "record.invalid_value"}),
        ("opportunities", {"name": "D", "amount": 0.001}, {"/amount": "record.invalid_value"}),
        ("opportunities", {"name": "D", "amount": 1e15}, {"/amount": "record.invalid_value"}),
        (
            "meetings",
            {"title": "T"},
            {"/start_date": "record.missing_field", "/end_date": "record.missing_field"},
        ),
        (
            "meetings",
            {"title": "T", "start_date": TEN, "end_date": NINE},
            {"/end_date": "record.invalid_value"},
        ),
        (
            "meetings",
            {"title": "T", "start_date": NINE, "end_date": TEN, "attendee_emails": ["a@example.com", "b"]},
            {"/attendee_emails/1": "record.invalid_value"},
        ),
        ("tasks", {"title": "T", "status": "done"}, {"/status": "record.invalid_value"}),
        ("tasks", {"title": "T", "due_at": "tomorrow"}, {"/due_at": "record.invalid_value"}),
        ("notes", {"title": "T", "content": "x" * 100_001}, {"/content": "record.invalid_value"}),
        ("notes", [1], {"": "record.invalid_value"}),
        ("notes", "text", {"": "record.invalid_value"}),
    ],
)
def test_what_cannot_be_kept_is_refused_at_its_place(api, kind, body, problems):
    answer = api.post(f"/crm/{kind}", body)

    assert code_of(answer) == (422, "record.invalid")
    found = {problem["pointer"]: problem["code"] for problem in answer.json()["errors"]}
    assert found == problems
    assert not KINDS[kind]._default_manager.exists()


def test_a_patch_is_judged_like_a_new_record(api):
    contact = made(api, "contacts", email="ada@example.com")
    path = f"/crm/contacts/{contact['id']}"

    for changes, pointer in (
        ({"email": None, "last_name": None}, ""),
        ({"email": "nobody"}, "/email"),
        ({"id": NOWHERE}, "/id"),
    ):
        answer = api.patch(path, changes)
        assert code_of(answer) == (422, "record.invalid")
        assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]

    assert api.get(path).json() == contact


@pytest.mark.parametrize(
    ("kind", "key", "twin"),
    [
        ("contacts", {"email": "ada@example.com"}, {"email": "ADA@Example.com"}),
        ("accounts", {"website": "https://acme.com"}, {"website": "ACME.com"}),
    ],
)
def test_a_natural_key_is_taken_once(api, kind, key, twin):
    (pointer,) = (f"/{name}" for name in key)
    first, other = made(api, kind, **key), made(api, kind)

    for answer in (
        api.post(f"/crm/{kind}", {**SMALLEST[kind], **twin}),
        api.patch(f"/crm/{kind}/{other['id']}", twin),
    ):
        assert code_of(answer) == (409, "record.duplicate")
        assert [problem["pointer"] for problem in answer.json()["errors"]] == [pointer]

    assert api.patch(f"/crm/{kind}/{first['id']}", twin).status_code == 200  # its own


@pytest.mark.django_db(transaction=True)
def test_given_eight_at_once_with_one_address_then_one_of_them_makes_the_contact():
    api = ApiCaller()

    answers = race(
        *[partial(api.twin().post, "/crm/contacts", {"email": "ada@example.com"}) for _ in range(8)]
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert Contact.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_given_two_who_change_different_fields_at_once_then_both_are_kept():
    api = ApiCaller()
    path = f"/crm/accounts/{made(api, 'accounts')['id']}"
    changes = [{"name": "Acme Ltd"}, {"headcount": "11-50"}, {"stage": 1}, {"custom": {"a": 1}}]

    answers = race(*[partial(api.twin().patch, path, body) for body in changes])

    assert [answer.status_code for answer in answers] == [200, 200, 422, 200]
    shown = api.get(path).json()
    assert (shown["name"], shown["headcount"], shown["custom"]) == ("Acme Ltd", "11-50", {"a": 1})


def test_given_a_reference_that_vanished_meanwhile_then_nothing_is_stored():
    with pytest.raises(LostRace):
        services.create_record(record=Contact(last_name="L", account_id=uuid.uuid4()), by="a tester")

    assert not Contact.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("query", ["colour=red", "status=done", "account=7", "title=x"])
def test_a_filter_that_is_not_understood_is_refused(api, query):
    assert code_of(api.get(f"/crm/tasks?{query}")) == (400, "request.invalid")
