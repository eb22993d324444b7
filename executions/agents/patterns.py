"""Regular expressions by strangers, for texts by strangers: by the engine that pydantic has, which takes linear time. Pure.

Linear in the text, times the length of the pattern with its repetitions written out: `(a{1000}){10}` is 10,000 long, and took 39
seconds for one text of a model, in which nothing else ran in the process. So patterns have a greatest length, and the work of a
match can be told before it is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from pydantic_core import SchemaError, SchemaValidator, core_schema

from lightfield.kernel.errors import Problem

TOO_LONG: Final = "The patterns of this schema are too long with their repetitions."
LONGEST: Final = 5_000  # of all patterns of a schema, repetitions written out
HEAVY: Final = 5  # what a class of all the world's letters counts for: it compiles in a millisecond
STEPS: Final = 2_000  # of a match are one unit of work; some 40 million take a second
_ESCAPE: Final = re.compile(r"\\(?:[pPxuU]\{[^}]{0,60}\}|.)|\\", re.DOTALL)
_REPETITION: Final = re.compile(r"\{\s*+0*([0-9]{1,10})\s*+(?:,\s*+0*([0-9]{0,10})\s*+)?\}")
_HEAVY: Final = re.compile(r"\\[wWpP]")
# The flag x: its blanks and comments would have to be read as the engine does.
_FREE: Final = re.compile(r"\(\?[A-Za-z-]*x")


def flaws_in(schema: Any) -> Iterator[Problem]:
    """The first pattern of a schema that cannot be used, with its place."""
    left = LONGEST
    for pointer, pattern in _patterns(schema, ""):
        left -= length(pattern)
        if why := TOO_LONG if left < 0 else _why_not(pattern):
            yield Problem(pointer, "config.invalid", why[:300])
            return


def length(pattern: str) -> int:
    """Characters that a match goes through at most, unlimited repetitions counted once. Rather more than less."""
    open_groups: list[int] = []
    # Of the group so far, without its last part; of that part, which a repetition multiplies.
    total = last = at = 0
    while at < len(pattern):
        repeated = _REPETITION.match(pattern, at)
        end = _end(pattern, at) if repeated is None else repeated.end()
        if repeated is not None:
            last *= max(1, int(repeated[1]), int(repeated[2] or 0))
        elif pattern[at] == "(":
            open_groups.append(total + last)
            total = last = 0
        elif pattern[at] == ")":
            last, total = last + total, open_groups.pop() if open_groups else 0
        else:
            total, last = total + last, HEAVY if _HEAVY.search(pattern, at, end) else 1
        at = end
    return sum(open_groups) + total + last


def _end(pattern: str, at: int) -> int:
    """Where the part ends that begins here: an escape, a class, or one character. A class in a class ends both: that counts more."""
    if pattern[at] == "[":
        begin = at + 1 + pattern.startswith("^", at + 1)
        place = begin + pattern.startswith("]", begin)
        while place < len(pattern) and pattern[place] != "]":
            place += 2 if pattern[place] == "\\" else 1
        return place + 1
    escape = _ESCAPE.match(pattern, at)
    return at + 1 if escape is None else escape.end()


def work_of(pattern: str, text: str) -> int:
    """Units of work that a match takes at most."""
    return _length(pattern) * len(text) // STEPS


def matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).isinstance_python(text)


_length = lru_cache(maxsize=256)(length)


@lru_cache(maxsize=64)  # one may take 10 MB
def _compiled(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))


def _why_not(pattern: str) -> str | None:
    if _FREE.search(pattern):
        return f"The pattern {pattern[:60]!r} cannot be used: its flag x is not supported."
    try:
        _compiled(pattern)
    except SchemaError as error:
        last = str(error).strip().rpartition("\n")[2]
        return f"The pattern {pattern[:60]!r} cannot be used: {last}"
    return None


def _patterns(node: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every pattern with its place, also where it is none: a property may be called so, and a reference leads anywhere."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node):
        at = f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"
        if name == "pattern" and isinstance(value, str):
            yield at, value
        elif name == "patternProperties" and isinstance(value, dict):
            yield from ((at, one) for one in value)
        if isinstance(value, dict | list):
            yield from _patterns(value, at)
