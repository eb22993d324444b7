"""Secrets are cut out of whatever comes back, in every spelling that an honest receiver uses."""

from __future__ import annotations

import base64
import html
import json
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.secrets import hiding
from executions.secrets.hiding import Hider
from lightfield.kernel.errors import LostRace, PermanentStepError, TransientStepError

VALUES = [
    "sk_live_51HcanaryQ7",
    "p@ss w0rd/with?all&of=it+%",
    "quote\"back\\slash'<tag>",
    "grüße-🗝-passwort",
    "0123456789012",
    "aaaaaaaaaaaa",
]
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda v: v,
    "header": lambda v: f"Bearer {v}",
    "mojibake": lambda v: v.encode().decode("latin-1"),
    "json": json.dumps,
    "json in utf-8": lambda v: json.dumps(v, ensure_ascii=False),
    "json of php": lambda v: json.dumps(v).replace("/", "\\/"),
    "json of go": lambda v: json.dumps(v).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "json of .net": lambda v: json.dumps(v).replace('\\"', "\\u0022").replace("'", "\\u0027").replace("+", "\\u002B")
    .replace("<", "\\u003C").replace(">", "\\u003E").replace("&", "\\u0026"),
    "url": quote,
    "url, all": lambda v: quote(v, safe=""),
    "form": lambda v: urlencode({"a": v}),
    "url in small letters": lambda v: quote_plus(v).lower() if v.isascii() and v.islower() else quote_plus(v),
    "html": html.escape,
    "html, quotes left": lambda v: html.escape(v, quote=False),
    "repr": repr,
    "hex": lambda v: v.encode().hex(),
    "hex in capitals": lambda v: v.encode().hex().upper(),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64url": lambda v: base64.urlsafe_b64encode(v.encode()).decode().rstrip("="),
    "base64 behind one": lambda v: base64.b64encode(b"u" + v.encode()).decode(),
    "base64 behind two": lambda v: base64.b64encode(b"u:" + v.encode() + b"!").decode(),
    "base64 amid text": lambda v: base64.b64encode(b"user:" + v.encode() + b"\nmore text").decode(),
}  # fmt: skip


def knowing(*values: str) -> Hider:
    hider = Hider()
    for value in values:
        hider.remember(value)
    return hider


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_cut_out_of_text_json_and_bodies(value, spelling):
    echo = SPELLINGS[spelling](value)
    hider = knowing(value)

    shown = [
        hider.text(f"before {echo} after"),
        json.dumps(hider.json({"a": [{"b": f"x{echo}y"}], echo: 1}), ensure_ascii=False),
        hider.body(f"<p>{echo}</p>".encode()).decode(),
    ]

    for text in shown:
        assert "[redacted]" in text
        for bits in (value, echo.strip("\"'"), value[:-2], value[2:]):
            assert bits not in text
    assert shown[0].startswith("before ")
    assert shown[0].endswith(" after")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_body_in_another_encoding(encoding):
    body = f"dein Schlüssel: {VALUES[3]}.".encode(encoding)

    assert knowing(VALUES[3]).body(body).decode(encoding) == "dein Schlüssel: [redacted]."


@pytest.mark.parametrize("kept", range(6, 19))
def test_a_body_that_was_cut_within_a_secret_shows_no_beginning_of_it(kept):
    body = b"x" * 100 + VALUES[0][:kept].encode()

    assert knowing(VALUES[0]).body(body) == b"x" * 100 + b"[redacted]"


def test_overlapping_secrets_and_one_within_another_leave_nothing():
    hider = knowing("abcdefgh12", "gh12345678", "cdefgh")

    assert hider.text("<abcdefgh12345678>") == "<[redacted]>"
    assert hider.text("<cdefgh>") == "<[redacted]>"


def test_a_number_made_of_the_digits_of_a_secret_is_cut_out_too():
    assert knowing("0123456789012").json({"a": 123456789012, "b": 5}) == {"a": 123456789012, "b": 5}
    assert knowing("123456789012").json({"a": 123456789012, "b": 5, "c": True}) == {"a": "[redacted]", "b": 5, "c": True}  # fmt: skip


def test_without_secrets_nothing_is_looked_at():
    value = {"a": ["b"]}

    assert Hider().json(value) is value
    assert knowing("something else").json(value) is value
    assert Hider().body(b"abc") == b"abc"


@given(
    value=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, blacklist_categories=["Cs", "Cc"]), min_size=8),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)  # fmt: skip
def test_whatever_the_secret_and_whatever_stands_around_it_it_is_not_there_afterwards(value, before, after):
    hider = knowing(value)
    text = before + value + after

    assert value not in hider.text(text).replace("[redacted]", "\0")
    assert value not in json.dumps(hider.json({"a": text}), ensure_ascii=False).replace("[redacted]", "\0")
    encoded = base64.b64encode(text.encode(errors="replace")).decode()
    assert base64.b64encode(value.encode()).decode()[4:-4] not in hider.text(encoded) or len(value) < 12


def test_a_mebibyte_with_twenty_secrets_ends():
    values = [f"{n:02}-canary-{'x' * n}/+=" for n in range(20)]
    body = ("aaaa" * 1000 + "/+=".join(values)) * 200

    assert "canary" not in knowing(*values).body(body[: 1 << 20].encode()).decode()


def fail_with(error: BaseException) -> None:
    with hiding.secrets():
        hiding.remember(VALUES[0])
        raise error


@pytest.mark.parametrize("kind", [PermanentStepError, TransientStepError])
def test_an_error_of_an_attempt_says_nothing_of_what_was_opened_in_it(kind):
    error = kind("http.client_error", f"said {VALUES[0]}", body_excerpt=f"got {VALUES[0]}", status_code=400)

    with pytest.raises(kind) as caught:
        fail_with(error)

    assert str(caught.value) == "http.client_error: said [redacted]"
    assert caught.value.metadata == {"body_excerpt": "got [redacted]", "status_code": 400}


def test_an_error_that_nobody_foresaw_is_told_without_them_and_without_its_chain():
    with pytest.raises(TransientStepError) as caught:
        fail_with(ValueError(f"bad header {VALUES[0]}"))

    error = caught.value
    assert (error.code, error.message) == ("step.unexpected", "ValueError: bad header [redacted]")
    assert (error.sent, error.__suppress_context__) == (True, True)


def test_an_error_is_told_without_the_one_that_caused_it():
    error = PermanentStepError("http.client_error", "no")
    error.__cause__ = KeyError(VALUES[0])

    with pytest.raises(PermanentStepError) as caught:
        fail_with(error)

    assert VALUES[0] not in "".join(traceback.format_exception(caught.value))


def test_what_is_json_only_nearly_is_searched_too():
    hider = Hider()
    hider.remember(VALUES[0])

    assert hider.json({"a": (VALUES[0], [VALUES[0]]), 7: VALUES[0]}) == {
        "a": ["[redacted]", ["[redacted]"]],
        7: "[redacted]",
    }


@pytest.mark.parametrize("error", [LostRace(), MemoryError(), ValueError("harmless")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught:
        fail_with(error)
    assert caught.value is error


def test_what_one_attempt_opened_the_next_does_not_know():
    with hiding.secrets():
        hiding.remember(VALUES[0])
    with hiding.secrets() as hider:
        assert not hider
    hiding.remember(VALUES[0])
    assert hiding.hidden(VALUES[0].encode()) == VALUES[0].encode()
