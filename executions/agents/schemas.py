"""JSON Schema for what a model gives: its final output, and the arguments of its calls.

Author and model are strangers to us, so a schema may be hostile to whoever checks by it, and a value too. Nothing here is ever
fetched, patterns are matched in linear time (by the engine that pydantic has, without look-around and back-references), and
the work of one check is counted and ends. Linear time is long for a long text and a pattern whose repetitions make it long, so
those are measured too (`patterns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from itertools import islice
from typing import Any, Final

from executions.agents import patterns
from executions.agents.values import JsonObject
from lightfield.kernel import strict_json
from lightfield.kernel.errors import Problem, RequestRefused

LARGEST: Final = 65_536  # bytes of a schema
MOST_WORK: Final = 100_000  # keywords looked at, and items gone through, in one check: under a second
MOST_PROBLEMS: Final = 20
LONGEST_DETAIL: Final = 300  # characters
QUOTED_CHARS: Final = 100  # of a value in an error, for one unit of work
# Their work cannot be counted, or they change what the words beside them mean.
UNSUPPORTED: Final = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary",
                      "unevaluatedProperties", "unevaluatedItems")  # fmt: skip

_left: ContextVar[list[int]] = ContextVar("work_left_of_this_check")


class _TooMuchWork(Exception):
    """The check would take too long."""


class Schema:
    """A schema that can be used. Raises RequestRefused: `config.invalid`, each problem with its place in the schema."""

    def __init__(self, schema: JsonObject) -> None:
        if problems := flaws_in(schema):
            raise RequestRefused("config.invalid", problems[0].detail, problems)
        self.schema = schema

    def problems(self, value: Any) -> list[JsonObject]:
        """What is wrong with a JSON value, in short: `[{"pointer", "detail"}]`, at most 20. Empty: it fits."""
        return _problems(self.schema, value)


def flaws_in(schema: Any) -> list[Problem]:
    """Why a schema cannot be used; pointers into it."""
    try:
        strict_json.check(schema, max_bytes=LARGEST)
    except RequestRefused as refusal:
        return [Problem("", "config.invalid", refusal.message)]
    if not isinstance(schema, dict):
        return [_flaw("", "A schema is an object.")]
    found = [*patterns.flaws_in(schema)] or list(islice(_flaws(schema, "", schema), MOST_PROBLEMS))
    if found:
        return found
    wrong = _problems(_dialect().META_SCHEMA, _bare(schema))
    return [_flaw(one["pointer"], one["detail"]) for one in wrong]


def _flaws(node: Any, pointer: str, root: JsonObject) -> Iterator[Problem]:
    if isinstance(node, list):
        for place, item in enumerate(node):
            yield from _flaws(item, f"{pointer}/{place}", root)
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        at = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
        if name in UNSUPPORTED or (name == "$schema" and isinstance(value, str) and pointer):
            yield _flaw(at, f"{name} is not supported.")
        elif name == "$ref" and isinstance(value, str) and not _is_there(value, root):
            yield _flaw(at, f"{value[:100]!r} is no place in this schema, such as '#/$defs/item'.")
        yield from _flaws(value, at, root)


def _flaw(pointer: str, detail: str) -> Problem:
    return Problem(pointer, "config.invalid", detail[:LONGEST_DETAIL])


def _is_there(reference: str, root: Any) -> bool:
    if not reference.startswith("#"):
        return False
    node = root
    for token in reference[1:].split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return False
    return reference[1:2] in ("", "/") and isinstance(node, dict | bool)


def _problems(schema: JsonObject, value: Any) -> list[JsonObject]:
    import referencing

    token = _left.set([MOST_WORK])
    try:
        validator = _dialect()(_bare(schema), registry=referencing.Registry())
        return [_told(error) for error in islice(validator.iter_errors(value), MOST_PROBLEMS)]
    except (_TooMuchWork, RecursionError):
        return [{"pointer": "", "detail": "Checking it against the schema is too much work."}]
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  a reference may lead to what is no schema, and a check then fails in any way
        return [{"pointer": "", "detail": f"It cannot be checked: {error}"[:LONGEST_DETAIL]}]
    finally:
        _left.reset(token)


def _told(error: Any) -> JsonObject:
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path)
    return {"pointer": pointer, "detail": str(error.message)[:LONGEST_DETAIL]}


def _bare(schema: JsonObject) -> JsonObject:
    """Without its name for the dialect: it would have itself checked by another validator than ours."""
    return {name: value for name, value in schema.items() if name != "$schema"}


# --- our dialect: draft 2020-12, counted -------------------------------------------------------------------


@cache
def _dialect() -> Any:
    """Half a second to import, and only agents need it."""
    from jsonschema import Draft202012Validator, validators

    ours = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
    }
    known = {**Draft202012Validator.VALIDATORS, **ours}
    for name in UNSUPPORTED:
        # The metaschema refers to itself by them.
        if name in known and not name.startswith("$dynamic"):
            del known[name]
    return validators.extend(
        Draft202012Validator, {name: _counted(name, keyword) for name, keyword in known.items()}
    )


def _counted(name: str, keyword: Callable[..., Any]) -> Callable[..., Any]:
    base = 10 if name == "$ref" else 1  # it is looked up each time

    def counting(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _spend(base + _length(value) + _length(instance))
        for error in keyword(validator, value, instance, schema) or ():
            # It quotes the whole value, and an `anyOf` keeps one of each of its branches.
            _spend(len(error.message) // QUOTED_CHARS)
            error.message = error.message[:LONGEST_DETAIL]
            yield error

    return counting


def _length(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _error(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  jsonschema's signature
    if isinstance(instance, str) and not _matches(pattern, instance):
        yield _error(f"{instance[:60]!r} does not match {pattern[:100]!r}")


def _pattern_properties(validator: Any, patterned: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  jsonschema's signature
    if not isinstance(instance, dict):
        return
    for pattern, below in patterned.items():
        for name, value in instance.items():
            if _matches(pattern, name):
                yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    named, patterned = schema.get("properties", {}), schema.get("patternProperties", {})
    others = [
        name for name in instance if name not in named and not any(_matches(one, name) for one in patterned)
    ]
    if below is False and others:
        yield _error(f"These properties are not allowed: {', '.join(map(repr, others[:10]))}")
    elif below is not False:
        for name in others:
            yield from validator.descend(instance[name], below, path=name)


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:  # noqa: ARG001  jsonschema's signature
    if wanted is True and isinstance(instance, list):
        seen = {strict_json.canonical(item) for item in instance}
        if len(seen) < len(instance):
            yield _error("The same item stands there twice.")


def _spend(work: int) -> None:
    left = _left.get()
    left[0] -= work
    if left[0] < 0:
        raise _TooMuchWork


def _matches(pattern: str, text: str) -> bool:
    _spend(1 + patterns.work_of(pattern, text))
    return patterns.matches(pattern, text)
