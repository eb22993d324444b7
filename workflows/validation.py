"""What must hold before a definition is published. Pure; every problem at once, in document order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from lightfield.kernel.errors import Problem
from workflows import secret_rules, step_types
from workflows.definitions import Definition, StepSpec, TriggerSpec, dump, in_document_order
from workflows.expressions import TemplateFault, compile_template, is_template, templates_in
from workflows.problems import pointer_to, problems_of_model
from workflows.secret_text import NOT_ALLOWED, ROOT
from workflows.templating.faults import with_place
from workflows.trigger_types import find_trigger_type, trigger_type_names

# Roots whose fields are known; `trigger` and steps may have any.
KNOWN_FIELDS = {"run": frozenset({"id", "trace_id"}), "workflow": frozenset({"id", "name", "version"})}
PROBLEMS_LIMIT = 100  # a person mends a few at a time


def problems_of(definition: Definition) -> list[Problem]:
    """Everything that keeps a definition from being published; empty when nothing does.

    Pointers lead into `dump(definition)`, which has the same places as the document it was parsed from.
    """
    problems = [
        *_trigger_problems(definition.trigger),
        *_steps_problems(definition.steps),
        *secret_rules.problems_of(definition),
    ]
    return in_document_order(dump(definition), problems)[:PROBLEMS_LIMIT]


def plan_of(definition: Definition) -> list[dict[str, Any]]:
    """What the engine needs to know of each step, JSON-safe: key, type, lane and max_attempts; `secrets` if it reads any.

    Raises:
        RequestRefused: `config.unknown_step_type`.
    """
    return [
        {
            "key": step.key,
            "type": step.type,
            "lane": step_types.get(step.type).lane,
            "max_attempts": step.retry.max_attempts,
            **({"secrets": names} if (names := secret_rules.names_in(step.config)) else {}),
        }
        for step in definition.steps
    ]


def _trigger_problems(trigger: TriggerSpec | None) -> list[Problem]:
    if trigger is None:
        return [Problem("/trigger", "config.invalid_definition", "Choose what starts the workflow.")]
    model = find_trigger_type(trigger.type)
    if model is None:
        known = ", ".join(trigger_type_names())
        return [Problem("/trigger/type", "config.unknown_trigger_type", f"Expected one of: {known}.")]
    try:
        model.model_validate(trigger.config)
    except ValidationError as error:
        return problems_of_model(error, trigger.config, code="config.invalid", at="/trigger/config")
    return []


def _steps_problems(steps: list[StepSpec]) -> Iterator[Problem]:
    if not steps:
        yield Problem("/steps", "config.invalid_definition", "A workflow needs at least one step.")
    later = {step.key for step in steps}
    earlier: set[str] = set()
    for index, step in enumerate(steps):
        yield from _type_problems(step, f"/steps/{index}")
        yield from _template_problems(step, f"/steps/{index}/config", earlier, later)
        yield from _key_problems(step.config, f"/steps/{index}/config")
        earlier.add(step.key)


def _type_problems(step: StepSpec, at: str) -> list[Problem]:
    step_type = step_types.find(step.type)
    if step_type is None:
        known = ", ".join(known.name for known in step_types.all_types())
        return [Problem(f"{at}/type", "config.unknown_step_type", f"Expected one of: {known}.")]
    return step_types.validate_config(step_type, step.config, at=f"{at}/config")


def _template_problems(step: StepSpec, at: str, earlier: set[str], known: set[str]) -> Iterator[Problem]:
    for pointer, source in templates_in(step.config, at):
        try:
            uses = compile_template(source).uses
        except TemplateFault as fault:
            if fault.code != NOT_ALLOWED:  # told by `secret_rules`
                yield Problem(pointer, fault.code, fault.told(source))
            continue
        for (root, path), use in sorted(uses.items(), key=lambda item: str(item[0])):
            if flaw := _reference_flaw(root, path, step.key, earlier, known):
                detail = with_place(flaw, source, use.offset)
                yield Problem(pointer, "template.unknown_reference", detail)


def _reference_flaw(
    root: str, path: tuple[str | int, ...], own: str, earlier: set[str], known: set[str]
) -> str:
    """Why a path cannot be read from the step `own`; empty when it can."""
    if root in ("trigger", ROOT) or root in earlier:
        return ""
    if root in KNOWN_FIELDS:
        fields = KNOWN_FIELDS[root]
        return "" if not path or path[0] in fields else f"{root} has only {', '.join(sorted(fields))}."
    if root == own:
        return f"The step {root} cannot read its own output."
    if root in known:
        return f"The step {root} comes later; a step can read earlier steps only."
    return f"There is no {root}: use trigger, run, workflow or the key of an earlier step."


def _key_problems(value: Any, at: str) -> Iterator[Problem]:
    """Templates written as the name of a field, where nothing would fill them in."""
    if isinstance(value, dict):
        for key, item in value.items():
            pointer = at + pointer_to([key])
            if is_template(key):
                yield Problem(pointer, "template.syntax", "The name of a field cannot be a template.")
            yield from _key_problems(item, pointer)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _key_problems(item, f"{at}/{index}")
