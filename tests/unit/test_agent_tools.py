"""What an agent may be permitted: which permissions can be published, what a model is told of the tools, how results are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crm.steps.entities import ENTITIES
from crm.tools.unread import TOGETHER
from executions.agents import tools
from executions.agents.tools import arguments, cutting
from lightfield.kernel.errors import PermanentStepError
from tests.tool_calls import granted, reads, sends, writes

EVERY = tuple(ENTITIES)
ALL_OPERATIONS = "create update upsert"


def places(grant: dict[str, Any]) -> list[str]:
    kind = tools.find(grant["type"])
    assert kind is not None
    return [problem.pointer for problem in kind.unpublishable(grant)]


@pytest.fixture(autouse=True)
def public_hosts_only(settings):
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.1:9100, 10.1.0.0/16"
    settings.LIGHTFIELD_OWN_SERVERS = [("127.0.0.1", 9100), ("10.1.0.5", 443)]


@pytest.mark.parametrize(
    "grant",
    [
        reads("contact"),
        reads(*EVERY, max_bytes=4096),
        writes("contact account", "create"),
        writes(" ".join(EVERY), ALL_OPERATIONS),
        sends("api.example.com"),
        sends("api.example.com:8443", "api.example.com", "8.8.8.8", "[2606:4700::1111]", methods=["GET"]),
        sends("b\u00fccher.example", "10.1.2.3:9000", max_bytes=1024),
    ],
)
def test_what_is_named_exactly_can_be_permitted(grant: dict[str, Any]):
    assert places(grant) == []
    assert granted(grant)


@pytest.mark.parametrize(
    ("grant", "place"),
    [
        (reads(), "/entities"),
        (reads("contacts"), "/entities/0"),
        (reads("contact", "user"), "/entities/1"),
        (reads("contact", "contact"), "/entities"),
        (reads("{{ trigger.entity }}"), "/entities/0"),
        (reads("contact", max_bytes=10), "/max_bytes"),
        (reads("contact", operations=["create"]), "/operations"),
        ({"type": "read_records"}, "/entities"),
        ({"type": "read_records", "entities": "contact"}, "/entities"),
        ({"type": "read_records", "entities": "{{ trigger.entities }}"}, "/entities"),
        (writes("contact", ""), "/operations"),
        (writes("", "create"), "/entities"),
        (writes("contact", "delete"), "/operations/0"),
        (writes("contact", "create create"), "/operations"),
        (writes("contact contact", "create"), "/entities"),
        ({**writes("contact", "create"), "operations": ["{% if x %}create{% endif %}"]}, "/operations/0"),
        ({**writes("contact", "create"), "where": {"owner": 1}}, "/where"),
        (sends(), "/hosts"),
        (sends("https://api.example.com"), "/hosts"),
        (sends("api.example.com/path"), "/hosts"),
        (sends("*.example.com"), "/hosts"),
        (sends("*"), "/hosts"),
        (sends("user@example.com"), "/hosts"),
        (sends(" example.com"), "/hosts"),
        (sends("example.com:0"), "/hosts"),
        (sends("127.1"), "/hosts"),
        (sends("example.com", "EXAMPLE.com:443"), "/hosts"),
        (sends("{{ trigger.host }}"), "/hosts/0"),
        (sends("example.com", "127.0.0.1:443"), "/hosts/1"),
        (sends("169.254.169.254"), "/hosts/0"),
        (sends("[::1]"), "/hosts/0"),
        (
            sends("example.com:5432"),
            None,
        ),  # a network is let through, and what the name leads to is not known
        (sends("8.8.8.8:5432"), "/hosts/0"),
        (sends("127.0.0.1:9100"), "/hosts/0"),
        (sends("10.1.0.5"), "/hosts/0"),
        (sends("example.com", methods=["TRACE"]), "/methods/0"),
        (sends("example.com", methods=[]), "/methods"),
        (sends("example.com", methods=["GET", "GET"]), "/methods"),
        (sends("example.com", headers={}), "/headers"),
        (sends(*(f"h{number}.example" for number in range(21))), "/hosts"),
    ],
)
def test_what_is_not_exact_cannot_be_published(grant: dict[str, Any], place: str | None):
    assert places(grant) == ([place] if place else [])


def test_a_port_that_no_address_could_have_is_refused_when_published(settings):
    settings.LIGHTFIELD_EGRESS_ALLOW = ""
    kind = tools.find("http")
    assert kind is not None
    (problem,) = kind.unpublishable(sends("example.com:5432"))
    assert (problem.pointer, problem.code) == ("/hosts/0", "egress.denied_port")


def test_permissions_bring_their_tools_and_no_others():
    assert list(granted()) == []
    assert list(granted(reads("contact"))) == ["find_records", "get_record"]
    assert list(granted(writes("contact", "update"))) == ["update_record"]
    assert list(granted(sends("example.com"))) == ["http_request"]
    every = granted(reads(*EVERY), writes("note", ALL_OPERATIONS), sends("example.com"))
    assert {name: tool.effect for name, tool in every.items()} == {
        "find_records": "reads",
        "get_record": "reads",
        "create_record": "writes",
        "update_record": "writes",
        "upsert_record": "writes",
        "http_request": "sends",
    }


def test_what_carries_data_out_and_what_reads_it_is_known_of_the_kinds():
    flags = {
        kind.name: (kind.reads_private, kind.sends_out, kind.reads_outside) for kind in tools.all_kinds()
    }
    assert flags == {
        "read_records": (True, False, False),
        "write_records": (False, False, False),
        "http": (False, True, True),
    }


def test_each_grant_is_judged_by_itself():
    found = granted(writes("contact", "create"), writes("account", "update"), writes("note", "create"))
    enums = {name: tool.spec.parameters["properties"]["entity"]["enum"] for name, tool in found.items()}
    assert enums == {"create_record": ["contact", "note"], "update_record": ["account"]}


def test_a_model_is_told_of_the_fields_as_the_api_takes_them():
    found = granted(reads("contact"), writes("contact meeting", "create"), writes("task", "upsert"))
    assert found["create_record"].spec.description.splitlines()[1:] == [
        "contact: first_name, last_name, title, instagram (text); email (e-mail); profile_photo_url (URL); "
        "do_not_contact (true or false); custom.<name>: any JSON, fields of their own",
        "meeting: title*, description, transcript (text); start_date*, end_date* (instant, 2026-03-01T09:00:00Z); "
        "meeting_url (URL); organizer_email (e-mail); attendee_emails (list of e-mail); privacy_setting (full | metadata); "
        "contact (id of a contact); custom.<name>: any JSON, fields of their own",
    ]
    text = json.dumps(found["upsert_record"].spec.parameters)
    assert "task: by title" in text
    assert "status (todo | in_progress | complete | cancelled)" in found["upsert_record"].spec.description
    assert "assigned_to (id of a person)" in found["upsert_record"].spec.description
    assert "created_by" not in found["upsert_record"].spec.description


def test_a_field_whose_records_are_out_of_reach_is_not_offered():
    alone = granted(writes("contact", "create"))["create_record"].spec.description
    linked = granted(writes("contact account", "create"))["create_record"].spec.description
    assert "id of an account" not in alone
    assert "account (id of an account)" in linked


def test_an_unread_entity_is_matched_by_what_it_is_known_by():
    def told(*grants: dict[str, Any]) -> str:
        properties = granted(*grants)["upsert_record"].spec.parameters["properties"]
        return str(properties["match"]["description"])

    assert told(writes("contact account note", "upsert")) == (
        "Which record is meant. account: by website and name; contact: by email; note: by title."
    )
    assert "contact: by any of its fields" in told(reads("contact"), writes("contact", "upsert"))


def test_all_tools_together_cost_few_words():
    every = granted(reads(*EVERY), writes(" ".join(EVERY), ALL_OPERATIONS), sends("example.com"))
    told = [[tool.spec.name, tool.spec.description, tool.spec.parameters] for tool in every.values()]
    assert len(json.dumps(told)) < 13_000
    assert all(tool.spec.parameters["type"] == "object" for tool in every.values())
    assert not any(
        word in json.dumps(tool.spec.parameters)
        for word in ("$ref", "oneOf", "allOf")
        for tool in every.values()
    )


def test_constraints_over_several_fields_are_all_known_to_those_who_may_not_read():
    """Otherwise whether a write is accepted would tell what is stored."""
    several = {
        constraint.name
        for model in (entity.model for entity in ENTITIES.values())
        for constraint in model._meta.constraints
        if len(getattr(getattr(constraint, "condition", None), "referenced_base_fields", ())) > 1
    }
    assert several == set(TOGETHER)


# --- what goes in -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        "{}",
        5,
        {"a": "\x00"},
        {"a": float("nan")},
        {"a": 10**30},
        {"a": "x" * 300_000},
        {"\ud800": 1},
    ],
)
def test_arguments_that_could_not_be_kept_are_refused(odd: Any):
    with pytest.raises(PermanentStepError, match=r"config\.invalid"):
        arguments.readable(odd)


def test_what_was_tried_is_told_in_a_few_words_that_hurt_no_log():
    assert arguments.shown("contact\x00\n\u202e") == r"'contact\x00\n\u202e'"
    assert arguments.shown(["x"] * 1000) == "'list'"
    assert len(arguments.shown("\U0001f600" * 1000)) < 700


# --- what comes out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "x" * 100_000,
        "\u00e9\U0001f600" * 20_000,
        '\x01"\\' * 30_000,
        {"content": "x" * 100_000, "title": "Called"},
        [{"text": "y" * 300}] * 2_000,
        {f"k{number}": number for number in range(9_000)},
        [[[["deep"] * 50] * 50] * 50],
        list(range(20_000)),
        {"a" * 250 + str(number): "b" * 20 for number in range(3_000)},
    ],
)
def test_whatever_is_too_long_is_cut_to_its_bounds_and_says_so(value: Any):
    shorter, is_cut = cutting.cut(value, 2048)
    assert is_cut
    assert cutting.size(shorter) <= 2048
    assert "[cut: " in json.dumps(shorter)


def test_what_fits_is_told_as_it_is():
    assert cutting.cut({"a": ["x", None, 1.5]}, 1024) == ({"a": ["x", None, 1.5]}, False)


def test_the_beginning_of_a_long_text_is_kept_and_short_ones_are_whole():
    note = {"title": "Called", "content": "The beginning. " + "x" * 50_000}
    shorter, _ = cutting.cut(note, 8192)
    assert shorter["title"] == "Called"
    assert shorter["content"].startswith("The beginning. xxx")
    assert shorter["content"].endswith("more characters]")
