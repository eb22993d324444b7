"""`find_records`: every operator with every kind of field, its order and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from crm.models import Account, Meeting, Note, Opportunity
from crm.steps.entities import Entity
from crm.steps.filters import OPERATORS
from crm.steps.reading import told
from executions.models import Effect
from lightfield.kernel.errors import PermanentStepError
from tests.integration.record_steps.playing import (
    create,
    error_of,
    find,
    found_by,
    last_step,
    output_of,
    play,
)
from workflows.comparisons import Operator, compare

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

UNSET: dict[str, Any] = {}  # nothing but a name
MARCH, APRIL = "2026-03-01T09:00:00Z", "2026-04-01T09:00:00Z"


@pytest.fixture
def deals() -> None:
    """None of them alike; some fields of some are not set."""
    for number, fields in enumerate(
        [
            UNSET,
            {"stage": "open", "amount": 7, "last_interaction_at": MARCH},
            {"stage": "Open", "amount": "7.50", "last_interaction_at": APRIL},
            {"stage": "won", "amount": -12, "custom": {"plan": "pro", "seats": 7, "since": "2026-03-01"}},
            {"stage": "", "amount": 0, "custom": {"plan": None, "seats": "7", "tags": ["a", "b"]}},
            {"stage": "reopened", "custom": {"plan": "", "seats": 30, "tags": [], "own": {"x": 1}}},
            {"stage": "7", "custom": {"plan": True, "seats": 8.5, "since": "2026-04-01", "tags": "ab"}},
        ]
    ):
        Opportunity.objects.create(name=f"Deal {number}", **fields)


TEXTS = ["open", "Open", "en", "", "7", 7, None, "zzz"]
NUMBERS = [7, 7.5, "7.5", "7", -12, 0, None]
INSTANTS = [MARCH, "2026-03-01T10:00:00+01:00", "2026-03-15", None]
OWN = ["pro", 7, "7", 8.5, True, "true", None, "", "a", "2026-03-15", ["a", "b"], ["a"], {"x": 1}, "x"]
LISTS = {
    "stage": [["open", "won"], ["open", None], [], [7]],
    "amount": [[7, "7.5"], [0, None], []],
    "last_interaction_at": [[MARCH, APRIL], [None]],
    "custom.plan": [["pro", None], [True, ""], []],
    "custom.seats": [[7, 8.5], ["7"], [None, 30]],
}
FIELDS: dict[str, list[Any]] = {
    "stage": TEXTS,
    "amount": NUMBERS,
    "last_interaction_at": INSTANTS,
    "custom.plan": OWN,
    "custom.seats": OWN,
    "custom.since": OWN,
    "custom.tags": OWN,
    "custom.own": OWN,
}
LISTED = ("is_any_of", "is_none_of")
ORDERED = ("gt", "gte", "lt", "lte")


def cases() -> Iterator[tuple[str, str, Any]]:
    for name, values in FIELDS.items():
        for operator in OPERATORS:
            if operator == "is_set":
                yield from ((name, operator, value) for value in (True, False))
            elif operator in LISTED:
                yield from ((name, operator, value) for value in LISTS.get(name, []))
            elif operator not in ("contains", "does_not_contain") or name not in (
                "amount",
                "last_interaction_at",
            ):
                yield from ((name, operator, value) for value in values)


def value_in(record: dict[str, Any], name: str) -> Any:
    if name.startswith("custom."):
        return record["fields"]["custom"].get(name.removeprefix("custom."))
    return record["fields"][name]


def is_for_texts_only(name: str, operator: str, value: Any, found: Any) -> bool:
    """Where a column has a type, or a value in `custom` its own, the order is that of the type: 8.5 is not below "a"."""
    if operator not in ORDERED:
        return False
    if name == "stage":
        return True
    return name.startswith("custom.") and isinstance(found, str) != isinstance(value, str)


def test_every_operator_is_there() -> None:
    assert set(OPERATORS) == set(get_args(Operator))


@pytest.mark.usefixtures("deals")
def test_operators_mean_what_they_mean_to_a_condition() -> None:
    """The same comparison of the same values, by the function that `condition` asks."""
    everything = found_by("opportunity", limit=100)
    wrong = []
    for name, operator, value in cases():
        found = {one["id"] for one in found_by("opportunity", (name, operator, value))}
        for record in everything:
            there = value_in(record, name)
            if is_for_texts_only(name, operator, value, there):
                continue
            if compare(there, operator, value) is not (record["id"] in found):  # type: ignore[arg-type]
                wrong.append(f"{name}={there!r} {operator} {value!r}: {record['id'] in found}")

    assert len(everything) == 7
    assert wrong == []


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record["fields"].get("name") or record["fields"].get("title") for record in records]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("website", "is", "ACME.example")], ["Acme"]),
        ([("website", "is", "HTTPS://acme.EXAMPLE")], ["Acme"]),
        ([("website", "contains", "ACME")], ["Acme"]),
        ([("website", "is_any_of", ["acme.example", "bolt.example"])], ["Acme", "Bolt"]),
        ([("website", "is_none_of", ["acme.example", None])], ["Bolt"]),
        ([("name", "is", "ACME")], ["Acme"]),
        ([("name", "is_not", "acme")], ["Bolt", "Crate"]),
        ([("industry", "contains", "Tools")], ["Acme", "Bolt"]),
        ([("industry", "contains", ["Tools", "Anvils"])], ["Acme"]),
        ([("industry", "does_not_contain", "Tools")], ["Crate"]),
        ([("industry", "is", ["Tools"])], ["Bolt"]),
        ([("industry", "is_any_of", ["Anvils", "Boxes"])], ["Acme"]),
        ([("industry", "is_none_of", ["Anvils", "Boxes"])], ["Bolt", "Crate"]),
        ([("industry", "is_set")], ["Acme", "Bolt"]),
        ([("industry", "is_set", False)], ["Crate"]),
        ([("industry", "contains", None)], []),
        ([("industry", "is", "Tools")], []),
        ([("primary_address", "is", {"city": "Tucson"})], ["Acme"]),
        ([("primary_address", "contains", "city")], ["Acme"]),
        ([("primary_address", "is_set", False)], ["Bolt", "Crate"]),
        ([("custom", "contains", "tier")], ["Bolt"]),
        ([("custom", "is", {})], ["Acme", "Crate"]),
        ([("custom.tier", "gte", 2), ("industry", "contains", "Tools")], ["Bolt"]),
        ([("custom.tier", "gte", 2), ("industry", "contains", "Anvils")], []),
        ([("owner", "is", "{owner}")], ["Acme"]),
        ([("owner", "is", None)], ["Bolt", "Crate"]),
        ([("owner", "is_set")], ["Acme"]),
        ([("id", "is", "{acme}")], ["Acme"]),
        ([("id", "is_any_of", ["{acme}", "00000000-0000-0000-0000-000000000000"])], ["Acme"]),
        ([("created_at", "gt", "2020-01-01")], ["Acme", "Bolt", "Crate"]),
        ([("created_at", "is_any_of", [])], []),
    ],
)
def test_filters_of_every_kind_of_field(filters: list[tuple[Any, ...]], found: list[str]) -> None:
    owner = get_user_model().objects.create_user("ada")
    acme = Account.objects.create(
        name="Acme",
        website="https://Acme.example",
        industry=["Tools", "Anvils"],
        primary_address={"city": "Tucson"},
        owner=owner,
    )
    Account.objects.create(
        name="Bolt", website="https://bolt.example", industry=["Tools"], custom={"tier": 2}
    )
    Account.objects.create(name="Crate")
    meant = {"{owner}": owner.pk, "{acme}": str(acme.pk)}

    def filled_in(value: Any) -> Any:
        if isinstance(value, list):
            return [filled_in(one) for one in value]
        return meant.get(value, value) if isinstance(value, str) else value

    wanted = [(name, operator, *map(filled_in, value)) for name, operator, *value in filters]
    assert names(found_by("account", *wanted, sort=["name"])) == found


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("attendee_emails", "contains", "ADA@example.com")], ["One"]),
        ([("attendee_emails", "is_any_of", ["nobody@example.com", "Bob@Example.com"])], ["One"]),
        ([("organizer_email", "is", "ADA@EXAMPLE.COM")], ["One"]),
        ([("organizer_email", "contains", "@EXAMPLE")], ["One"]),
        ([("organizer_email", "is_not", "ada@example.com")], ["Two"]),
        ([("start_date", "lt", "2026-11-04")], ["One"]),
    ],
)
def test_addresses_ignore_case_wherever_they_stand(filters: list[tuple[Any, ...]], found: list[str]) -> None:
    Meeting.objects.create(
        title="One",
        start_date="2026-11-03T09:00Z",
        end_date="2026-11-03T10:00Z",
        organizer_email="Ada@example.com",
        attendee_emails=["Ada@example.com", "bob@example.com"],
    )
    Meeting.objects.create(title="Two", start_date="2026-11-05T09:00Z", end_date="2026-11-05T10:00Z")

    assert names(found_by("meeting", *filters)) == found


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        ([], "dcba"),
        (["name"], "abcd"),
        (["-name"], "dcba"),
        (["amount"], "badc"),
        (["-amount"], "abdc"),
        (["stage", "-name"], "cadb"),
        (["custom.rank"], "bcda"),
        (["-custom.rank"], "cbda"),
        (["-created_at"], "dcba"),
        (["id"], "abcd"),
    ],
)
def test_they_come_in_the_order_that_is_asked_for_and_the_newest_first_otherwise(
    sort: list[str], found: str
) -> None:
    Opportunity.objects.create(name="a", amount=2, stage="y")
    Opportunity.objects.create(name="b", amount=1, stage="z", custom={"rank": 9})
    Opportunity.objects.create(name="c", stage="x", custom={"rank": 10})
    Opportunity.objects.create(name="d", stage="y")
    if sort == ["stage", "-name"]:
        found = "cdab"

    assert "".join(names(found_by("opportunity", sort=sort))) == found


def test_none_found_is_no_error() -> None:
    output = output_of(find("contact", ("email", "is", "nobody@example.com")))

    assert output == {"records": [], "count": 0, "first": None}


def test_the_first_stands_by_itself_too_and_the_count_is_of_those_that_are_given() -> None:
    for number in range(4):
        Note.objects.create(title=f"Note {number}")

    output = output_of(find("note", sort=["title"], limit="{{ trigger.limit }}"), payload={"limit": 3})

    assert names(output["records"]) == ["Note 0", "Note 1", "Note 2"]
    assert output["count"] == 3
    assert output["first"] == output["records"][0]
    assert set(output["first"]) == {"id", "type", "fields"}


def test_25_are_given_when_nobody_says_how_many() -> None:
    Note.objects.bulk_create(Note(title="Note") for _ in range(30))

    assert output_of(find("note"))["count"] == 25


def test_records_that_are_too_much_together_end_the_step_and_are_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []

    def noted(entity: Entity, record_id: str, fields: str) -> dict[str, Any]:
        read.append(record_id)
        return told(entity, record_id, fields)

    monkeypatch.setattr("crm.steps.find_records.told", noted)
    Note.objects.bulk_create(Note(title="Long", content="é" * 100_000) for _ in range(6))

    error = error_of(find("note"))

    assert error["code"] == "step.output_too_large"
    assert read == []
    assert output_of(find("note", limit=2))["count"] == len(read) == 2


def test_the_first_record_counts_twice() -> None:
    """It stands in the output twice, and 1 MiB is the limit of all of it."""
    Note.objects.bulk_create(Note(title="Long", content="€" * 74_000) for _ in range(4))

    assert error_of(find("note"))["code"] == "step.output_too_large"


HOSTILE = [
    "'; DROP TABLE crm_note; --",
    "%s",
    "%(limit)s",
    "a' OR '1'='1",
    "\\",
    '"',
    "{}",
    "$1",
    "100%",
    "😀",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("operator", ["is", "contains", "is_any_of", "gte"])
def test_whatever_the_value_is_it_is_a_value(operator: str, text: str) -> None:
    Note.objects.create(title=text, custom={text: text})
    Note.objects.create(title=" other ", custom={"other": 1})
    value = [text, text] if operator == "is_any_of" else text

    assert len(found_by("note", ("title", operator, value), ("custom.x", "is_set", False))) == 1
    assert len(found_by("note", (f"custom.{text}", operator, value), sort=[f"-custom.{text}"])) == 1


@pytest.mark.parametrize(
    "name", ["nothing", "id; --", "account__name", "account_id", "custom.", "", "customs.x", '"', "pk"]
)
def test_only_fields_that_there_are_can_be_asked_for(name: str) -> None:
    with pytest.raises(PermanentStepError) as refused:
        found_by("note", (name, "is_set"))
    with pytest.raises(PermanentStepError) as unsorted:
        found_by("note", sort=[name])

    assert {refused.value.code, unsorted.value.code} <= {"record.invalid", "config.invalid"}


@pytest.mark.parametrize(
    ("name", "operator", "value"),
    [
        ("amount", "is", "many"),
        ("amount", "gt", True),
        ("amount", "contains", 1),
        ("last_interaction_at", "lt", "tomorrow"),
        ("last_interaction_at", "is_any_of", [MARCH, 7]),
        ("account", "is", "Acme"),
        ("id", "is", 7),
        ("stage", "is", ["open"]),
        ("stage", "is", {"a": 1}),
        ("stage", "contains", [1]),
        ("stage", "is", "x" * 1001),
        ("stage", "is_any_of", ["x"] * 101),
        ("custom", "gt", 1),
        ("custom.x", "is", "x" * 1001),
        ("custom.x", "is", ["x" * 1001]),
    ],
)
def test_a_value_that_does_not_go_with_its_field_is_refused_with_its_place(
    name: str, operator: str, value: Any
) -> None:
    error = error_of(
        find("opportunity", ("name", "is_set"), (name, operator, "{{ trigger.value }}")),
        payload={"value": value},
    )

    assert error["code"] == "config.invalid"
    assert error["metadata"]["pointer"] == "/filters/1/value"


@pytest.mark.parametrize(("name", "value"), [("do_not_contact", "perhaps"), ("do_not_contact", 1)])
def test_a_truth_is_asked_for_as_one(name: str, value: Any) -> None:
    error = error_of(find("contact", (name, "is", "{{ trigger.value }}")), payload={"value": value})

    assert error["metadata"]["pointer"] == "/filters/0/value"


def test_a_contact_is_found_by_a_truth_in_any_spelling() -> None:
    output_of(create("contact", last_name="Lovelace", do_not_contact=True))

    for value in (True, "true", " TRUE "):
        assert len(found_by("contact", ("do_not_contact", "is", value))) == 1


def test_given_a_database_that_takes_too_long_then_the_step_tries_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Note.objects.create(title="Called")
    monkeypatch.setattr("crm.steps.find_records.MOST_BYTES", "(SELECT 1 FROM pg_sleep(0.2))")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 50")
        try:
            run = play(find("note"))
        finally:
            cursor.execute("RESET statement_timeout")

    step = last_step(run)
    assert (run.status, step.status, step.error_code) == ("waiting", "waiting", "step.timeout")


def test_what_is_found_leaves_nothing_in_the_ledger() -> None:
    play(find("note"))

    assert not Effect.objects.exists()
