"""Where a definition reads secrets, and what is wrong with that. Pure: which secrets there are is asked elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightfield.kernel.errors import Problem
from workflows import step_types
from workflows.definitions import Definition, StepSpec
from workflows.expressions import TemplateFault, compile_template, templates_in
from workflows.secret_text import NOT_ALLOWED, slots_of
from workflows.slots import is_slot

ELSEWHERE = "A secret may stand only in {places} of a step of this type."
NOWHERE = "Steps of this type take no secrets."


def problems_of(definition: Definition) -> list[Problem]:
    """Secrets that stand where they could be seen: what keeps a definition from being stored, even as a draft."""
    return [
        problem
        for index, step in enumerate(definition.steps)
        for problem in _problems_of_step(step, f"/steps/{index}/config")
    ]


def secrets_in(config: Any, at: str = "") -> list[tuple[str, frozenset[str]]]:
    """Pointer and names of every template that reads secrets in the allowed form."""
    found = []
    for pointer, source in templates_in(config, at):
        try:
            template = compile_template(source)
        except TemplateFault:
            continue  # told as what it is, by those who judge templates
        if template.secret_names:
            found.append((pointer, template.secret_names))
    return found


def names_in(config: Any) -> list[str]:
    """The secrets that a step's config reads, in order of the alphabet."""
    return sorted({name for _, names in secrets_in(config) for name in names})


def _problems_of_step(step: StepSpec, at: str) -> Iterator[Problem]:
    step_type = step_types.find(step.type)
    if step_type is None:
        return  # told when it is published, which nobody can before it is installed
    slots = slots_of(step_type.Config)
    for pointer, source in templates_in(step.config):
        try:
            secret_names = compile_template(source).secret_names
        except TemplateFault as fault:
            if fault.code == NOT_ALLOWED:
                yield Problem(at + pointer, fault.code, fault.detail)
            continue
        if secret_names and not is_slot(_place(pointer), slots):
            places = ", ".join(sorted("/".join(slot) for slot in slots))
            yield Problem(at + pointer, NOT_ALLOWED, ELSEWHERE.format(places=places) if slots else NOWHERE)


def _place(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
