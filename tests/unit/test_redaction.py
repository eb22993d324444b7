"""What people see of a frozen request."""

from __future__ import annotations

from typing import Any

import pytest

from executions.redaction import shown_request, without_secrets

REQUEST: dict[str, Any] = {
    "body": '{"email":"a@b.c","api_key":"k-123456","deep":[{"Password":"hunter22"}],"primary_key":7}',
    "headers": {
        "Authorization": "Bearer sk_live_1",
        "X-Api-Key": "sk_live_2",
        "Idempotency-Key": "run:step",
        "X-Kind": "a",
    },
    "method": "POST",
    "url": "https://example.com/hook?access_token=tok_1&page=2",
    "timeout_seconds": 30,
}


def test_secret_headers_parameters_and_fields_are_replaced_and_the_rest_is_not() -> None:
    shown = shown_request(REQUEST)

    for secret in ("sk_live_1", "sk_live_2", "tok_1", "k-123456", "hunter22"):
        assert secret not in str(shown)
    assert shown["headers"]["X-Kind"] == "a"
    assert shown["headers"]["Idempotency-Key"] == "run:step"
    assert shown["url"] == "https://example.com/hook?access_token=[redacted]&page=2"
    assert shown["body"]["email"] == "a@b.c"
    assert shown["body"]["primary_key"] == 7


def test_the_request_itself_is_not_changed() -> None:
    before = str(REQUEST)

    shown_request(REQUEST)

    assert str(REQUEST) == before


def test_it_begins_with_what_one_looks_for() -> None:
    assert list(shown_request(REQUEST)) == ["method", "url", "headers", "body", "timeout_seconds"]


@pytest.mark.parametrize("body", ["plain text", '"just a string"', "{broken", "", "[" * 5000])
def test_a_body_that_is_no_json_document_stays_as_it_is(body: str) -> None:
    assert shown_request({"body": body})["body"] == body


def test_a_url_without_secrets_keeps_its_spelling() -> None:
    for url in ("https://example.com/?q=a%20b&x=%2F", "http://[::1", "https://example.com/hook"):
        assert shown_request({"url": url})["url"] == url


def test_only_texts_are_secrets() -> None:
    document = {"token": {"password": "x", "kind": "a"}, "tokens": 3, "list": [{"secret": None}]}

    assert without_secrets(document) == {
        "token": {"password": "[redacted]", "kind": "a"},
        "tokens": 3,
        "list": [{"secret": None}],
    }


def test_texts_in_a_field_that_is_named_like_a_secret_are_replaced_in_a_list_too() -> None:
    """As the key of a model is frozen, in parts; a reference in it says only how a secret is called."""
    shown = shown_request(
        {"model": {"name": "x", "api_key": ["sk-hunter22", {"ref": "a"}]}, "limits": {"tokens": 5}}
    )

    assert shown == {"model": {"name": "x", "api_key": ["[redacted]", {"ref": "a"}]}, "limits": {"tokens": 5}}
