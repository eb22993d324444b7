"""/api/v1/crm: create, read, change, list and delete the six kinds of records."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from crm import services
from crm.models import Account, Contact, Meeting, Note, Opportunity, Record, Task
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import LostRace
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race

pytestmark = pytest.mark.django_db

KINDS: dict[str, type[Record]] = {
    "accounts": Account,
    "contacts": Contact,
    "opportunities": Opportunity,
    "meetings": Meeting,
    "tasks": Task,
    "notes": Note,
}
SMALLEST: dict[str, dict[str, Any]] = {
    "accounts": {"name": "Acme"},
    "contacts": {"last_name": "Lovelace"},
    "opportunities": {"name": "A deal"},
    "meetings": {"title": "A talk", "start_date": "2026-11-03T09:00:00Z", "end_date": "2026-11-03T10:00:00Z"},
    "tasks": {"title": "Call"},
    "notes": {"title": "Called"},
}
NINE, TEN = "2026-11-03T09:00:00.000000Z", "2026-11-03T10:00:00.123456Z"


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


def made(api: ApiCaller, kind: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(f"/crm/{kind}", {**SMALLEST[kind], **fields})
    assert answer.status_code == 201, answer.content
    body: dict[str, Any] = answer.json()
    return body


def every_field(api: ApiCaller) -> dict[str, dict[str, Any]]:
    """For each kind a body with every field that may be sent, and a value that is not its default."""
    account, contact, deal, meeting = (
        made(api, kind)["id"] for kind in ("accounts", "contacts", "opportunities", "meetings")
    )
    person = User.objects.create_user("ada").pk
    custom = {"custom": {"tier": "gold", "score": 1.5, "tags": ["a", None]}}
    address = {"street": "1 Main St", "city": "Springfield", "latitude": 44.05, "longitude": -123}
    handles = {name: f"@{name}" for name in ("linkedin", "twitter", "facebook", "instagram")}
    return {
        "accounts": {
            **custom,
            **handles,
            "name": "Acme",
            "website": "https://acme.com",
            "industry": ["Robots", "Tools"],
            "headcount": "11-50",
            "last_funding_type": "Series A",
            "primary_address": address,
            "how_they_make_money": "Anvils.",
            "account_status": "Friendly.",
            "owner": person,
        },
        "contacts": {
            **custom,
            "first_name": "Ada",
            "last_name": "Lovelace",
            "email": "Ada@Example.com",
            "title": "Countess",
            "instagram": "@ada",
            "profile_photo_url": "https://example.com/ada.png",
            "do_not_contact": True,
            "account": account,
        },
        "opportunities": {
            **custom,
            "name": "A deal",
            "stage": "won",
            "pipeline": "Sales",
            "amount": 1234567890123.45,
            "last_interaction_at": NINE,
            "opportunity_status": "Signed.",
            "account": account,
            "owner": person,
            "champion": contact,
            "evaluator": contact,
            "created_by": person,
        },
        "meetings": {
            **custom,
            "title": "A talk",
            "start_date": NINE,
            "end_date": TEN,
            "description": "About it.",
            "meeting_url": "https://meet.example.com/1",
            "organizer_email": "ada@example.com",
            "attendee_emails": ["ada@example.com", "bob@example.com"],
            "privacy_setting": "metadata",
            "transcript": "Hello.",
            "account": account,
            "opportunity": deal,
            "contact": contact,
        },
        "tasks": {
            **custom,
            "title": "Call",
            "status": "in_progress",
            "description": "**Soon**",
            "due_at": TEN,
            "assigned_to": person,
            "account": account,
            "opportunity": deal,
            "created_by": person,
        },
        "notes": {
            **custom,
            "title": "Called",
            "content": "They *agreed*.",
            "account": account,
            "opportunity": deal,
            "contact": contact,
            "meeting": meeting,
            "created_by": person,
        },
    }


SYSTEM = {"id", "created_at", "updated_at"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_comes_back_as_it_was_sent(api, kind):
    body = every_field(api)[kind]

    answer = api.post(f"/crm/{kind}", body)

    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert {name: value for name, value in shown.items() if name not in SYSTEM} == body
    assert uuid.UUID(shown["id"]).version == 7
    assert shown["created_at"].endswith("Z")
    assert api.get(f"/crm/{kind}/{shown['id']}").json() == shown
    assert api.get(f"/crm/{kind}").json()["results"][0] == shown


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_the_api_shows_every_column(api, kind, model):
    assert set(made(api, kind)) == {field.name for field in model._meta.fields}


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_patch_changes_what_is_sent_and_keeps_the_rest(api, kind, model):
    record = made(api, kind, custom={"a": 1})
    path = f"/crm/{kind}/{record['id']}"

    answer = api.patch(path, {"custom": {"b": 2}})

    assert answer.status_code == 200
    changed = answer.json()
    assert changed["updated_at"] > record["updated_at"]
    assert changed == {**record, "custom": {"b": 2}, "updated_at": changed["updated_at"]}
    assert api.get(path).json() == changed


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_of_nothing_changes_nothing(api, kind):
    record = made(api, kind)

    assert api.patch(f"/crm/{kind}/{record['id']}", {}).json() == record


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_a_deleted_record_is_gone(api, kind, model):
    path = f"/crm/{kind}/{made(api, kind)['id']}"

    answer = api.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not model._default_manager.exists()
    for method in ("GET", "PATCH", "DELETE"):
        assert code_of(api.call(method, path, {})) == (404, "request.not_found")


def test_deleting_keeps_what_referred_to_it(api):
    account = made(api, "accounts")["id"]
    others = {kind: made(api, kind, account=account)["id"] for kind in KINDS if kind != "accounts"}

    api.delete(f"/crm/accounts/{account}")

    for kind, other in others.items():
        assert api.get(f"/crm/{kind}/{other}").json()["account"] is None


NOWHERE = str(uuid.uuid4())


@pytest.mark.parametrize(
    ("kind", "body", "problems"),
    [
        ("accounts", {}, {"/name": "missing_field"}),
        ("accounts", {"name": ""}, {"/name": "invalid_value"}),
        ("accounts", {"name": None}, {"/name": "invalid_value"}),
        ("accounts", {"name": "x" * 201}, {"/name": "invalid_value"}),
        ("accounts", {"name": "A", "website": "no address"}, {"/website": "invalid_value"}),
        ("accounts", {"name": "A", "website": "javascript:alert(1)"}, {"/website": "invalid_value"}),
        ("accounts", {"name": "A", "industry": ["Tools", ""]}, {"/industry/1": "invalid_value"}),
        ("accounts", {"name": "A", "industry": "Tools"}, {"/industry": "invalid_value"}),
        ("accounts", {"name": "A", "primary_address": {"planet": 1}}, {"/primary_address": "invalid_value"}),
        ("accounts", {"name": "A", "custom": [1]}, {"/custom": "invalid_value"}),
        ("accounts", {"name": "A", "custom": None}, {"/custom": "invalid_value"}),
        ("accounts", {"name": "A", "owner": 999_999}, {"/owner": "not_found"}),
        (
            "accounts",
            {"id": NOWHERE, "created_at": NINE, "nmae": 1, "a/b~c": 1},
            {
                "/id": "read_only_field",
                "/created_at": "read_only_field",
                "/nmae": "unknown_field",
                "/a~1b~0c": "unknown_field",
                "/name": "missing_field",
            },
        ),
        ("contacts", {}, {"": "invalid_value"}),
        ("contacts", {"title": "CEO"}, {"": "invalid_value"}),
        ("contacts", {"email": "nobody"}, {"/email": "invalid_value"}),
        ("contacts", {"last_name": "L", "account": NOWHERE}, {"/account": "not_found"}),
        ("contacts", {"last_name": "L", "account": "no-uuid"}, {"/account": "invalid_value"}),
        ("contacts", {"last_name": "L", "account": {}}, {"/account": "invalid_value"}),
        ("opportunities", {"name": "D", "amount": "a lot"}, {"/amount": "invalid_value"}),
        ("opportunities", {"name": "D", "amount": 0.001}, {"/amount": "invalid_value"}),
        ("opportunities", {"name": "D", "amount": 1e15}, {"/amount": "invalid_value"}),
        ("meetings", {"title": "T"}, {"/start_date": "missing_field", "/end_date": "missing_field"}),
        (
            "meetings",
            {"title": "T", "start_date": TEN, "end_date": NINE},
            {"/end_date": "invalid_value"},
        ),
        (
            "meetings",
            {"title": "T", "start_date": NINE, "end_date": TEN, "attendee_emails": ["a@example.com", "b"]},
            {"/attendee_emails/1": "invalid_value"},
        ),
        ("tasks", {"title": "T", "status": "done"}, {"/status": "invalid_value"}),
        ("tasks", {"title": "T", "due_at": "tomorrow"}, {"/due_at": "invalid_value"}),
        ("notes", {"title": "T", "content": "x" * 100_001}, {"/content": "invalid_value"}),
        ("notes", [1], {"": "invalid_value"}),
        ("notes", "text", {"": "invalid_value"}),
    ],
)
def test_what_cannot_be_kept_is_refused_at_its_place(api, kind, body, problems):
    answer = api.post(f"/crm/{kind}", body)

    assert code_of(answer) == (422, "record.invalid")
    found = {problem["pointer"]: problem["code"] for problem in answer.json()["errors"]}
    assert found == {pointer: f"record.{code}" for pointer, code in problems.items()}
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


def test_what_is_emptied_is_null(api):
    path = f"/crm/contacts/{made(api, 'contacts', title='CEO', first_name='Ada')['id']}"

    shown = api.patch(path, {"title": "", "first_name": None}).json()

    assert (shown["title"], shown["first_name"]) == (None, None)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("acme.com", "https://acme.com"),
        ("http://acme.com/a?b=c", "http://acme.com/a?b=c"),
        ("", None),
        (None, None),
    ],
)
def test_a_website_may_be_written_as_people_write_it(api, sent, kept):
    assert made(api, "accounts", website=sent)["website"] == kept


def test_an_instant_may_come_in_any_zone_and_is_shown_in_utc(api):
    assert made(api, "tasks", due_at="2026-11-03T10:00:00+01:00")["due_at"] == NINE


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
        *[lambda twin=api.twin(): twin.post("/crm/contacts", {"email": "ada@example.com"}) for _ in range(8)]
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert Contact.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_given_two_who_change_different_fields_at_once_then_both_are_kept():
    api = ApiCaller()
    path = f"/crm/accounts/{made(api, 'accounts')['id']}"
    changes = [{"name": "Acme Ltd"}, {"headcount": "11-50"}, {"stage": 1}, {"custom": {"a": 1}}]

    answers = race(*[lambda twin=api.twin(), body=body: twin.patch(path, body) for body in changes])

    assert [answer.status_code for answer in answers] == [200, 200, 422, 200]
    shown = api.get(path).json()
    assert (shown["name"], shown["headcount"], shown["custom"]) == ("Acme Ltd", "11-50", {"a": 1})


def test_given_a_reference_that_vanished_meanwhile_then_nothing_is_stored():
    with pytest.raises(LostRace):
        services.create_record(record=Contact(last_name="L", account_id=uuid.uuid4()), by="a tester")

    assert not Contact.objects.exists()
    assert not AuditEntry.objects.exists()


def test_the_same_post_again_makes_no_second_record(api):
    first = api.post("/crm/contacts", {"email": "ada@example.com"}, idempotency_key="k")
    again = api.post("/crm/contacts", {"email": "ada@example.com"}, idempotency_key="k")
    other = api.post("/crm/contacts", {"email": "bob@example.com"}, idempotency_key="k")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert code_of(other) == (422, "idempotency.key_reused")
    assert Contact.objects.count() == 1


@pytest.mark.parametrize("kind", ["opportunities", "tasks", "notes"])
def test_the_author_is_the_person_who_asks_unless_another_is_named(api, kind):
    ada, bob = (User.objects.create_superuser(name) for name in ("ada", "bob"))
    browser = Client()
    browser.force_login(ada)

    def post(body: dict[str, Any]) -> Any:
        return browser.post(f"/api/v1/crm/{kind}", body, content_type="application/json").json()

    assert post(SMALLEST[kind])["created_by"] == ada.pk
    assert post({**SMALLEST[kind], "created_by": bob.pk})["created_by"] == bob.pk
    assert made(api, kind)["created_by"] is None  # a key is nobody


@pytest.mark.parametrize(
    ("kind", "name", "value", "asked"),
    [
        ("accounts", "name", "Acme Ltd", "acme ltd"),
        ("accounts", "website", "https://acme.com", "HTTPS://ACME.COM"),
        ("contacts", "email", "ada@example.com", "ADA@example.com"),
        ("opportunities", "stage", "won", "won"),
        ("tasks", "status", "complete", "complete"),
    ],
)
def test_lists_are_filtered_by_a_value(api, kind, name, value, asked):
    made(api, kind)
    wanted = made(api, kind, **{name: value})

    assert api.get(f"/crm/{kind}?{name}={asked}").json()["results"] == [wanted]


@pytest.mark.parametrize(
    ("kind", "name", "of"),
    [
        ("contacts", "account", "accounts"),
        ("opportunities", "account", "accounts"),
        ("meetings", "account", "accounts"),
        ("meetings", "opportunity", "opportunities"),
        ("meetings", "contact", "contacts"),
        ("tasks", "account", "accounts"),
        ("tasks", "opportunity", "opportunities"),
        ("notes", "account", "accounts"),
        ("notes", "opportunity", "opportunities"),
        ("notes", "contact", "contacts"),
        ("notes", "meeting", "meetings"),
    ],
)
def test_lists_are_filtered_by_what_they_refer_to(api, kind, name, of):
    reference = made(api, of)["id"]
    made(api, kind)
    wanted = made(api, kind, **{name: reference})

    assert api.get(f"/crm/{kind}?{name}={reference}").json()["results"] == [wanted]
    assert api.get(f"/crm/{kind}?{name}={NOWHERE}").json()["results"] == []


@pytest.mark.parametrize("query", ["colour=red", "status=done", "account=7", "title=x"])
def test_a_filter_that_is_not_understood_is_refused(api, query):
    assert code_of(api.get(f"/crm/tasks?{query}")) == (400, "request.invalid")


def test_the_trail_says_who_changed_which_fields_and_not_to_what(api):
    contact = made(api, "contacts", email="ada@example.com")
    path = f"/crm/contacts/{contact['id']}"
    api.patch(path, {"title": "secret words", "first_name": "Ada"})
    api.delete(path)

    trail = AuditEntry.objects.filter(subject=contact["id"]).order_by("id")

    assert [entry.action for entry in trail] == ["contact.created", "contact.edited", "contact.deleted"]
    assert [entry.metadata for entry in trail] == [{}, {"fields": ["first_name", "title"]}, {}]
    assert all(entry.actor.startswith("tests (lf_") for entry in trail)
