"""What will probably go wrong although it may be published: paths to fields that a known output does not have, and what
step types know of their own configs. Pure.

A warning never refuses anything. What is known of an output is a declaration of the step type or of the kind of trigger,
or a sample; the run decides, with `template.unresolved` if the field is not there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from lightfield.kernel.errors import Problem
from workflows import shapes, step_types
from workflows.definitions import Definition, StepSpec, TriggerSpec
from workflows.expressions import TemplateFault, compile_template, templates_in
from workflows.shapes import DeadEnd, Schema
from workflows.templating.expression_compiler import Reference, Use
from workflows.templating.faults import with_place
from workflows.templating.missing import instead, nearest
from workflows.templating.values import written
from workflows.trigger_types import output_schema_of

logger = logging.getLogger(__name__)

WARNINGS_LIMIT: Final = 100
NAMES_OF_TYPES: Final = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


def warnings_of(definition: Definition) -> list[Problem]:
    """Every path into an output whose fields are known that ends at none of them, and what the step types warn of.

    Step by step; at most 100.
    """
    known = {"trigger": _trigger_schema(definition.trigger)}
    origins = {"trigger": definition.trigger.type} if definition.trigger else {}
    found: list[Problem] = []
    for index, step in enumerate(definition.steps):
        at = f"/steps/{index}/config"
        found += [*_step_warnings(step, at, known), *_type_warnings(step, at, origins)]
        known[step.key] = _step_schema(step)
        origins[step.key] = step.type
    return found[:WARNINGS_LIMIT]


def _type_warnings(step: StepSpec, at: str, origins: Mapping[str, str]) -> list[Problem]:
    """What the step's type says of a config that it would not refuse."""
    step_type = step_types.find(step.type)
    if step_type is None or step_types.config_problems(step_type.Config, step.config):
        return []
    try:
        found = step_type.warnings(step.config, origins)
    except Exception:  # an app's code; a warning is not worth a failed publish
        logger.exception("not_warned", extra={"type": step.type})
        return []
    return [replace(problem, pointer=at + problem.pointer) for problem in found]


def _trigger_schema(trigger: TriggerSpec | None) -> Schema | None:
    if trigger is None:
        return None
    return shapes.declared(trigger.type, lambda: output_schema_of(trigger.type, trigger.config))


def _step_schema(step: StepSpec) -> Schema | None:
    step_type = step_types.find(step.type)
    if step_type is None:
        return None
    return shapes.declared(step.type, lambda: step_type.output_schema(step.config))


def _step_warnings(step: StepSpec, at: str, known: dict[str, Schema | None]) -> Iterator[Problem]:
    for pointer, source in templates_in(step.config, at):
        try:
            uses = compile_template(source).uses
        except TemplateFault:
            continue  # refused, and told there
        for reference, use in sorted(uses.items(), key=lambda item: str(item[0])):
            schema = known.get(reference[0])
            detail = _flaw(reference, use, schema) if schema else None
            if detail:
                yield Problem(pointer, "template.unknown_field", with_place(detail, source, use.offset))


def _flaw(reference: Reference, use: Use, schema: Schema) -> str | None:
    """Why the path will probably lead nowhere; None when it may lead somewhere."""
    root, path = reference
    is_sample = shapes.MARK_OF_SAMPLES in schema
    if is_sample and use.is_caught:
        return None  # that others may lack it is what the default is for
    end = shapes.dead_end(schema, path)
    if end is None:
        return None
    within = written([root, *path[: end.walked]])
    return f"{'In the sample, ' if is_sample else ''}{within} {_lack(str(path[end.walked]), end)}"


def _lack(missing: str, end: DeadEnd) -> str:
    if end.holds != "object":
        return f"is {NAMES_OF_TYPES[end.holds]} and has no {missing}."
    return f"has no {missing}{instead(nearest(missing, end.known), end.known)}"
