"""The hosts that a secret is bound to: one form for each, and it is the one that egress makes of a URL."""

from __future__ import annotations

import pytest

from executions.egress.policy import parse_allow
from executions.egress.urls import parse_target
from executions.secrets.opening import is_bound
from lightfield.access.credential_hosts import InvalidHost, normal, normal_all

NOBODY = parse_allow("")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("api.example.com", "api.example.com"),
        (" API.Example.COM. ", "api.example.com"),
        ("api.example.com:443", "api.example.com"),
        ("api.example.com:8443", "api.example.com:8443"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7:8080", "192.0.2.7:8080"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("localhost:9000", "localhost:9000"),
    ],
)
def test_a_host_has_one_form_and_a_url_with_it_is_bound(written, form):
    assert normal(written) == form
    assert is_bound([form], parse_target(f"https://{written.strip()}/a?b=c"), NOBODY)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "*", "*.example.com", "api.*.com", "https://api.example.com", "api.example.com/v1", "a b.example",
        "user@example.com", "api.example.com:", "api.example.com:0", "api.example.com:65536", "api.example.com:http",
        "api..example.com", "-a.example", "[::1", "::1", "[zz::]", "127.1", "0x7f.0.0.1", "a\\b.example", "exa%6dple.com",
        "x" * 254, "a.example\n", "a.example?x", "a.example#x",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused_in_words(text):
    if text == "a.example\n":  # a line break at the end is only a blank
        assert normal(text) == "a.example"
        return
    with pytest.raises(InvalidHost, match=r"\.$"):
        normal(text)


def test_each_host_stands_there_once():
    assert normal_all(["b.example", "A.example", "a.example:443"]) == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com.evil.example/",
        "https://evil.example/?api.example.com",
        "https://sub.api.example.com/",
        "https://example.com/",
        "https://api.example.com:8443/",
        "http://api.example.com/",
        "http://api.example.com:443/",
        "https://api-example.com/",
    ],
)
def test_only_that_very_host_and_port_by_https(url):
    assert not is_bound(["api.example.com"], parse_target(url), NOBODY)


@pytest.mark.parametrize(
    ("allow", "url", "is_let"),
    [
        ("", "http://127.0.0.1:9000/", False),
        ("127.0.0.0/8", "http://127.0.0.1:9000/", False),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/", True),
        ("127.0.0.1:9001", "http://127.0.0.1:9000/", False),
        ("localhost:9000", "http://localhost:9000/", True),
        ("internal:9000", "http://internal:9000/", True),
        ("10.0.0.0/8", "https://internal:9000/", True),
    ],
)
def test_in_clear_only_to_what_the_operator_named_as_host_and_port(allow, url, is_let):
    hosts = ["127.0.0.1:9000", "localhost:9000", "internal:9000"]

    assert is_bound(hosts, parse_target(url), parse_allow(allow)) is is_let
