"""JSON that PostgreSQL can store and every reader gets back unchanged.

Python's `json` accepts more than that: NaN, NUL, halves of surrogate pairs, integers of any length, one key
twice; jsonb stores `1e5000`, and then every Python reader of that row fails. So whatever comes from outside
passes `parse` before it is stored, and whatever a step made passes `check`.

Limits are looked at before objects are built: a hostile body of 1 MiB costs milliseconds and no memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any, Final

from lightfield.kernel.errors import Problem, RequestRefused

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32  # `[]` is one level deep
MAX_NODES: Final = 10_000  # values: scalars, arrays and objects; keys are not counted
MAX_KEY_CHARS: Final = 256
SIZE_CODES: Final = frozenset({"payload.too_large", "payload.too_deep", "payload.too_many_nodes"})
MIN_INTEGER: Final = -(1 << 63)
MAX_INTEGER: Final = (1 << 63) - 1
MAX_EXPONENT: Final = 308
MIN_MAGNITUDE: Final = 1e-308  # smaller ones are written with an exponent beyond 308

_INTEGER_CHARS: Final = 20  # "-9223372036854775808"; also keeps clear of Python's int-from-string limit
_FLOAT_CHARS: Final = 1100  # the longest exact decimal of a double within the exponents has 1,077 digits
# A valid document of n values has at most 2n strings, n commas, n openers and n closers.
_MAX_TOKENS: Final = 5 * MAX_NODES
_BOM: Final = b"\xef\xbb\xbf"

# A string (also one that never ends, so that the rest is not searched again), an empty container, or a mark.
# Possessive: no backtracking, hence linear time and no stack.
_TOKEN: Final = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{][ \t\n\r]*+[\]}]|[\[{\]},]', re.DOTALL
)
_SUSPECT_ESCAPE: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def parse(raw: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read one JSON value.

    Raises:
        RequestRefused: a `payload.*` code. The detail says where: a byte or character offset, a key, or, as
            `problems[0].pointer`, a JSON pointer.
    """
    if len(raw) > max_bytes:
        raise RequestRefused("payload.too_large", f"The body has {len(raw)} bytes; {max_bytes} are allowed.")
    if raw.startswith(_BOM):
        raise RequestRefused("payload.not_utf8", "The body begins with a byte order mark.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestRefused("payload.not_utf8", f"The byte at offset {error.start} is not UTF-8.") from None
    _refuse_large_shapes(raw)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        if not text.strip(" \t\n\r"):
            raise RequestRefused("payload.invalid_json", "The body is empty.") from None
        detail = f"{error.msg} at character {error.pos} (line {error.lineno}, column {error.colno})."
        raise RequestRefused("payload.invalid_json", detail) from None
    if _SUSPECT_ESCAPE.search(raw):
        check(value)
    return value


def check(value: Any, *, max_bytes: int = MAX_BYTES) -> None:
    """Apply the limits of `parse` to a value that is in memory already (a step's output, a payload by hand).

    Raises:
        RequestRefused: a `payload.*` code, with the pointer of the offending place in `problems`.
    """
    nodes = size = 0
    # With each value its depth, and the way to it as a chain of (way to the parent, key).
    stack: list[tuple[Any, int, _Path]] = [(value, 1, None)]
    while stack:
        node, depth, path = stack.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise _refused("payload.too_many_nodes", f"More than {MAX_NODES} values.", path)
        if isinstance(node, dict | list | tuple):
            size += _check_container(node, depth, path)
            children = node.items() if isinstance(node, dict) else enumerate(node)
            stack.extend((child, depth + 1, (path, key)) for key, child in children)
        else:
            size += _check_scalar(node, path)
        if size > max_bytes:
            raise _refused("payload.too_large", f"More than {max_bytes} bytes of text.", path)


def canonical(value: Any) -> str:
    """The one spelling of a value: keys sorted, no spaces, characters as they are."""
    return _ENCODER.encode(value)


def from_storage(text: str | bytes) -> Any:
    """Read what jsonb gives back.

    jsonb writes 1e300 as an integer of 301 digits; integers that `parse` would have refused are therefore
    floats that were stored, and become floats again.
    """
    return _STORAGE_DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))


def digest(raw: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(raw).digest()


_Path = tuple[Any, Any] | None


def _refused(code: str, detail: str, path: _Path) -> RequestRefused:
    tokens: list[str] = []
    while path is not None:
        path, key = path
        tokens.append("/" + str(key).replace("~", "~0").replace("/", "~1"))
    pointer = "".join(reversed(tokens))
    where = f" At {pointer!r}." if pointer else ""
    return RequestRefused(code, detail + where, [Problem(pointer, code, detail)])


def _check_container(node: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int, path: _Path) -> int:
    """Refuse depth, width and bad keys; return the bytes that its marks and keys take."""
    if depth > MAX_DEPTH:
        raise _refused("payload.too_deep", f"Nested more than {MAX_DEPTH} levels deep.", path)
    if len(node) > MAX_NODES:
        raise _refused("payload.too_many_nodes", f"More than {MAX_NODES} values.", path)
    if isinstance(node, dict):
        return len(node) + sum(_check_key(key, path) for key in node)
    return len(node)


def _check_key(key: Any, path: _Path) -> int:
    if not isinstance(key, str):
        raise _refused("payload.invalid_json", f"A key is {type(key).__name__}, not a string.", path)
    if len(key) > MAX_KEY_CHARS:
        raise _refused("payload.key_too_long", f"The key {_short(key)} has {len(key)} characters.", path)
    return _check_text(key, path)


def _check_scalar(node: Any, path: _Path) -> int:
    if isinstance(node, str):
        return _check_text(node, path)
    if isinstance(node, int | float):
        _check_number(node, path)
    elif node is not None:
        raise _refused("payload.invalid_json", f"{type(node).__name__} is not a JSON type.", path)
    return 1


def _check_text(text: str, path: _Path) -> int:
    """Refuse what cannot be stored; return the length in UTF-8."""
    if "\0" in text:
        raise _refused("payload.nul_character", "The string holds U+0000.", path)
    if text.isascii():
        return len(text)
    if _SURROGATE.search(text):
        raise _refused("payload.lone_surrogate", "The string holds half of a surrogate pair.", path)
    return len(text.encode())


def _check_number(number: int | float, path: _Path) -> None:
    if isinstance(number, int):
        if not MIN_INTEGER <= number <= MAX_INTEGER:
            raise _refused("payload.number_out_of_range", "The integer does not fit in 64 bits.", path)
    elif not math.isfinite(number):
        raise _refused("payload.not_a_number", "NaN and infinities are not JSON.", path)
    elif number and abs(number) < MIN_MAGNITUDE:
        raise _refused("payload.number_out_of_range", "The number is too close to zero.", path)


def _refuse_large_shapes(raw: bytes) -> None:
    """Look at depth and number of values without building anything.

    Counting characters gives an upper bound of both and settles ordinary bodies at once; only larger ones
    are read token by token, and no further than the first value too many.
    """
    openers = raw.count(b"[") + raw.count(b"{")
    if openers <= MAX_DEPTH and openers + raw.count(b",") < MAX_NODES:
        return
    depth, nodes = 0, 1
    for tokens, token in enumerate(_TOKEN.finditer(raw)):
        start = token.start()
        mark = raw[start]
        if mark == 0x2C:  # ,
            nodes += 1
        elif mark in b"[{":
            if depth == MAX_DEPTH:
                detail = f"More than {MAX_DEPTH} levels deep at byte {start}."
                raise RequestRefused("payload.too_deep", detail)
            if token.end() == start + 1:  # not an empty container: it has a first value
                depth += 1
                nodes += 1
        elif mark in b"]}":
            depth -= 1
        if nodes > MAX_NODES or tokens > _MAX_TOKENS:
            detail = f"More than {MAX_NODES} values at byte {start}."
            raise RequestRefused("payload.too_many_nodes", detail)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # None, as it should
        raise RequestRefused("payload.duplicate_key", f"The key {_short(twice)} stands twice in one object.")
    for key in members:
        if len(key) > MAX_KEY_CHARS:
            raise _refused("payload.key_too_long", f"The key {_short(key)} has {len(key)} characters.", None)
    return members


def _integer(literal: str) -> int:
    if len(literal) <= _INTEGER_CHARS:
        number = int(literal)
        if MIN_INTEGER <= number <= MAX_INTEGER:
            return number
    raise RequestRefused("payload.number_out_of_range", f"The integer {_short(literal)} exceeds 64 bits.")


def _float(literal: str) -> float:
    mantissa, _, exponent = literal.lower().partition("e")
    if len(literal) <= _FLOAT_CHARS and (not exponent or abs(int(exponent)) <= MAX_EXPONENT):
        number = float(literal)
        is_zero = not number and not mantissa.strip("-0.")
        if is_zero or MIN_MAGNITUDE <= abs(number) < math.inf:
            return number
    raise RequestRefused("payload.number_out_of_range", f"The number {_short(literal)} is out of range.")


def _constant(name: str) -> Any:
    raise RequestRefused("payload.not_a_number", f"{name} is not JSON.")


def _stored_integer(literal: str) -> int | float:
    if len(literal) <= _INTEGER_CHARS and MIN_INTEGER <= (number := int(literal)) <= MAX_INTEGER:
        return number
    return float(literal)


# Built once: making a decoder per call costs as much as reading a small body.
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_STORAGE_DECODER: Final = json.JSONDecoder(parse_int=_stored_integer)
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
