"""GET /hooks/<token>: what a person sees, which tells nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests.factories import a_published_workflow
from tests.integration.test_webhook import address_of, told
from triggers import hook_page

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def ask(address: str, accept: str = BROWSER, method: str = "GET") -> Any:
    return Client().generic(method, address, headers={"Accept": accept})


def test_a_browser_gets_the_same_page_at_every_address():
    known = ask(address_of(a_published_workflow()))
    others = [ask(address) for address in ("/hooks/" + "x" * 43, "/hooks/", "/hooks/a/b?wait=5")]

    assert {answer.status_code for answer in (known, *others)} == {405}
    assert {answer.content for answer in (known, *others)} == {hook_page.PAGE}
    assert len({str(answer.headers) for answer in (known, *others)}) == 1


def test_the_page_fetches_nothing_and_is_kept_and_found_by_nobody():
    answer = ask("/hooks/x")

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    text = answer.content.decode()
    assert not re.search(r"<script|<img|<link|url\(|@import|https?://(?!your-host)", text)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_a_program_gets_a_problem_document(accept):
    answer = ask("/hooks/x", accept)

    assert (answer.status_code, told(answer)["code"]) == (405, "request.method_not_allowed")
    assert answer.headers["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("accept", [BROWSER, "*/*"])
def test_head_is_get_without_its_body(accept):
    head, get = ask("/hooks/x", accept, "HEAD"), ask("/hooks/x", accept)

    assert head.content == b""
    assert head.status_code == get.status_code
    assert head.headers == get.headers
    assert head.headers["Content-Length"] == str(len(get.content))


def test_options_names_the_methods():
    answer = ask("/hooks/x", method="OPTIONS")

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Allow"] == "POST, OPTIONS"
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT"])
def test_no_answer_is_kept_told_to_the_next_site_or_found(method):
    answer = ask("/hooks/x", method=method)

    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
