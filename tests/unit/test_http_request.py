"""`http_request` without the network: its config, the frozen request, and what answers mean."""

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.steps import http_answers
from executions.steps.http_request import HttpRequest, classify
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError
from workflows import step_types

STEP = step_types.get("http_request")
URL = "https://api.example.com/hook"


def freeze(**config):
    assert isinstance(STEP, HttpRequest)
    return STEP.freeze(step_types.load_config(STEP, {"method": "POST", "url": URL, **config}))


# --- config ---------------------------------------------------------------------------------------


def test_defaults():
    assert freeze() == {
        "method": "POST",
        "url": URL,
        "headers": {},
        "body": None,
        "timeout_seconds": 30.0,
        "on_unknown": "retry_same_key",
        "allow_redirects": False,
    }


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"method": "CONNECT"}, "/method"),
        ({"method": "get"}, "/method"),
        ({"url": ""}, "/url"),
        ({"url": 5}, "/url"),
        ({"headers": {"X": None}}, "/headers/X"),
        ({"headers": {"X": ["a"]}}, "/headers/X"),
        ({"timeout_seconds": 0.05}, "/timeout_seconds"),
        ({"timeout_seconds": 301}, "/timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "/timeout_seconds"),
        ({"on_unknown": "ask"}, "/on_unknown"),
        ({"json_body": {}}, "/json_body"),
        ({"verify": False}, "/verify"),
        ({"json": {}, "body": ""}, ""),
        ({"json": None, "form": {}}, ""),
        ({"body": "x", "form": {"a": "b"}}, ""),
    ],
)
def test_wrong_configs_name_the_field(config, pointer):
    with pytest.raises(PermanentStepError) as caught:
        freeze(**config)
    assert caught.value.code == "config.invalid"
    assert caught.value.metadata["pointer"].startswith(pointer)


def test_templates_may_stand_where_another_type_is_wanted():
    raw = {
        "method": "{{ trigger.method }}",
        "url": "{{ trigger.url }}",
        "headers": "{{ trigger.headers }}",
        "query": {"q": "{{ trigger.q }}"},
        "json": "{{ trigger }}",
        "timeout_seconds": "{{ trigger.seconds }}",
    }
    assert step_types.validate_config(STEP, raw) == []
    assert (
        step_types.validate_config(STEP, {**raw, "timeout_seconds": "soon"})[0].pointer == "/timeout_seconds"
    )


@pytest.mark.parametrize(
    ("config", "body", "content_type"),
    [
        ({"json": {"b": "é", "a": [1, None, True]}}, '{"b":"é","a":[1,null,true]}', "application/json"),
        ({"json": None}, "null", "application/json"),
        ({"json": "text"}, '"text"', "application/json"),
        (
            {"json": {}, "headers": {"content-type": "application/vnd.api+json"}},
            "{}",
            "application/vnd.api+json",
        ),
        (
            {"form": {"a": "b c", "n": 1, "t": True, "l": ["x", "y"], "none": None}},
            "a=b+c&n=1&t=true&l=x&l=y",
            None,
        ),
        ({"body": "plain"}, "plain", "text/plain; charset=utf-8"),
        ({"body": ""}, "", "text/plain; charset=utf-8"),
        ({"body": None}, None, None),
    ],
)
def test_bodies(config, body, content_type):
    request = freeze(**config)
    assert request["body"] == body
    found = {name.lower(): value for name, value in request["headers"].items()}.get("content-type")
    assert found == (content_type or ("application/x-www-form-urlencoded" if "form" in config else None))


def test_query_and_headers_become_text():
    request = freeze(
        url=URL + "?a=1&q=Ada Lovelace",
        query={"b": [1, 2.5], "c": False, "d": None, "e": "ü"},
        headers={"X-Number": 5, "X-Flag": True, "X-Text": "a"},
    )
    assert request["url"] == URL + "?a=1&q=Ada%20Lovelace&b=1&b=2.5&c=false&e=%C3%BC"
    assert request["headers"] == {"X-Number": "5", "X-Flag": "true", "X-Text": "a"}


def test_the_authors_key_and_trace_are_not_sent():
    assert freeze(headers={"idempotency-key": "mine", "TraceParent": "x", "X": "y"})["headers"] == {"X": "y"}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"url": "ftp://example.com/"}, "egress.denied_scheme"),
        ({"url": "example.com"}, "egress.invalid_url"),
        ({"url": "http://a@b/"}, "egress.invalid_url"),
        ({"body": "a\0b"}, "config.invalid"),
        ({"body": "\ud800"}, "config.invalid"),
        ({"headers": {"X": "\0"}}, "config.invalid"),
        ({"body": "x" * (1 << 21)}, "config.invalid"),
        ({"json": {"a": "x" * (1 << 21)}}, "config.invalid"),
    ],
)
def test_what_cannot_be_sent_or_kept_is_refused_when_frozen(config, code):
    with pytest.raises(PermanentStepError) as caught:
        freeze(**config)
    assert (caught.value.code, caught.value.sent) == (code, False)


TEXT = st.text(max_size=10)
SCALAR = TEXT | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    json_value=st.recursive(
        SCALAR | st.none(), lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=10
    ),
    query=st.dictionaries(TEXT, SCALAR | st.lists(SCALAR, max_size=3), max_size=3),
    headers=st.dictionaries(TEXT, SCALAR, max_size=3),
)
def test_a_frozen_request_survives_storage(json_value, query, headers):
    try:
        request = freeze(json=json_value, query=query, headers=headers)
    except PermanentStepError:
        return
    strict_json.check(request)
    assert strict_json.from_storage(json.dumps(request)) == request
    assert json.loads(request["body"]) == json_value


def test_the_time_limit_leaves_room_to_look_at_the_answer():
    assert isinstance(STEP, HttpRequest)
    assert 5 < STEP.time_limit(freeze(timeout_seconds=5)) <= 10


# --- statuses -------------------------------------------------------------------------------------


def test_only_2xx_is_a_success():
    for status in range(100, 1000):
        assert (classify(status).code is None) == (200 <= status <= 299)


def test_the_default_set_is_retryable():
    retryable = {status for status in range(100, 1000) if classify(status).is_retryable}
    assert retryable == {408, 425, 429, 502, 503, 504}


def test_other_statuses_can_be_opted_in_but_no_success():
    assert classify(500, [500]).is_retryable
    assert classify(404, {404}).is_retryable
    assert not classify(200, [200]).is_retryable
    assert not classify(500, [501]).is_retryable


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (102, "http.unexpected_status"),
        (301, "http.redirect"),
        (304, "http.redirect"),
        (400, "http.client_error"),
        (404, "http.client_error"),
        (408, "http.request_timeout"),
        (425, "http.too_early"),
        (429, "http.throttled"),
        (500, "http.server_error"),
        (501, "http.server_error"),
        (503, "http.unavailable"),
        (599, "http.server_error"),
        (600, "http.unexpected_status"),
        (999, "http.unexpected_status"),
    ],
)
def test_every_status_has_a_code_of_the_catalogue(status, code):
    assert classify(status).code == code
    assert code in CATALOGUE


# --- Retry-After ----------------------------------------------------------------------------------


def in_seconds(seconds):
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "86400"}, 3600.0),
        ({"retry-after": "9999999999"}, 3600.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٧"}, None),
        ({"retry-after": "99999999999999999999"}, None),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
        (
            {"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
        (
            {"retry-after": "Sun, 22 Nov 2026 10:00:00 -0000", "date": "Sun, 22 Nov 2026 10:00:30 GMT"},
            0.0,
        ),
    ],
)
def test_retry_after(headers, seconds):
    assert http_answers.retry_after_seconds(headers) == seconds


def test_a_date_counts_from_now_when_the_answer_has_none():
    seconds = http_answers.retry_after_seconds({"retry-after": in_seconds(60), "date": "nonsense"})
    assert seconds is not None
    assert 55 <= seconds <= 61


# --- bodies of answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "shown"),
    [
        ("application/json", b'{"a": [1]}', {"a": [1]}),
        ("application/json; charset=utf-8", b"null", None),
        ("application/problem+json", b'{"type":"x"}', {"type": "x"}),
        ("text/json", b"[]", []),
        ("application/json", b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        ("", b'{"a": 1}', {"a": 1}),
        ("", b"hello", "hello"),
        ("text/plain", b'{"a": 1}', '{"a": 1}'),
        ("application/json", b"", ""),
        ("application/json", b"{not json", "{not json"),
        ("application/json", b'{"a":1,"a":2}', '{"a":1,"a":2}'),
        ("application/json", b'{"a":1e5000}', '{"a":1e5000}'),
        ("application/json", b'{"a":NaN}', '{"a":NaN}'),
        ("application/json", b'{"a":"\\u0000"}', '{"a":"\\u0000"}'),
        ("application/json", b"[" * 32 + b"]" * 32, "[" * 32 + "]" * 32),
        ("text/html; charset=ISO-8859-1", b"Zo\xeb", "Zoë"),
        ('text/plain; charset="windows-1252"', b"\x80", "€"),
        ("text/plain; charset=utf-16", "Zoë".encode("utf-16"), "Zoë"),
        ("text/plain; charset=unknown-8bit", b"plain", "plain"),
        ("text/plain; charset=punycode", b"plain-", "plain-"),
        ("text/plain; charset=\x00", b"plain", "plain"),
        ("nonsense", b"plain", "plain"),
    ],
)
def test_a_body_is_json_or_text(content_type, body, shown):
    answer = http_answers.output(200, {"content-type": content_type} if content_type else {}, body)
    assert answer["body"] == shown
    assert "encoding" not in answer
    strict_json.check(answer["body"])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("image/png", b"\x89PNG\r\n\x1a\n\x00"),
        ("text/plain", b"a\x00b"),
        ("text/plain", b"Zo\xeb"),
        ("application/json", b"\xff\xfe"),
        ("application/octet-stream", bytes(range(256))),
        ("", gzip.compress(b"x")),
    ],
)
def test_other_bodies_are_base64(content_type, body):
    answer = http_answers.output(200, {"content-type": content_type} if content_type else {}, body)
    assert answer["encoding"] == "base64"
    assert base64.b64decode(answer["body"]) == body


def test_json_that_fits_alone_but_not_in_the_output_stays_text():
    body = b"[" + b",".join([b"1"] * 9_998) + b"]"
    strict_json.parse(body)
    answer = http_answers.output(200, {"content-type": "application/json", "x": "y"}, body)
    assert answer["body"] == body.decode()
    strict_json.check(answer)


def test_cookies_are_not_shown():
    answer = http_answers.output(201, {"set-cookie": "session=s3cret", "x-kind": "a"}, b"")
    assert answer == {"status_code": 201, "headers": {"set-cookie": "[redacted]", "x-kind": "a"}, "body": ""}


def test_header_names_too_long_for_a_key_are_left_out():
    answer = http_answers.output(200, {"x" * 257: "a", "y": "b"}, b"{}")
    assert answer["headers"] == {"y": "b"}
    strict_json.check(answer)


@given(
    st.binary(max_size=60),
    st.sampled_from(["", "application/json", "text/plain; charset=big5", "a/b; charset=x"]),
)
def test_every_output_can_be_stored(body, content_type):
    answer = http_answers.output(200, {"content-type": content_type} if content_type else {}, body)
    strict_json.check(answer)


def test_an_excerpt_is_short_clean_and_without_our_secrets():
    body = b'{"error":"bad token Bearer s3cret-token \x00\xff"}' + b"x" * 10_000
    shown = http_answers.excerpt(body, {"Bearer s3cret-token", "s3cret-token"})
    assert shown.startswith('{"error":"bad token [redacted] ')
    assert len(shown) == 500
    strict_json.check(shown)
