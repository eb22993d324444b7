"""/api/v1/crm: create, read, change, list and delete the six kinds of records."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.forms import modelform_factory
from django.test import Client

from crm.models import Contact
from lightfield.access.models import AuditEntry
from tests.api_client import ApiCaller, code_of
from tests.records import KINDS, NINE, NOWHERE, SMALLEST, TEN, made

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


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


def test_the_trail_says_who_changed_which_fields_and_not_to_what(api):
    contact = made(api, "contacts", email="ada@example.com")
    path = f"/crm/contacts/{contact['id']}"
    api.patch(path, {"title": "secret words", "first_name": "Ada"})
    api.delete(path)

    trail = AuditEntry.objects.filter(subject=contact["id"]).order_by("id")

    assert [entry.action for entry in trail] == ["contact.created", "contact.edited", "contact.deleted"]
    assert [entry.metadata for entry in trail] == [{}, {"fields": ["first_name", "title"]}, {}]
    assert all(entry.actor.startswith("tests (lf_") for entry in trail)


def test_an_address_in_a_domain_of_one_letter_is_one_everywhere(api):
    contact = made(api, "contacts", email="a@b.c")
    assert made(api, "meetings", title="T", start_date=NINE, end_date=TEN, attendee_emails=["a@b.c"])
    assert api.patch(f"/crm/contacts/{contact['id']}", {"email": "c@d.e"}).status_code == 200
    assert modelform_factory(Contact, fields=["email"])({"email": "f@g.h"}).is_valid()
