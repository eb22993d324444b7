"""Whatever comes back from the outside, without the secrets that were sent: cut out before anything is stored or logged.

An honest receiver may echo what it was sent, and in many spellings: in JSON, in a URL, in HTML, in base64, in hex. All of them
are searched for. (Who means ill knows the secret anyway, and could spell it in a way that nobody searches for.)

Each thread has at most one attempt in its hands; what was opened in it is kept for as long as that lasts, and no longer.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, AnyStr, Final
from urllib.parse import quote, quote_plus

from executions.egress.headers import REDACTED
from lightfield.kernel.errors import LostRace, StepError, TransientStepError

SHORTEST: Final = 6  # characters of a spelling: a shorter one would be found everywhere
TAIL: Final = 6  # characters of a secret that the end of a cut body must not show
# What JSON encoders write as \uXXXX although they need not: Go's <>&, .NET's "'+` besides.
_ESCAPED: Final = ("<>&", "<>&'", "<>&'\"+`")
_DIGIT: Final = re.compile("[A-Za-z0-9+/_-]")


@dataclass(frozen=True)
class Spelling:
    """One way to write a secret. `before`, `after`: whether the neighbouring digit of base64 holds bits of it too."""

    text: str
    before: bool = False
    after: bool = False


def spellings_of(value: str) -> frozenset[Spelling]:
    """Every spelling that is searched for."""
    return frozenset(one for one in _spellings(value) if len(one.text) >= SHORTEST)


def _spellings(value: str) -> Iterator[Spelling]:
    raw = value.encode()
    texts = {value, raw.decode("latin-1"), raw.hex(), raw.hex().upper(), repr(value)[1:-1]}
    texts |= {value.lower(), value.upper()}  # names of headers and hosts are told in lower case
    for quoted in (quote(value, safe=""), quote(value), quote_plus(value), quote(value, safe="!'()*~")):
        texts |= {quoted, re.sub("%..", lambda found: found[0].lower(), quoted)}
    for escaped in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        texts |= {escaped, escaped.replace("/", "\\/")}
        for characters in _ESCAPED:
            for form in ("\\u{:04x}", "\\u{:04X}"):
                texts.add(_rewritten(escaped, characters, form))
    texts |= {
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(value).replace("&#x27;", "&#39;"),
    }
    yield from map(Spelling, texts)
    for shift in range(3):
        yield from _base64(raw, shift)


def _rewritten(escaped: str, characters: str, form: str) -> str:
    """The JSON spelling with these characters as `\\uXXXX`; a quote stands escaped in `escaped` already."""
    for character in characters:
        written = '\\"' if character == '"' else character
        escaped = escaped.replace(written, form.format(ord(character)))
    return escaped


def _base64(raw: bytes, shift: int) -> Iterator[Spelling]:
    """As it stands in the base64 of something longer: by three, according to how many bytes come before it."""
    whole = base64.b64encode(bytes(shift) + raw).decode("ascii")
    core = whole.rstrip("=")
    has_shared_end = (shift + len(raw)) % 3 != 0
    core = core[(0, 2, 3)[shift] : -1 if has_shared_end else None]
    yield Spelling(core, shift > 0, has_shared_end)
    yield Spelling(core.replace("+", "-").replace("/", "_"), shift > 0, has_shared_end)


class Hider:
    """Knows what was opened in one attempt. Its work is one search a spelling, however much there is to search."""

    def __init__(self) -> None:
        self._spellings: set[Spelling] = set()

    def __bool__(self) -> bool:
        return bool(self._spellings)

    def remember(self, value: str) -> None:
        self._spellings |= spellings_of(value)

    def text(self, text: str) -> str:
        return _without(text, [one for one in self._spellings if one.text in text], REDACTED)

    def body(self, body: bytes) -> bytes:
        """A body as it came, in UTF-8 or UTF-16, also one that was cut off within a secret."""
        if not self._spellings:
            return body
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            known = [(one, one.text.encode(encoding, "replace")) for one in self._spellings]
            present = [_BytesSpelling(raw, one.before, one.after) for one, raw in known if raw in body]
            body = _without(body, present, REDACTED.encode(encoding))
        return self._without_tail(body)

    def json(self, value: Any) -> Any:
        """The same JSON without them, names of fields included. Untouched when there is nothing to hide."""
        if not self._spellings:
            return value
        everything = "\n".join(_texts_of(value))
        present = [one for one in self._spellings if one.text in everything]
        return _cleaned(value, present) if present else value

    def clean(self, error: StepError) -> None:
        """An error's message and facts, in place: they are stored, told and logged."""
        error.message = self.text(error.message)
        error.metadata = self.json(error.metadata)
        error.args = (f"{error.code}: {error.message}",)
        error.__cause__, error.__suppress_context__ = None, True  # a log of both would quote the other one

    def _without_tail(self, body: bytes) -> bytes:
        for one in self._spellings:
            raw = one.text.encode("utf-8", "replace")
            if raw[:TAIL] not in body[-len(raw) :]:
                continue
            for length in range(min(len(raw) - 1, len(body)), TAIL - 1, -1):
                if body.endswith(raw[:length]):
                    return body[: len(body) - length] + REDACTED.encode()
        return body


@dataclass(frozen=True)
class _BytesSpelling:
    text: bytes
    before: bool
    after: bool


_current: ContextVar[Hider | None] = ContextVar("secrets_of_this_attempt", default=None)


@contextmanager
def secrets() -> Iterator[Hider]:
    """Around one attempt: what is opened inside is in no error that comes out. Clean what it returns by `Hider.json`."""
    hider = Hider()
    token = _current.set(hider)
    try:
        yield hider
    except (LostRace, MemoryError):
        raise
    except StepError as error:
        if hider:
            hider.clean(error)
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        if hider.text(message) == message:
            raise
        # Chained to nothing: the original, and every traceback of it, says what must not be said.
        raise TransientStepError("step.unexpected", hider.text(message)[:500], sent=True) from None
    finally:
        _current.reset(token)


def remember(value: str) -> None:
    """A value was opened. Outside an attempt there is nothing to hide it from."""
    hider = _current.get()
    if hider is not None and value:
        hider.remember(value)


def hidden(body: bytes) -> bytes:
    """A body without the secrets of this attempt: to call before anything is cut from it, decoded or quoted."""
    hider = _current.get()
    return body if hider is None else hider.body(body)


def hidden_json(value: Any) -> Any:
    """The same of a JSON value."""
    hider = _current.get()
    return value if hider is None else hider.json(value)


def hidden_fields(fields: dict[str, str]) -> dict[str, str]:
    """The same of the fields of a head, names included."""
    hider = _current.get()
    return (
        fields if hider is None else {hider.text(name): hider.text(value) for name, value in fields.items()}
    )


def _texts_of(value: Any) -> Iterator[str]:
    """Every text in a JSON value; long numbers too, which a secret of digits could look like."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield str(name)
            yield from _texts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_of(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _cleaned(value: Any, present: list[Spelling]) -> Any:
    if isinstance(value, str):
        return _without(value, [one for one in present if one.text in value], REDACTED)
    if isinstance(value, dict):
        return {_cleaned(name, present): _cleaned(item, present) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item, present) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return REDACTED if any(one.text in str(value) for one in present) else value
    return value


def _without(text: AnyStr, present: Iterable[Any], marker: AnyStr) -> AnyStr:
    """All places of all spellings found first, then cut: secrets may overlap, and one may be part of another."""
    places = sorted(place for one in present for place in _places(text, one))
    if not places:
        return text
    kept: list[AnyStr] = []
    end = 0
    for start, stop in places:
        if start > end or not kept:
            kept += [text[end:start], marker]
        end = max(end, stop)
    kept.append(text[end:])
    return text[:0].join(kept)


def _places(text: AnyStr, one: Any) -> Iterator[tuple[int, int]]:
    at = text.find(one.text)
    while at >= 0:
        stop = at + len(one.text)
        has_before = one.before and _is_digit(text[max(0, at - 1) : at])
        has_after = one.after and _is_digit(text[stop : stop + 1])
        yield at - has_before, stop + has_after
        at = text.find(one.text, stop)


def _is_digit(text: str | bytes) -> bool:
    """Of base64, in either alphabet."""
    return bool(_DIGIT.fullmatch(text if isinstance(text, str) else text.decode("latin-1")))
