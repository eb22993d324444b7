"""Filters on text. A value that is not text is first written as it would be inside text."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import urllib.parse
from typing import Any

from workflows.templating.faults import VALUE_LIMIT, Budget, failed
from workflows.templating.filter_table import liquid_filter, room_for_items, room_for_text, whole
from workflows.templating.missing import Missing
from workflows.templating.values import text_of, weigh

NEWLINE = re.compile(r"\r?\n")
TAG_START = re.compile("<(?=[a-zA-Z/!?])")  # "5 < 6" is text
TAG_END = re.compile(">")
HTML_BLOCKS = {
    "<!--": re.compile("-->"),
    "<script": re.compile("</script>", re.IGNORECASE),
    "<style": re.compile("</style>", re.IGNORECASE),
}


def _text(budget: Budget, value: Any) -> str:
    return text_of(value, budget, VALUE_LIMIT)


@liquid_filter("default", catches_missing=True)
def default(_budget: Budget, value: Any, fallback: Any = "") -> Any:
    """The argument when the value is missing, null or empty text; `false` and 0 stay."""
    return fallback if type(value) is Missing or value is None or value == "" else value


@liquid_filter("json")
def json_text(budget: Budget, value: Any) -> str:
    """The value as JSON text."""
    weigh(value, budget, VALUE_LIMIT)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@liquid_filter("upcase")
def upcase(budget: Budget, value: Any) -> str:
    """All letters as capitals."""
    return _text(budget, value).upper()


@liquid_filter("downcase")
def downcase(budget: Budget, value: Any) -> str:
    """All letters small."""
    return _text(budget, value).lower()


@liquid_filter("capitalize")
def capitalize(budget: Budget, value: Any) -> str:
    """The first letter as a capital, the others small."""
    return _text(budget, value).capitalize()


@liquid_filter("strip")
def strip(budget: Budget, value: Any) -> str:
    """Without spaces at both ends."""
    return _text(budget, value).strip()


@liquid_filter("lstrip")
def lstrip(budget: Budget, value: Any) -> str:
    """Without spaces at the start."""
    return _text(budget, value).lstrip()


@liquid_filter("rstrip")
def rstrip(budget: Budget, value: Any) -> str:
    """Without spaces at the end."""
    return _text(budget, value).rstrip()


@liquid_filter("append")
def append(budget: Budget, value: Any, ending: Any) -> str:
    """The value followed by the argument."""
    return _text(budget, value) + _text(budget, ending)


@liquid_filter("prepend")
def prepend(budget: Budget, value: Any, beginning: Any) -> str:
    """The argument followed by the value."""
    return _text(budget, beginning) + _text(budget, value)


def _replaced(budget: Budget, value: Any, old: Any, new: Any, times: int) -> str:
    text, gone, come = _text(budget, value), _text(budget, old), _text(budget, new)
    count = text.count(gone) if times < 0 else min(times, text.count(gone))
    room_for_text(len(text) + count * (len(come) - len(gone)))
    return text.replace(gone, come, times)


@liquid_filter("replace")
def replace(budget: Budget, value: Any, old: Any, new: Any = "") -> str:
    """Every occurrence of the first argument replaced by the second."""
    return _replaced(budget, value, old, new, -1)


@liquid_filter("replace_first")
def replace_first(budget: Budget, value: Any, old: Any, new: Any = "") -> str:
    """The first occurrence replaced."""
    return _replaced(budget, value, old, new, 1)


@liquid_filter("remove")
def remove(budget: Budget, value: Any, old: Any) -> str:
    """Every occurrence of the argument taken out."""
    return _replaced(budget, value, old, "", -1)


@liquid_filter("remove_first")
def remove_first(budget: Budget, value: Any, old: Any) -> str:
    """The first occurrence taken out."""
    return _replaced(budget, value, old, "", 1)


@liquid_filter("split")
def split(budget: Budget, value: Any, separator: Any) -> list[str]:
    """The pieces between the separators; an empty separator gives the characters, empty text no piece."""
    text, mark = _text(budget, value), _text(budget, separator)
    room_for_items(text.count(mark) + 1 if mark else len(text))
    if not text:
        return []
    return text.split(mark) if mark else list(text)


@liquid_filter("truncate")
def truncate(budget: Budget, value: Any, length: Any = 50, ending: Any = "...") -> str:
    """At most that many characters, the ending included."""
    text, end, room = _text(budget, value), _text(budget, ending), whole(length, "truncate")
    return text if len(text) <= room else text[: max(0, room - len(end))] + end


@liquid_filter("truncatewords")
def truncatewords(budget: Budget, value: Any, count: Any = 15, ending: Any = "...") -> str:
    """At most that many words, then the ending."""
    text, words = _text(budget, value), max(1, whole(count, "truncatewords"))
    pieces = text.split(maxsplit=words)
    return text if len(pieces) <= words else " ".join(pieces[:words]) + _text(budget, ending)


@liquid_filter("escape")
def escape(budget: Budget, value: Any) -> str:
    """Safe inside HTML."""
    return html.escape(_text(budget, value))


@liquid_filter("strip_html")
def strip_html(budget: Budget, value: Any) -> str:
    """Without HTML tags, comments, scripts and styles."""
    text = _text(budget, value)
    budget.spend(text.count("<"))
    kept: list[str] = []
    position, dead = 0, set[re.Pattern[str]]()
    while opening := TAG_START.search(text, position):
        start = opening.start()
        kept.append(text[position:start])
        for closer in _closers_at(text, start):
            if closer not in dead and (end := closer.search(text, start)):
                position = end.end()
                break
            dead.add(closer)  # not found once, never found later: a million unclosed tags stay cheap
        else:
            kept.append("<")
            position = start + 1
    return "".join(kept) + text[position:]


def _closers_at(text: str, start: int) -> list[re.Pattern[str]]:
    """What may end the piece of HTML that begins at `start`, the longest piece first."""
    opening = text[start : start + 7].lower()
    longer = [closer for beginning, closer in HTML_BLOCKS.items() if opening.startswith(beginning)]
    return [*longer, TAG_END]


@liquid_filter("newline_to_br")
def newline_to_br(budget: Budget, value: Any) -> str:
    """A `<br />` before every line break."""
    text = _text(budget, value)
    room_for_text(len(text) + 6 * text.count("\n"))
    return NEWLINE.sub("<br />\n", text)


@liquid_filter("strip_newlines")
def strip_newlines(budget: Budget, value: Any) -> str:
    """Without line breaks."""
    return NEWLINE.sub("", _text(budget, value))


@liquid_filter("url_encode")
def url_encode(budget: Budget, value: Any) -> str:
    """Safe inside a query string; a space becomes `+`."""
    return urllib.parse.quote_plus(_text(budget, value))


@liquid_filter("url_decode")
def url_decode(budget: Budget, value: Any) -> str:
    """The opposite of `url_encode`."""
    try:
        return _storable(urllib.parse.unquote_plus(_text(budget, value), errors="strict"), "url_decode")
    except UnicodeDecodeError:
        raise failed("The filter url_decode needs percent-encoded UTF-8.") from None


@liquid_filter("base64_encode")
def base64_encode(budget: Budget, value: Any) -> str:
    """Base64 of the text in UTF-8."""
    return base64.b64encode(_text(budget, value).encode()).decode()


@liquid_filter("base64_decode")
def base64_decode(budget: Budget, value: Any) -> str:
    """The text that base64 stands for."""
    try:
        decoded = base64.b64decode(_text(budget, value).encode(), validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise failed("The filter base64_decode needs base64 of text in UTF-8.") from None
    return _storable(decoded, "base64_decode")


def _storable(text: str, name: str) -> str:
    if "\0" in text:
        raise failed(f"The filter {name} met the character NUL, which cannot be stored.")
    return text
