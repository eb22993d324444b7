"""`http_request` without the network: its config, the frozen request, and what answers mean."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.steps import http_answers
from executions.steps.http_request import HttpRequest, classify
from lightfield.kernel import strict_json
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError
from tests.servers import gzipped
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
        ({"form": {}}, "", None),
        ({"form": {"a": []}}, "", None),
        ({"form": {"a": "", "é": "ü & + % ="}}, "a=&%C3%A9=%C3%BC+%26+%2B+%25+%3D", None),
        ({"form": {"a": "one\r\ntwo", "e": "👋"}}, "a=one%0D%0Atwo&e=%F0%9F%91%8B", None),
        ({"form": {"n": 1e22, "m": 1.0, "big": 10**18}}, "n=1e%2B22&m=1.0&big=1000000000000000000", None),
        ({"json": False}, "false", "application/json"),
        ({"json": []}, "[]", "application/json"),
        ({"json": [1.0, 1e22, "\u2028"]}, '[1.0,1e+22,"\u2028"]', "application/json"),
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


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({}, ""),
        ({"a": None}, ""),
        ({"a": []}, ""),
        ({"a": ""}, "?a="),
        ({"": "a"}, "?=a"),
        ({"a": ["x", "x", ""]}, "?a=x&a=x&a="),
        ({"a": " +%&=#?/"}, "?a=+%2B%25%26%3D%23%3F%2F"),
        ({"a": 0}, "?a=0"),
        ({"a[]": [1, True, 2.5]}, "?a%5B%5D=1&a%5B%5D=true&a%5B%5D=2.5"),
        ({"é": "👋\n"}, "?%C3%A9=%F0%9F%91%8B%0A"),
    ],
)
def test_queries(query, sent):
    assert freeze(query=query)["url"] == URL + sent


def test_what_the_url_has_already_is_kept_as_it_is():
    request = freeze(url=URL + "?a=1%2B1&a=b+c&t=100%25#part", query={"a": 2})
    assert request["url"] == URL + "?a=1%2B1&a=b+c&t=100%25&a=2"


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"query": {"a": {"b": 1}}}, "/query/a"),
        ({"query": {"a": [{"b": 1}]}}, "/query/a"),
        ({"query": {"a": [[1]]}}, "/query/a"),
        ({"query": {"a": [None]}}, "/query/a"),
        ({"query": "a=b"}, "/query"),
        ({"form": {"a": {"b": 1}}}, "/form/a"),
        ({"form": [["a", 1]]}, "/form"),
        ({"body": {"a": 1}}, "/body"),
        ({"body": 5}, "/body"),
    ],
)
def test_what_has_no_one_spelling_is_refused_where_it_stands(config, pointer):
    with pytest.raises(PermanentStepError) as caught:
        freeze(**config)
    assert caught.value.code == "config.invalid"
    assert caught.value.metadata["pointer"].startswith(pointer)
    assert pointer in caught.value.message


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
        ({"json": {"a": "\ud800"}}, "config.invalid"),
        ({"form": {"a": "\ud800"}}, "config.invalid"),
        ({"form": {"\ud800": "a"}}, "config.invalid"),
        ({"query": {"a": "\ud800"}}, "egress.invalid_url"),
        ({"query": {"a": "x" * 9000}}, "egress.invalid_url"),
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
        ("", gzipped(b"x")),
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


KIB = 1 << 10


@pytest.mark.parametrize(
    ("content_type", "body", "kept"),
    [
        ("text/plain", b"x" * 256 * KIB, "x" * 256 * KIB),
        ("application/json", b"[" + b" " * 300 * KIB + b"1]", [1]),
        ("image/png", b"\xff" * 192 * KIB, base64.b64encode(b"\xff" * 192 * KIB).decode()),
    ],
)
def test_256_kib_of_a_body_are_kept_whole(content_type, body, kept):
    answer = http_answers.output(200, {"content-type": content_type}, body)
    assert answer["body"] == kept
    assert "truncated" not in answer


@pytest.mark.parametrize(
    ("content_type", "body", "kept"),
    [
        ("text/plain", b"x" * 256 * KIB + b"y", b"x" * 256 * KIB),
        # never half a character
        ("text/plain", b"x" + "é".encode() * 200 * KIB, b"x" + "é".encode() * (128 * KIB - 1)),
        ("text/plain; charset=iso-8859-1", b"\xe9" * 200 * KIB, "é".encode() * 128 * KIB),
        # JSON cannot be cut and stay JSON: it is the text that it came as
        ("application/json", b'{"a":"' + b"x" * 300 * KIB + b'"}', b'{"a":"' + b"x" * (256 * KIB - 6)),
    ],
)
def test_given_more_than_256_kib_then_the_beginning_is_kept_with_a_mark(content_type, body, kept):
    answer = http_answers.output(200, {"content-type": content_type}, body)
    assert answer["body"].encode() == kept
    assert (answer["truncated"], answer["size_bytes"]) == (True, len(body))
    strict_json.check(answer)


def test_given_more_than_256_kib_that_are_no_text_then_the_beginning_is_kept_with_a_mark():
    body = bytes(range(256)) * KIB
    answer = http_answers.output(200, {"content-type": "image/png"}, body)
    assert len(answer["body"]) <= 256 * KIB
    assert body.startswith(base64.b64decode(answer["body"]))
    assert (answer["truncated"], answer["size_bytes"]) == (True, len(body))


def test_headers_that_tell_who_somebody_is_are_not_shown():
    secret = (
        "set-cookie",
        "x-csrf-token",
        "authorization",
        "x-api-key",
        "authentication-info",
        "x-amz-signature",
    )
    answer = http_answers.output(201, {**dict.fromkeys(secret, "s3cret"), "x-kind": "a"}, b"")
    assert answer["headers"] == {**dict.fromkeys(secret, "[redacted]"), "x-kind": "a"}
    assert "headers_truncated" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        {f"x-{number}": "a" for number in range(101)},
        {"x-long": "a" * 5000},
        {f"x-{number}": "a" * 4000 for number in range(5)},
        {"x-wide": "é" * 4096, "x-wider": "é" * 4096, "x-widest": "é" * 4096},
    ],
)
def test_headers_beyond_their_limits_are_left_out_with_a_mark(headers):
    answer = http_answers.output(200, headers, b"{}")
    assert answer["headers_truncated"] is True
    assert len(answer["headers"]) <= 100
    assert sum(len(name) + len(value.encode()) for name, value in answer["headers"].items()) <= 16 * KIB
    assert all(len(value) <= 4096 for value in answer["headers"].values())


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
