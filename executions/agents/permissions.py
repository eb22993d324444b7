"""What an agent step permits, judged when it is published: kinds that exist, grants that are right, and what is risky together.

Nobody can keep a model from believing what it reads. So publishing warns where somebody who writes what it reads could make
it send out what it can see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from executions.agents import tools
from executions.agents.values import JsonObject
from lightfield.kernel.errors import Problem
from workflows import step_types
from workflows.expressions import TemplateFault, references_of, templates_in
from workflows.step_types import TransactionalStepType, config_problems

# What these give was made here, or by the clock: nobody outside writes it.
OUR_OWN: Final = frozenset({"schedule", "condition", "sleep"})
OF_RECORDS: Final = "record"  # the trigger


def flaws_of_tools(grants: Sequence[JsonObject]) -> list[Problem]:
    """What keeps permissions from being published, pointers into the config. No template is left in them."""
    return [problem for number, grant in enumerate(grants) for problem in _flaws(grant, f"/tools/{number}")]


def _flaws(grant: JsonObject, at: str) -> list[Problem]:
    named = grant.get("type")
    kind = tools.find(named) if isinstance(named, str) else None
    if kind is None:
        known = ", ".join(kind.name for kind in tools.all_kinds())
        return [Problem(f"{at}/type", "ai.unknown_tool", f"Expected one of: {known}.")]
    if problems := config_problems(kind.Grant, grant, at=at):
        return problems
    return [replace(problem, pointer=at + problem.pointer) for problem in kind.unpublishable(grant)]


def warnings_of(config: JsonObject, origins: Mapping[str, str]) -> list[Problem]:
    """What publishing tells of an agent that may be published. `origins`: `trigger` and earlier steps, each with its type."""
    read = {field: set(_data_in(config.get(field), origins)) for field in ("instructions", "prompt")}
    found = []
    if read["instructions"]:
        found.append(
            Problem(
                "/instructions",
                "ai.data_in_instructions",
                f"Data of {_listed(read['instructions'])} is filled in here. Put it into the prompt: "
                "a model gives more weight to its instructions than to anything else.",
            )
        )
    grants = _right(config.get("tools"))
    found += _exposure([kind for _, kind in grants.values()], read["instructions"] | read["prompt"], origins)
    for number, (grant, kind) in grants.items():
        found += [
            replace(problem, pointer=f"/tools/{number}{problem.pointer}") for problem in kind.warnings(grant)
        ]
    return found


def _right(written: Any) -> dict[int, tuple[JsonObject, tools.AnyKind]]:
    """The permissions that nothing is wrong with, by their places, each with its kind; the others are told as problems."""
    found = {}
    for number, grant in enumerate(written if isinstance(written, list) else []):
        named = grant.get("type") if isinstance(grant, dict) else None
        kind = tools.find(named) if isinstance(named, str) else None
        if kind is not None and not any(templates_in(grant)) and not _flaws(grant, ""):
            found[number] = (grant, kind)
    return found


def _exposure(kinds: Sequence[tools.AnyKind], read: set[str], origins: Mapping[str, str]) -> list[Problem]:
    """Private data, input from outside and a way out: with all three, whoever writes the input may read the data."""
    ways_out = {kind.name for kind in kinds if kind.sends_out}
    private = {kind.name for kind in kinds if kind.reads_private}
    private |= {root for root in read if _is_private(origins[root])}
    outside = read | {f"the answers of {kind.name}" for kind in kinds if kind.reads_outside}
    if not (ways_out and private and outside):
        return []
    return [
        Problem(
            "/tools",
            "ai.exposed_data",
            f"Whoever writes what comes from {_listed(outside)} could make the model send what it can see ({_listed(private)}) "
            f"out by {_listed(ways_out)}. Let one step read and decide, with an output_schema, and a later one send.",
        )
    ]


def _data_in(text: Any, origins: Mapping[str, str]) -> Iterator[str]:
    """Where what is filled in comes from, if others can write it."""
    try:
        references = references_of(text)
    except TemplateFault:
        return  # told elsewhere
    for _, root, _ in references:
        if root in origins and origins[root] not in OUR_OWN:
            yield root


def _is_private(origin: str) -> bool:
    """Records, or what a step that reads them gave."""
    return origin == OF_RECORDS or isinstance(step_types.find(origin), TransactionalStepType)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
