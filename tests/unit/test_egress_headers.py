import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.egress.headers import decode_fields, encode_fields, is_secret
from lightfield.kernel.errors import PermanentStepError


def test_names_and_values_become_bytes():
    fields = encode_fields({"X-Kind": " sign\tup ", "X-Name": "Zoë", "X-Empty": ""})
    assert fields == [(b"X-Kind", b"sign\tup"), (b"X-Name", "Zoë".encode()), (b"X-Empty", b"")]


def test_ours_is_the_accept_encoding():
    assert encode_fields({"Accept-Encoding": "br", "Accept": "text/html"}) == [(b"Accept", b"text/html")]


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "host", "CONTENT-LENGTH", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer"),
        *("Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection", "HTTP2-Settings"),
    ],
)
def test_framing_and_hop_by_hop_headers_cannot_be_set(name):
    with pytest.raises(PermanentStepError) as caught:
        encode_fields({name: "1"})
    assert (caught.value.code, caught.value.sent) == ("egress.invalid_header", False)
    assert name in caught.value.message


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nHost: evil"},
        {"X": "a\nb"},
        {"X": "a\rb"},
        {"X": "a\x00b"},
        {"X": "a\x7f"},
        {"X": "\ud800"},
        {"X\r\nHost": "a"},
        {"X Y": "a"},
        {"X:": "a"},
        {"": "a"},
        {"Ü": "a"},
        {"x" * 129: "a"},
        {"X-A": "1", "x-a": "2"},
        {f"X-{number}": "" for number in range(101)},
        {"X": "a" * 40_000},
    ],
)
def test_refused(headers):
    with pytest.raises(PermanentStepError) as caught:
        encode_fields(headers)
    assert caught.value.code == "egress.invalid_header"


def test_the_refusal_never_shows_the_value():
    with pytest.raises(PermanentStepError) as caught:
        encode_fields({"Authorization": "Bearer s3cret\n"})
    assert "s3cret" not in caught.value.message


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=5))
def test_whatever_passes_can_be_sent(headers):
    try:
        fields = encode_fields(headers)
    except PermanentStepError:
        return
    raw = h11.Connection(h11.CLIENT).send(
        h11.Request(method="GET", target="/", headers=[(b"Host", b"example.com"), *fields])
    )
    assert raw.count(b"\r\n") == len(fields) + 3  # the request line, Host, the empty line


@pytest.mark.parametrize(
    "name",
    ["Authorization", "cookie", "Set-Cookie", "X-Api-Key", "X-Auth-Token", "client_secret", "X-Signature"],
)
def test_secret_headers(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["Content-Type", "Idempotency-Key", "X-Kind", "Accept", "traceparent"])
def test_other_headers(name):
    assert not is_secret(name)


def test_repeated_answer_headers_are_joined():
    fields = [(b"vary", b"a"), (b"Vary", b"b"), (b"x-name", b"Zo\xeb")]
    assert decode_fields(fields) == {"vary": "a, b", "x-name": "Zoë"}
