"""`read_records` and `write_records`: what they do as the record steps do it, what is told, and what nobody can find out by them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction

from crm.models import Account, Contact, Meeting, Note, Opportunity, Task
from crm.tools import read_records
from lightfield.access.models import AuditEntry
from lightfield.kernel.errors import PermanentStepError
from tests.concurrency import race
from tests.records import NINE, TEN
from tests.tool_calls import TRACE, a_context, call, granted, reads, teller, writes

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = str(uuid.uuid4())


def denied(told: Any) -> bool:
    return bool(told.get("error") == "ai.permission_denied")


# --- reading ------------------------------------------------------------------------------------------


def test_an_agent_finds_and_reads_the_records_that_it_may():
    ada = Contact.objects.create(first_name="Ada", email="ada@example.com")
    Contact.objects.create(first_name="Bob")
    tell = teller(reads("contact"))

    found = tell(
        "find_records",
        {"entity": "contact", "filters": [{"field": "email", "operator": "is", "value": "ADA@example.com"}]},
    )

    assert [record["id"] for record in found["records"]] == [str(ada.pk)]
    assert found["count"] == 1
    assert "cut" not in found
    assert tell("get_record", {"entity": "contact", "id": str(ada.pk)}) == found["records"][0]
    assert found["records"][0]["fields"]["first_name"] == "Ada"


@pytest.mark.parametrize("tool", ["find_records", "get_record"])
@pytest.mark.parametrize("entity", ["note", "user", "Contact", "contact ", None, ["contact"], {}])
def test_another_entity_is_refused_in_the_same_words_whether_or_not_there_is_one(tool: str, entity: Any):
    note = Note.objects.create(title="canary")
    told = teller(reads("contact"))(tool, {"entity": entity, "id": str(note.pk)})
    assert denied(told)
    assert told["message"].endswith("This step may read: contact.")
    assert "canary" not in json.dumps(told)


@pytest.mark.parametrize("record_id", [NOWHERE, "", "x", 5, None, [], "other entity"])
def test_an_id_that_is_none_or_of_another_entity_is_not_found(record_id: Any):
    note = Note.objects.create(title="canary")
    wanted = str(note.pk) if record_id == "other entity" else record_id
    told = teller(reads("contact"))("get_record", {"entity": "contact", "id": wanted})
    assert (told["error"], told["message"]) == ("record.not_found", "/id: There is no contact with this id.")


def test_what_is_wrong_with_a_search_is_told_with_its_place():
    told = teller(reads("contact"))(
        "find_records",
        {"entity": "contact", "filters": [{"field": "emial", "operator": "is", "value": 1}], "limit": 5},
    )
    assert told["error"] == "record.invalid"
    assert told["metadata"]["pointer"] == "/filters/0/field"
    assert "email" in told["message"]
    assert (
        teller(reads("contact"))("find_records", {"entity": "contact", "limit": 1000})["error"]
        == "config.invalid"
    )


def test_many_records_are_told_with_the_beginnings_of_their_texts_and_one_with_more():
    notes = [Note.objects.create(title=f"Note {number}", content="word " * 4000) for number in range(30)]
    tell = teller(reads("note"))

    found = tell("find_records", {"entity": "note", "limit": 30})
    one = tell("get_record", {"entity": "note", "id": str(notes[0].pk)})

    assert len(json.dumps(found)) <= 34_000
    assert found["count"] == len(found["records"]) < 30
    assert "Long texts were cut" in found["cut"]
    assert f"{30 - found['count']} more records were left off" in found["cut"]
    assert all(record["fields"]["title"] for record in found["records"])
    assert len(one["fields"]["content"]) == 20_000
    assert "cut" not in one


def test_a_permission_says_how_much_one_call_tells():
    note = Note.objects.create(title="Long", content="x" * 45_000)
    arguments = {"entity": "note", "id": str(note.pk)}

    short = teller(reads("note", max_bytes=2048))("get_record", arguments)
    whole = teller(reads("note", max_bytes=57_344))("get_record", arguments)

    assert len(json.dumps(short)) <= 2048
    assert short["cut"] == "Long texts were cut."
    assert len(whole["fields"]["content"]) == 45_000


def test_a_search_that_takes_too_long_is_told_and_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    def slow(_config: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', '20ms', false)")
            try:
                cursor.execute("SELECT pg_sleep(5)")
            finally:
                connection.close()

    monkeypatch.setattr(read_records, "find", slow)
    told = teller(reads("contact"))("find_records", {"entity": "contact"})
    assert told["error"] == "step.timeout"
    assert "filter by fewer fields" in told["message"]


# --- writing ------------------------------------------------------------------------------------------


def test_a_write_is_the_steps_own_and_the_trail_names_run_step_and_tool():
    tell = teller(writes("account contact", "create update upsert"), reads("account", "contact"))

    account = tell(
        "create_record", {"entity": "account", "fields": {"name": "Acme", "website": "acme.example"}}
    )
    contact = tell(
        "upsert_record",
        {"entity": "contact", "match": {"email": "ada@example.com"}, "fields": {"account": account["id"]}},
    )
    updated = tell(
        "update_record", {"entity": "contact", "id": contact["id"], "fields": {"custom.plan": "pro"}}
    )

    assert account["fields"]["website"] == "https://acme.example"
    assert [one["created"] for one in (account, contact, updated)] == [True, True, False]
    ada = Contact.objects.get()
    assert (str(ada.pk), ada.account_id, ada.custom) == (
        contact["id"],
        uuid.UUID(account["id"]),
        {"plan": "pro"},
    )
    entries = AuditEntry.objects.order_by("pk")
    assert [(entry.action, entry.metadata["tool"]) for entry in entries] == [
        ("account.created", "create_record"),
        ("contact.created", "upsert_record"),
        ("contact.edited", "update_record"),
    ]
    context = a_context()
    assert {entry.actor for entry in entries} == {f"run {context.run_id}"}
    assert entries[0].metadata == {
        "step": "agent",
        "trace_id": TRACE,
        "tool": "create_record",
        "call": context.key,
    }


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("create_record", {"entity": "account", "fields": {"name": "Injected"}}),
        ("update_record", {"entity": "contact", "id": "the contact", "fields": {"last_name": "Injected"}}),
        ("upsert_record", {"entity": "note", "match": {"title": "Injected"}}),
        ("create_record", {"entity": "user", "fields": {"username": "Injected"}}),
        ("create_record", {"entity": None, "fields": {}}),
        ("update_record", {"entity": "Account", "id": NOWHERE, "fields": {}}),
    ],
)
def test_an_operation_is_permitted_by_the_grant_that_names_the_entity_too(
    tool: str, arguments: dict[str, Any]
):
    contact = Contact.objects.create(last_name="Lovelace")
    tell = teller(writes("contact", "create upsert"), writes("account", "update"), writes("task", "upsert"))
    if arguments.get("id") == "the contact":
        arguments = {**arguments, "id": str(contact.pk)}

    assert denied(tell(tool, arguments))

    assert not Account.objects.exists()
    assert not Note.objects.exists()
    assert Contact.objects.get().last_name == "Lovelace"


def test_of_a_record_that_may_not_be_read_only_a_receipt_comes_back():
    contact = Contact.objects.create(email="ada@example.com", title="canary")
    tell = teller(writes("contact note", "create update upsert"), reads("note"))
    receipt = {"id": str(contact.pk), "type": "contact", "created": False}

    assert (
        tell("update_record", {"entity": "contact", "id": str(contact.pk), "fields": {"last_name": "L"}})
        == receipt
    )
    assert tell("update_record", {"entity": "contact", "id": str(contact.pk), "fields": {}}) == receipt
    assert tell("upsert_record", {"entity": "contact", "match": {"email": "ADA@example.com"}}) == receipt
    made = tell("create_record", {"entity": "contact", "fields": {"email": "bob@example.com"}})
    assert made == {"id": made["id"], "type": "contact", "created": True}
    assert "fields" in tell("create_record", {"entity": "note", "fields": {"title": "Read"}})


@pytest.mark.parametrize(
    "match",
    [
        {"title": "CEO"},
        {"custom.plan": "pro"},
        {"email": "ada@example.com", "title": "CEO"},
        {"email": "ada@example.com", "custom.plan": "pro"},
        {"do_not_contact": True},
    ],
)
def test_an_upsert_does_not_tell_which_record_has_a_field_that_may_not_be_read(match: dict[str, Any]):
    Contact.objects.create(email="ada@example.com", title="CEO", custom={"plan": "pro"})
    asked = {"entity": "contact", "match": match}

    blind = teller(writes("contact", "upsert"))("upsert_record", asked)

    assert denied(blind)
    assert blind["message"].endswith("This step may not read contact, so one is meant by email only.")
    assert Contact.objects.count() == 1
    assert not denied(teller(writes("contact", "upsert"), reads("contact"))("upsert_record", asked))


def test_records_without_a_natural_key_are_meant_by_their_names_where_they_may_not_be_read():
    Opportunity.objects.create(name="Acme: 10 seats", stage="won")
    tell = teller(writes("opportunity", "upsert"))

    again = tell("upsert_record", {"entity": "opportunity", "match": {"name": "Acme: 10 seats"}})
    by_stage = tell("upsert_record", {"entity": "opportunity", "match": {"stage": "won"}})

    assert again["created"] is False
    assert denied(by_stage)


@pytest.mark.parametrize("name", ["account", "opportunity", "meeting", "contact"])
def test_a_reference_leads_only_to_what_the_step_may_use(name: str):
    there = {
        "account": Account.objects.create(name="canary"),
        "opportunity": Opportunity.objects.create(name="canary"),
        "meeting": Meeting.objects.create(title="canary", start_date=NINE, end_date=TEN),
        "contact": Contact.objects.create(last_name="canary"),
    }
    told = [
        teller(writes("note", "create"))(
            "create_record", {"entity": "note", "fields": {"title": "x", name: record_id}}
        )
        for record_id in (str(there[name].pk), NOWHERE, "no id")
    ]

    assert all(map(denied, told))
    assert told[0] == told[1] == told[2]
    assert not Note.objects.exists()
    linked = teller(writes(f"note {name}", "create"))(
        "create_record", {"entity": "note", "fields": {"title": "x", name: str(there[name].pk)}}
    )
    assert linked["created"]
    cleared = teller(writes("note", "update"))(
        "update_record", {"entity": "note", "id": linked["id"], "fields": {name: None}}
    )
    assert cleared["created"] is False
    assert getattr(Note.objects.get(), name) is None


def test_whether_there_is_a_person_is_not_told_by_assigning_a_task():
    people = get_user_model().objects
    known, hidden = people.create_user("known"), people.create_user("hidden")
    Account.objects.create(name="Acme", owner=known)
    Task.objects.create(title="Secret", assigned_to=hidden)
    tell = teller(writes("task", "create"), reads("account"))

    def assign(person: Any) -> Any:
        return tell("create_record", {"entity": "task", "fields": {"title": "Call", "assigned_to": person}})

    assert assign(known.pk)["created"]
    assert assign(hidden.pk) == assign(hidden.pk + 1000) == assign(2**62)
    assert assign(hidden.pk)["error"] == "record.invalid"
    assert assign(hidden.pk)["metadata"]["problems"][0]["pointer"] == "/fields/assigned_to"
    assert assign("nobody")["error"] == "record.invalid"
    assert assign(None)["created"]
    assert set(Task.objects.exclude(title="Secret").values_list("assigned_to", flat=True)) == {known.pk, None}


@pytest.mark.parametrize("author", ["the author", None, "admin"])
def test_nobody_is_named_as_the_author(author: Any):
    person = get_user_model().objects.create_user("person")
    Note.objects.create(title="Old", created_by=person)
    value = person.pk if author == "the author" else author
    tell = teller(writes("note", "create"), reads("note"))

    assert denied(tell("create_record", {"entity": "note", "fields": {"title": "x", "created_by": value}}))
    assert Note.objects.count() == 1


@pytest.mark.parametrize("start", [NINE, "2099-01-01T00:00:00Z"])
def test_whether_a_date_is_accepted_does_not_tell_the_other_one(start: str):
    meeting = Meeting.objects.create(title="A talk", start_date=NINE, end_date=TEN)
    tell = teller(writes("meeting", "update upsert"))

    told = tell(
        "update_record", {"entity": "meeting", "id": str(meeting.pk), "fields": {"start_date": start}}
    )
    upserted = tell(
        "upsert_record", {"entity": "meeting", "match": {"title": "A talk"}, "fields": {"start_date": start}}
    )

    assert told["error"] == upserted["error"] == "record.invalid"
    assert told["metadata"]["problems"][0]["pointer"] == "/fields/end_date"
    both = {"start_date": start, "end_date": "2099-01-02T00:00:00Z"}
    assert "error" not in tell("update_record", {"entity": "meeting", "id": str(meeting.pk), "fields": both})


@pytest.mark.parametrize("empty", [None, "", "  "])
@pytest.mark.parametrize("first_name", ["Ada", None])
def test_whether_a_field_may_be_cleared_does_not_tell_whether_others_are_set(
    empty: Any, first_name: str | None
):
    contact = Contact.objects.create(email="ada@example.com", first_name=first_name)
    tell = teller(writes("contact", "update"))

    told = tell("update_record", {"entity": "contact", "id": str(contact.pk), "fields": {"email": empty}})

    assert told["error"] == "record.invalid"
    assert told["metadata"]["problems"][0]["code"] == "record.missing_field"
    renamed = {"email": empty, "last_name": "Lovelace"}
    assert "error" not in tell(
        "update_record", {"entity": "contact", "id": str(contact.pk), "fields": renamed}
    )


def test_a_refusal_quotes_nothing_that_is_stored_and_may_not_be_read():
    contact = Contact.objects.create(last_name="L", custom={"canary": "x" * 60_000})
    asked = {"entity": "contact", "id": str(contact.pk), "fields": {"custom.more": "y" * 10_000}}

    blind = teller(writes("contact", "update"))("update_record", asked)
    open_ = teller(writes("contact", "update"), reads("contact"))("update_record", asked)

    assert blind["error"] == open_["error"] == "record.invalid"
    assert blind["message"] == "The record has wrong or unknown fields."
    assert blind["metadata"]["problems"] == [
        {
            "pointer": "/fields/custom.more",
            "code": "record.invalid_value",
            "detail": "The field cannot have this value.",
        }
    ]
    assert "bytes" in open_["message"]


def test_what_is_wrong_with_the_fields_themselves_is_told_in_full_to_everybody():
    told = teller(writes("contact", "create"))(
        "create_record", {"entity": "contact", "fields": {"email": "no address", "emial": "x"}}
    )
    details = {one["pointer"]: one["detail"] for one in told["metadata"]["problems"]}
    assert set(details) == {"/fields/email", "/fields/emial"}
    assert "valid e-mail" in details["/fields/email"].replace("email", "e-mail")


def test_a_natural_key_that_is_taken_is_told_and_nothing_else():
    Contact.objects.create(email="ada@example.com", title="canary")
    told = teller(writes("contact", "create"))(
        "create_record", {"entity": "contact", "fields": {"email": "ada@example.com"}}
    )
    assert told == {
        "error": "record.duplicate",
        "message": "Another record has this natural key.",
        "metadata": {
            "pointer": "/fields/email",
            "problems": [
                {
                    "pointer": "/fields/email",
                    "code": "record.duplicate",
                    "detail": "Another record has this natural key.",
                }
            ],
        },
    }


def test_a_refused_write_leaves_nothing_and_its_transaction_goes_on():
    Contact.objects.create(email="ada@example.com")
    tool = granted(writes("contact", "create"))["create_record"]
    asked = {"entity": "contact", "fields": {"email": "ada@example.com"}}

    with transaction.atomic():
        with pytest.raises(PermanentStepError, match=r"record\.duplicate"):
            tool.call(asked, a_context())
        Note.objects.create(title="What was told is noted")

    assert Contact.objects.count() == 1
    assert not AuditEntry.objects.exists()
    assert Note.objects.exists()


def test_templates_in_arguments_are_text():
    told = teller(writes("note", "create"), reads("note"))(
        "create_record", {"entity": "note", "fields": {"title": "{{ secret.token }} {% if x %}"}}
    )
    assert told["fields"]["title"] == "{{ secret.token }} {% if x %}"


def test_agents_that_upsert_the_same_record_at_the_same_moment_make_one():
    asked = {"entity": "account", "match": {"name": "Acme"}}

    def upsert() -> Any:
        return call(granted(writes("account", "upsert"))["upsert_record"], asked)

    told = race(*[upsert] * 4)

    assert Account.objects.count() == 1
    assert sorted(one["created"] for one in told) == [False, False, False, True]


def test_a_tool_is_the_same_whatever_its_context():
    """It is made anew for each attempt, so it keeps nothing of one."""
    tool = granted(writes("note", "create"))["create_record"]
    first, second = (
        call(tool, {"entity": "note", "fields": {"title": "x"}}, a_context(key=key)) for key in ("a", "b")
    )
    assert first["id"] != second["id"]
    assert [entry.metadata["call"] for entry in AuditEntry.objects.order_by("pk")] == ["a", "b"]
