"""Secrets that were written into a definition: publishing tells where they stand, and never what they are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import a_definition
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of

# Put together here, so that nobody who searches this repository for secrets finds them.
ISSUED = [
    "sk-" + "proj-abcdefghij0123456789",
    "sk_" + "live_abcdefghij0123456789",
    "xox" + "b-1234567890-abcdefghij",
    "gh" + "p_abcdefghij0123456789abcdefghij012345",
    "github_" + "pat_abcdefghij0123456789_x",
    "glpat" + "-abcdefghij0123456789",
    "AK" + "IAABCDEFGHIJ012345",
    "AI" + "zaabcdefghij0123456789abcdefghij01234",
    "SG" + ".abcdefghij0123456789.abcdefghij0123456789",
    "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.c2ln",
    "-----BEGIN RSA " + "PRIVATE KEY-----",
]
HEADERS = {"/steps/0/config/headers/X-Note": "secret.written_out"}


def warned(**config: Any) -> dict[str, str]:
    """Pointer and code of each warning of one request that is published so."""
    config = {"method": "GET", "url": "https://api.example.com", **config}
    steps = [{"key": "send", "type": "http_request", "config": config}]
    found = warnings_of(parse_definition(a_definition(steps=steps)))
    for problem in found:
        assert "0123456789" not in problem.detail
        assert "{{ secret.name }}" in problem.detail
    return {problem.pointer: problem.code for problem in found}


@pytest.mark.parametrize("value", ISSUED)
@pytest.mark.parametrize("around", ["{}", "Bearer {}", "key={}; x=1", "{{{{ '{}' }}}}"])
def test_what_looks_issued_is_warned_of_whatever_the_header_is_called(value: str, around: str) -> None:
    assert warned(headers={"X-Note": around.format(value)}) == HEADERS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer abc0123456789"),
        ("authorization", "Basic dTpw"),
        ("Proxy-Authorization", "x"),
        ("X-Api-Key", "abc0123456789"),
        ("apikey", "abc0123456789"),
        ("PRIVATE-TOKEN", "abc0123456789"),
        ("X-Auth-Token", 123456789),
        ("Ocp-Apim-Subscription-Key", "abc0123456789"),
        ("X-Client-Secret", "abc0123456789"),
        ("Cookie", "session=abc0123456789"),
    ],
)
def test_what_is_written_out_under_a_name_that_says_secret_is_warned_of(name: str, value: Any) -> None:
    assert warned(headers={name: value}) == {f"/steps/0/config/headers/{name}": "secret.written_out"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer {{ secret.crm }}"),
        ("Authorization", "Bearer {{ trigger.token }}"),
        ("X-Api-Key", "{{ secret.crm }}"),
        ("X-CSRF-Token", "fetch"),
        ("X-Author", "Somebody with a long name"),
        ("X-Keyword", "abcdefghijkl"),
        ("Accept", "application/json"),
        ("X-Sku", "sk-1234"),
        ("X-Task", "task-abcdefghij0123456789abcdefghij"),
        ("X-Count", 7),
        ("X-Dry-Run", True),
    ],
)
def test_what_is_no_secret_or_names_one_is_not_warned_of(name: str, value: Any) -> None:
    assert warned(headers={name: value}) == {}


@pytest.mark.parametrize(
    ("auth", "field"),
    [
        ({"type": "bearer", "token": "abc0123456789"}, "token"),
        ({"type": "basic", "username": "me", "password": "abc0123456789"}, "password"),
        ({"type": "basic", "username": ISSUED[1], "password": ""}, "username"),
        ({"type": "header", "name": "X-Who", "value": "abc0123456789"}, "value"),
        ({"type": "bearer", "token": "{{ secret.crm }}"}, None),
        ({"type": "basic", "username": "me", "password": "{{ secret.crm }}"}, None),
        ({"type": "basic", "username": "me"}, None),
    ],
)
def test_what_says_who_asks_is_warned_of_when_it_is_written_out(auth: Any, field: str | None) -> None:
    expected = {f"/steps/0/config/auth/{field}": "secret.written_out"} if field else {}
    assert warned(auth=auth) == expected


def test_a_header_whose_name_needs_escaping_has_a_pointer_that_can_be_followed() -> None:
    assert warned(headers={"X~T": ISSUED[0], "A/B": ISSUED[0]}) == {
        "/steps/0/config/headers/X~0T": "secret.written_out",
        "/steps/0/config/headers/A~1B": "secret.written_out",
    }
