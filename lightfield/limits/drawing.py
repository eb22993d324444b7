"""The page, from the settings' own source, the models of a definition and the constants themselves."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import BaseModel

from executions.steps.ai_agent import AgentLimits
from lightfield.limits.words import BEYOND, CONSTANTS, OUTSIDE, VARIABLES
from workflows import step_types
from workflows.definitions import Definition, NoticeWebhook, OnFailure, RetrySpec, Settings, StepSpec

HEAD = """\
# Limits

Everything is bounded, and this page says by what. Drawn by `bin/manage draw_limits` from the code: change that, not this page. A
test fails when the two differ.
"""
MODELS: dict[str, type[BaseModel]] = {
    "": Definition,
    "settings.": Settings,
    "settings.on_failure.": OnFailure,
    "settings.on_failure.webhook.": NoticeWebhook,
    "steps[].": StepSpec,
    "steps[].retry.": RetrySpec,
    "ai_agent.limits.": AgentLimits,
}


@dataclass(frozen=True)
class Variable:
    """One `env.whole` or `env.number` of the settings."""

    name: str
    default: str
    least: str
    most: str


def page_path() -> Path:
    return Path(settings.BASE_DIR) / "docs" / "limits.md"


def page() -> str:
    return "\n".join([HEAD, *_installation(), *_definitions(), *_constants()])


def variables() -> list[Variable]:
    """Those that `lightfield/settings.py` reads as numbers, but for ports. From its source: a value tells no range."""
    tree = ast.parse((Path(settings.BASE_DIR) / "lightfield" / "settings.py").read_text(encoding="utf-8"))
    found = [_variable(call) for call in ast.walk(tree) if isinstance(call, ast.Call) and _is_number(call)]
    return [variable for variable in found if not variable.name.endswith("_PORT")]


def _is_number(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and ast.unparse(call.func) in ("env.whole", "env.number")


def _variable(call: ast.Call) -> Variable:
    name, default = call.args
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    return Variable(
        ast.literal_eval(name), _spelled(default), _spelled(given["least"]), _spelled(given["most"])
    )


def _spelled(node: ast.expr) -> str:
    try:
        return figure(ast.literal_eval(node))
    except ValueError:
        return "by role"  # a table of the settings


def _installation() -> Iterator[str]:
    yield "## Of an installation\n"
    yield "Environment variables; [operations.md](operations.md#settings) says when to change which.\n"
    yield from _head("variable", "limits", "default", "range", "beyond")
    for one in variables():
        what, beyond = VARIABLES[one.name]
        yield _row(f"`{one.name}`", what, one.default, f"{one.least} to {one.most}", beyond)
    yield ""


def _definitions() -> Iterator[str]:
    yield "## Of a workflow\n"
    yield f"Fields of a definition. Beyond, where nothing else is said, is {OUTSIDE} with a pointer.\n"
    yield from _head("field", "default", "range", "beyond")
    for prefix, model in MODELS.items():
        yield from _fields(prefix, model)
    for step_type in step_types.all_types():
        if type(step_type).__module__.startswith(("executions.", "crm.")):
            yield from _fields(f"{step_type.name}.", step_type.Config)
    yield ""


def _fields(prefix: str, model: type[BaseModel]) -> Iterator[str]:
    """Those with a bound."""
    schema = model.model_json_schema()
    if "$ref" in schema:  # it holds itself, as conditions do
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    for name, field in schema.get("properties", {}).items():
        bounds = _range(field)
        if bounds:
            default = field.get("default")
            place = f"{prefix}{name}"
            yield _row(
                f"`{place}`",
                figure(default) if default is not None else "–",
                bounds,
                BEYOND.get(place, "refused"),
            )


def _range(field: dict[str, Any]) -> str:
    for form in (field, *field.get("anyOf", [])):
        for unit, least, most in (
            ("", "minimum", "maximum"),
            (" characters", "minLength", "maxLength"),
            (" items", "minItems", "maxItems"),
            (" entries", "minProperties", "maxProperties"),
        ):
            if most in form:
                return f"{figure(form.get(least, 0))} to {figure(form[most])}{unit}"
    return ""


def _constants() -> Iterator[str]:
    for title, rows in CONSTANTS.items():
        yield f"## {title}\n"
        yield from _head("limits", "at", "beyond", "in")
        for place, what, beyond in rows:
            yield _row(
                what,
                figure(value_of(place), is_bytes="bytes" in what),
                beyond,
                f"`{place.partition(':')[0]}`",
            )
        yield ""


def value_of(place: str) -> Any:
    """What `module:NAME` or `module:NAME.attribute` is."""
    module, _, name = place.partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


def figure(value: Any, *, is_bytes: bool = False) -> str:
    """As people write it: 10,000 with its comma, and of bytes how many KiB or MiB they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"`{value}`" if value not in ("", [], {}) else "–"
    if is_bytes and value >= 1024 and value % 1024 == 0:
        size = int(value) // 1024
        return f"{value:,} ({size:,} KiB)" if size % 1024 else f"{value:,} ({size // 1024} MiB)"
    return f"{value:,}" if isinstance(value, int) or not value.is_integer() else f"{int(value):,}"


def _head(*names: str) -> tuple[str, str]:
    return _row(*names), "|" + "---|" * len(names)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
