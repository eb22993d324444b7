"""`upsert_record`: which record is meant, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Account, Contact, Opportunity
from tests.integration.record_steps.playing import error_of, output_of, upsert

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

ACME = "https://acme.example"


def test_a_contact_is_created_and_then_found_by_its_address_whatever_its_case() -> None:
    made = output_of(
        upsert("contact", {"email": "{{ trigger.email }}"}, title="Countess"),
        payload={"email": "Ada@Example.com"},
    )
    found = output_of(upsert("contact", {"email": "ada@EXAMPLE.COM"}, first_name="Ada"))

    assert (made["created"], found["created"]) == (True, False)
    assert found["id"] == made["id"]
    contact = Contact.objects.get()
    assert (contact.email, contact.title, contact.first_name) == ("Ada@Example.com", "Countess", "Ada")


@pytest.mark.parametrize(
    ("there", "match", "is_found"),
    [
        # by its website, however it is written
        ({"name": "Other", "website": ACME}, {"website": "ACME.example"}, True),
        ({"name": "Other", "website": ACME}, {"website": ACME, "name": "Acme"}, True),
        # by its name, where no website is known
        ({"name": "Acme"}, {"name": "ACME"}, True),
        ({"name": "Acme", "website": ACME}, {"name": "acme"}, True),
        ({"name": "Acme", "website": ACME}, {"name": "acme", "website": None}, True),
        ({"name": "Acme"}, {"website": ACME, "name": "Acme"}, True),
        # companies may share a name, and not a website
        ({"name": "Acme", "website": "https://acme.org"}, {"website": ACME, "name": "Acme"}, False),
        ({"name": "Acme"}, {"website": ACME, "name": "Acme Ltd"}, False),
    ],
)
def test_an_account_is_found_by_its_website_else_by_its_name(
    there: dict[str, Any], match: dict[str, Any], is_found: bool
) -> None:
    one = Account.objects.create(**there)

    output = output_of(upsert("account", match, headcount="7", name=match.get("name") or "New"))

    assert output["created"] is not is_found
    assert (output["id"] == str(one.pk)) is is_found
    assert Account.objects.count() == 2 - is_found


def test_an_account_that_was_found_by_its_name_gets_its_website() -> None:
    one = Account.objects.create(name="Acme")

    output = output_of(upsert("account", {"website": "acme.example", "name": "acme"}))

    assert (output["id"], output["fields"]["website"]) == (str(one.pk), ACME)
    assert output["fields"]["name"] == "Acme"


@pytest.mark.parametrize(
    ("entity", "match"),
    [
        ("opportunity", {"name": "Deal", "stage": "open"}),
        ("opportunity", {"name": "Deal", "amount": "{{ trigger.amount }}"}),
        ("opportunity", {"name": "Deal", "last_interaction_at": "2026-03-01T10:00:00+01:00"}),
        ("task", {"title": "Call", "custom.ticket": "{{ trigger.ticket }}"}),
        ("note", {"title": "Called", "custom.source": "crm"}),
        ("contact", {"last_name": "Lovelace", "do_not_contact": True}),
    ],
)
def test_any_fields_say_which_one_is_meant(entity: str, match: dict[str, Any]) -> None:
    step, payload = upsert(entity, match), {"amount": "12.50", "ticket": 4711}

    made, found = output_of(step, payload=payload), output_of(step, payload=payload)

    assert (made["created"], found["created"], found["id"]) == (True, False, made["id"])


def test_a_reference_says_which_one_is_meant() -> None:
    one, other = Account.objects.create(name="One"), Account.objects.create(name="Other")
    Opportunity.objects.create(name="Deal", account=other)

    made = output_of(upsert("opportunity", {"name": "Deal", "account": str(one.pk)}))

    assert made["created"]
    assert made["fields"]["account"] == str(one.pk)


def test_what_is_looked_for_with_its_case_is_another_record_otherwise() -> None:
    Opportunity.objects.create(name="Deal")

    assert output_of(upsert("opportunity", {"name": "deal"}))["created"]


def test_a_new_record_has_what_was_looked_for_unless_the_fields_say_otherwise() -> None:
    output = output_of(
        upsert(
            "contact",
            {"email": "ada@example.com", "last_name": "Byron", "custom.id": 7},
            last_name="Lovelace",
            custom={"a": 1},
        )
    )

    fields = output["fields"]
    assert (fields["email"], fields["last_name"]) == ("ada@example.com", "Lovelace")
    assert fields["custom"] == {"a": 1, "id": 7}


def test_given_several_that_match_then_none_is_changed() -> None:
    for _ in range(3):
        Account.objects.create(name="Acme")

    error = error_of(upsert("account", {"name": "acme"}, headcount="7"))

    assert error["code"] == "record.ambiguous"
    assert error["metadata"]["pointer"] == "/match"
    assert not Account.objects.exclude(headcount=None).exists()


@pytest.mark.parametrize(
    ("entity", "match", "pointer"),
    [
        ("contact", {"email": "{{ trigger.nothing }}"}, "/match/email"),
        ("contact", {"email": "{{ trigger.empty }}"}, "/match/email"),
        ("account", {"website": "{{ trigger.nothing }}"}, "/match/website"),
        ("account", {"name": "Acme", "headcount": "{{ trigger.nothing }}"}, "/match/headcount"),
        ("task", {"title": "Call", "custom.a~b/c": "{{ trigger.nothing }}"}, "/match/custom.a~0b~1c"),
    ],
)
def test_to_look_for_nothing_is_refused_since_any_record_would_do(
    entity: str, match: dict[str, Any], pointer: str
) -> None:
    Contact.objects.create(last_name="Without an address")
    Account.objects.create(name="Acme")

    error = error_of(upsert(entity, match, **{"custom.x": 1}), payload={"nothing": None, "empty": ""})

    assert error["code"] == "record.invalid"
    assert [problem["pointer"] for problem in error["metadata"]["problems"]] == [pointer]


def test_a_natural_key_that_another_record_has_is_refused_when_it_was_not_looked_for() -> None:
    Contact.objects.create(email="ada@example.com")

    error = error_of(upsert("contact", {"last_name": "Lovelace"}, email="ADA@example.com"))

    assert error["code"] == "record.duplicate"
    assert error["metadata"]["pointer"] == "/fields/email"
    assert Contact.objects.count() == 1


def test_an_address_that_is_looked_for_with_what_its_record_has_not_is_refused_in_the_end() -> None:
    """Each try finds nothing, and the address is taken each time: nobody is creating it just now."""
    Contact.objects.create(email="ada@example.com", last_name="Byron")

    error = error_of(upsert("contact", {"email": "ada@example.com", "last_name": "Lovelace"}))

    assert error["code"] == "record.duplicate"
    assert error["metadata"]["pointer"] == "/match/email"
