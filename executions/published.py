"""Published versions as the engine reads them: immutable, so cached for as long as the process lives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workflows.definitions import Definition, StepSpec, parse_definition
from workflows.models import WorkflowVersion


@dataclass(frozen=True)
class Published:
    """One version: its definition and the plan (key, type, lane, max_attempts of each step)."""

    definition: Definition
    plan: list[dict[str, Any]]

    def step(self, position: int) -> StepSpec:
        """The step at `position`, counted from 1."""
        return self.definition.steps[position - 1]

    def after(self, position: int) -> dict[str, Any] | None:
        """The plan of the step that follows `position`, or None at the end."""
        return self.plan[position] if position < len(self.plan) else None

    def rest(self, position: int) -> list[dict[str, Any]]:
        """The plan of every step after `position`, each with its own position."""
        return [
            {**step, "position": place} for place, step in enumerate(self.plan[position:], start=position + 1)
        ]


@lru_cache(maxsize=1000)
def load(version_id: int) -> Published:
    """Read a version once per process."""
    version = WorkflowVersion.objects.only("definition", "plan").get(pk=version_id)
    return Published(parse_definition(version.definition), version.plan)
