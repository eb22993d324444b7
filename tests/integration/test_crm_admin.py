"""Records in the admin: found, added, edited and deleted by people, each time through a service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from crm.models import Account, Contact, Meeting, Note, Opportunity, Task
from lightfield.access.models import AuditEntry
from tests.admin_client import a_person
from tests.dom import dom_of, words_of

pytestmark = pytest.mark.django_db

ADD = "/admin/crm/account/add/"


@pytest.fixture
def ada() -> Client:
    return a_person()


def rows_of(answer: Any) -> list[str]:
    """The words of each row of a list."""
    table = dom_of(answer).one("table", id="result_list")
    return [words_of(row) for body in table.children("tbody") for row in body.children("tr")]


def form_of(answer: Any) -> dict[str, str]:
    """What a browser would send back of a page's form, unchanged."""
    page = dom_of(answer)
    sent = {
        field.attributes["name"]: field.attributes.get("value", "")
        for field in page.all("input")
        if field.attributes.get("type") not in ("checkbox", "submit", "search") and "name" in field.attributes
    }
    sent |= {field.attributes["name"]: field.text.lstrip("\n") for field in page.all("textarea")}
    for select in page.all("select"):
        chosen = [option for option in select.children("option") if "selected" in option.attributes]
        sent[select.attributes.get("name", "")] = chosen[0].attributes["value"] if chosen else ""
    return {name: value for name, value in sent.items() if name}


def test_a_form_adds_an_account_and_what_was_left_empty_is_null(ada):
    answer = ada.post(
        ADD,
        {"name": "Acme", "website": "acme.com", "industry": "Robots, Tools", "custom": '{"tier": "gold"}'},
    )

    assert answer.status_code == 302
    account = Account.objects.get()
    assert (account.name, account.website) == ("Acme", "https://acme.com")
    assert (account.industry, account.custom) == (["Robots", "Tools"], {"tier": "gold"})
    empty = ("headcount", "linkedin", "primary_address", "account_status", "owner")
    assert [getattr(account, name) for name in empty] == [None] * len(empty)
    entry = AuditEntry.objects.get(subject=str(account.pk))
    assert (entry.actor, entry.action) == ("ada", "account.created")


def test_a_form_changes_what_was_changed_and_nothing_else(ada):
    account = Account.objects.create(name="Acme", headcount="11-50", custom={"tier": "gold"})
    path = f"/admin/crm/account/{account.pk}/change/"

    answer = ada.post(path, {**form_of(ada.get(path)), "name": "Acme Ltd"})

    assert answer.status_code == 302
    account.refresh_from_db()
    assert (account.name, account.headcount, account.custom) == ("Acme Ltd", "11-50", {"tier": "gold"})
    entry = AuditEntry.objects.get(subject=str(account.pk))
    assert (entry.action, entry.metadata) == ("account.edited", {"fields": ["name"]})


def test_a_form_sent_back_as_it_was_changes_nothing(ada):
    for record in (
        Account.objects.create(
            name="Acme", website="https://acme.com", industry=["a", "b"], primary_address={"city": "Rome"}
        ),
        Meeting.objects.create(
            title="A talk",
            start_date="2026-11-03T09:00:00Z",
            end_date="2026-11-03T10:00:00Z",
            attendee_emails=["a@example.com"],
        ),
        Opportunity.objects.create(name="A deal", amount="12.50"),
    ):
        path = f"/admin/crm/{record._meta.model_name}/{record.pk}/change/"
        assert ada.post(path, form_of(ada.get(path))).status_code == 302, path

    assert not AuditEntry.objects.exists()


def test_an_address_is_typed_part_by_part(ada):
    ada.post(ADD, {"name": "Acme", "custom": "{}", "primary_address_city": "Rome"})
    account = Account.objects.get()
    path = f"/admin/crm/account/{account.pk}/change/"
    assert account.primary_address == {"city": "Rome"}

    ada.post(path, {**form_of(ada.get(path)), "primary_address_latitude": "41.9"})
    account.refresh_from_db()
    assert account.primary_address == {"city": "Rome", "latitude": 41.9}

    ada.post(path, {**form_of(ada.get(path)), "primary_address_city": "", "primary_address_latitude": ""})
    account.refresh_from_db()
    assert account.primary_address is None


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "B", "website": "https://ACME.com"}, "Another account has this website."),
        ({"name": "B", "website": "no address"}, "Enter a valid URL."),
        ({"name": "B", "custom": "[1]"}, "Expected an object."),
        ({"name": "B", "custom": '{"a": NaN}'}, "NaN and infinities are not JSON."),
        ({"name": "B", "primary_address_latitude": "91"}, "less than or equal to 90"),
    ],
)
def test_a_form_says_what_is_wrong(ada, sent, said):
    Account.objects.create(name="A", website="https://acme.com")

    page = dom_of(ada.post(ADD, {"custom": "{}", **sent}))

    assert said in page.text
    assert Account.objects.count() == 1


def test_a_contact_needs_a_name_or_an_address(ada):
    page = dom_of(ada.post("/admin/crm/contact/add/", {"title": "CEO", "custom": "{}"}))

    assert "A contact needs an e-mail address or a name." in page.text


def test_an_emptied_box_of_own_fields_is_an_empty_object(ada):
    account = Account.objects.create(name="Acme", custom={"tier": "gold"})
    path = f"/admin/crm/account/{account.pk}/change/"

    ada.post(path, {**form_of(ada.get(path)), "custom": ""})

    account.refresh_from_db()
    assert account.custom == {}


def test_who_adds_a_note_is_its_author(ada):
    ada.post("/admin/crm/note/add/", {"title": "Called", "custom": "{}"})

    assert Note.objects.get().created_by == User.objects.get(username="ada")


def test_deleting_an_account_keeps_what_referred_to_it(ada):
    account = Account.objects.create(name="Acme")
    note = Note.objects.create(title="Called", account=account)

    answer = ada.post(f"/admin/crm/account/{account.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 302
    assert not Account.objects.exists()
    note.refresh_from_db()
    assert note.account is None
    assert AuditEntry.objects.get().action == "account.deleted"


@pytest.mark.parametrize(
    ("path", "term", "found"),
    [
        ("account", "acm", 1),
        ("account", "acme.com", 1),
        ("contact", "ada love", 1),
        ("contact", "ADA@", 1),
        ("opportunity", "acme", 1),
        ("meeting", "kick", 1),
        ("task", "call", 1),
        ("note", "promised", 1),
        ("note", "nowhere", 0),
    ],
)
def test_lists_are_searched(ada, path, term, found):
    account = Account.objects.create(name="Acme", website="https://acme.com")
    Contact.objects.create(first_name="Ada", last_name="Lovelace", email="ada@example.com")
    Contact.objects.create(first_name="Bob", email="bob@example.com")
    Opportunity.objects.create(name="A deal", account=account)
    Opportunity.objects.create(name="Another")
    Meeting.objects.create(title="Kick-off", start_date=timezone.now(), end_date=timezone.now())
    Task.objects.create(title="Call them")
    Note.objects.create(title="Called", content="They promised.")

    answer = ada.get(f"/admin/crm/{path}/", {"q": term})

    assert answer.context["cl"].result_count == found


def test_a_page_leads_to_what_refers_to_the_record(ada):
    account = Account.objects.create(name="Acme")
    Contact.objects.create(last_name="Lovelace", account=account)
    Contact.objects.create(last_name="Elsewhere")
    page = dom_of(ada.get(f"/admin/crm/account/{account.pk}/change/"))
    (link,) = (e for e in page.all("a", class_="lf-link") if words_of(e) == "Contacts")

    (row,) = rows_of(ada.get(link.attributes["href"]))

    assert "Lovelace" in row


def test_references_are_chosen_by_typing(ada):
    account = Account.objects.create(name="Acme")
    Account.objects.create(name="Other")

    answer = ada.get(
        "/admin/autocomplete/",
        {"app_label": "crm", "model_name": "contact", "field_name": "account", "term": "acm"},
    )

    assert [row["id"] for row in answer.json()["results"]] == [str(account.pk)]


def test_tasks_say_when_they_are_overdue_and_are_listed_by_status(ada):
    yesterday = timezone.now() - timedelta(days=1)
    Task.objects.create(title="Late", due_at=yesterday)
    Task.objects.create(title="Done", due_at=yesterday, status="complete")

    late, done = sorted(rows_of(ada.get("/admin/crm/task/")), key=lambda row: "Late" not in row)

    assert "overdue" in late
    assert "overdue" not in done
    (row,) = rows_of(ada.get("/admin/crm/task/?status=complete"))
    assert "Done" in row


def test_opportunities_are_filtered_by_the_stages_there_are(ada):
    Opportunity.objects.create(name="One", stage="won")
    Opportunity.objects.create(name="Two", stage="lost")

    (row,) = rows_of(ada.get("/admin/crm/opportunity/?stage=won"))

    assert "One" in row


def test_the_history_of_a_record_is_the_audit_trail(ada):
    ada.post(ADD, {"name": "Acme", "custom": "{}"})
    account = Account.objects.get()

    page = ada.get(f"/admin/crm/account/{account.pk}/history/", follow=True)

    assert "account.created" in dom_of(page).text
