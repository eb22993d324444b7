"""What strangers said, as it can be kept: bounded, storable, and without the secrets of this attempt. Pure but for those.

A reply is made so before it is judged or journaled, so whoever replays the journal sees what was judged.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from executions.agents.values import CallWanted, JsonObject, Reply, Usage
from executions.secrets import hiding
from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

LONGEST_TEXT: Final = 150_000  # characters: with what stands beside it, an output stays below 1 MiB
MOST_CALLS: Final = 201  # in one answer: one more than any step may make
LARGEST_ARGUMENTS: Final = 524_288  # bytes of all calls of one answer together
LARGEST_RAW: Final = 1 << 20
LARGEST_RESULT: Final = 65_536  # bytes of what a model is told of one call
LARGEST_DETAILS: Final = 8_192
LONGEST_ID: Final = 100  # characters
LONGEST_NAME: Final = 64
LONGEST_MODEL: Final = 200
MOST_TOKENS: Final = 1_000_000_000  # of one answer, whatever a provider claims
DEEPEST_TOLD: Final = 20  # levels, of what is told beside a step's output
CUT: Final = " … (cut)"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_NO_NAME: Final = re.compile("[^A-Za-z0-9_-]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


def clean_text(text: str) -> str:
    """NUL and halves of surrogate pairs replaced."""
    return _SURROGATE.sub("\ufffd", text.replace("\0", "\ufffd"))


def shortened(text: str, most: int) -> str:
    """At most so many characters, with a mark where something was cut off."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def kept_reply(reply: Reply) -> Reply:
    """The same answer, bounded. Where anything had to be changed, `raw` is gone: it would say something else."""
    text = clean_text(hiding.hidden_json(reply.text))
    is_long = len(text) > LONGEST_TEXT
    calls = _kept_calls(reply.calls)
    kept = replace(
        reply,
        text=text[:LONGEST_TEXT],
        calls=calls,
        usage=Usage(_count(reply.usage.input_tokens), _count(reply.usage.output_tokens)),
        model=clean_text(hiding.hidden_json(reply.model))[:LONGEST_MODEL],
        finish="length" if is_long else reply.finish,
    )
    is_as_it_came = kept.text == reply.text and calls == reply.calls
    return replace(kept, raw=_kept_raw(reply.raw) if is_as_it_came else None)


def _count(tokens: Any) -> int:
    return min(max(tokens, 0), MOST_TOKENS) if isinstance(tokens, int) else 0


def _kept_raw(raw: JsonObject | None) -> JsonObject | None:
    raw = hiding.hidden_json(raw)
    return raw if raw is not None and _why_not(raw, LARGEST_RAW) is None else None


def _kept_calls(calls: tuple[CallWanted, ...]) -> tuple[CallWanted, ...]:
    kept: list[CallWanted] = []
    ids: set[str] = set()
    room = LARGEST_ARGUMENTS
    for number, call in enumerate(calls[:MOST_CALLS], start=1):
        arguments, size = _kept_arguments(call.arguments, room)
        room -= size
        name = _NO_NAME.sub("_", hiding.hidden_json(str(call.name)))[:LONGEST_NAME] or "_"
        id = _CONTROL.sub("", clean_text(hiding.hidden_json(str(call.id))))[:LONGEST_ID]
        while not id or id in ids:
            id = f"{id[: LONGEST_ID - 12]}_{number}"
        ids.add(id)
        kept.append(CallWanted(id, name, arguments))
    return tuple(kept)


def _kept_arguments(arguments: Any, room: int) -> tuple[JsonObject | str, int]:
    arguments = hiding.hidden_json(arguments)
    if isinstance(arguments, dict):
        why = _why_not(arguments, room)
        if why is None:
            return arguments, len(strict_json.canonical(arguments).encode())
        return f"(not kept: {why})", 0
    text = shortened(clean_text(str(arguments)), 2_000)
    return text, len(text)


def _why_not(value: Any, max_bytes: int) -> str | None:
    try:
        strict_json.check(value, max_bytes=max_bytes)
    except RequestRefused as refusal:
        return refusal.message
    return None


def kept_result(value: Any, most: int = LARGEST_RESULT) -> Any:
    """What a tool returned: as JSON if it can be kept, cut as text if it is too large.

    Raises:
        ValueError: it is not JSON; the message says where.
    """
    value = hiding.hidden_json(value)
    try:
        strict_json.check(value, max_bytes=most)
    except RequestRefused as refusal:
        if refusal.code not in strict_json.SIZE_CODES:
            raise ValueError(refusal.message) from None
        text = value if isinstance(value, str) else _as_text(value)
        return clean_text(text.encode("utf-8", "replace")[: most - 100].decode("utf-8", "ignore")) + CUT
    return value


def _as_text(value: Any) -> str:
    try:
        return strict_json.canonical(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"It is no JSON: {error}"[:200]) from None


def brief(value: Any, most_chars: int, most_values: int) -> Any:
    """A JSON value as it stands if it is small and not deep, else the beginning of its text."""
    if isinstance(value, str):
        return shortened(value, most_chars)
    text = strict_json.canonical(value)
    if len(text) <= most_chars:
        values, depth = _size_of(value)
        if values <= most_values and depth <= DEEPEST_TOLD:
            return value
    return shortened(text, most_chars)


def _size_of(value: Any) -> tuple[int, int]:
    """How many values it has, and how deep they lie."""
    if not isinstance(value, dict | list | tuple):
        return 1, 0
    sizes = [_size_of(item) for item in (value.values() if isinstance(value, dict) else value)]
    return 1 + sum(values for values, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
