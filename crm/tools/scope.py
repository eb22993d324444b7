"""What one step permits of records, and the refusal of everything else. A tool is made with it and asks nobody else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from crm.steps.entities import ENTITIES, Entity, EntityName
from executions.agents.tools import Grant
from executions.agents.tools.arguments import denied, each_once, shown
from executions.agents.tools.cutting import LARGEST_BYTES, LEAST_BYTES, MOST_BYTES
from executions.agents.values import JsonObject

Operation = Literal["create", "update", "upsert"]
Entities = Annotated[list[EntityName], Field(min_length=1), AfterValidator(each_once)]
READING: Final = "read"


class ReadRecordsGrant(Grant):
    type: Literal["read_records"]
    entities: Entities
    max_bytes: Annotated[int, Field(ge=LEAST_BYTES, le=LARGEST_BYTES)] = MOST_BYTES  # that one call tells


class WriteRecordsGrant(Grant):
    type: Literal["write_records"]
    entities: Entities
    operations: Annotated[list[Operation], Field(min_length=1), AfterValidator(each_once)]


@dataclass(frozen=True)
class Scope:
    """All that a step permits of records: per operation, and `read`, the entities."""

    permitted: dict[str, frozenset[str]] = field(default_factory=dict)
    most_bytes: int = MOST_BYTES

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> Scope:
        """Each grant by itself: one that creates contacts and one that updates accounts do not update contacts."""
        permitted: dict[str, set[str]] = {}
        most_bytes = []
        for grant in grants:
            if isinstance(grant, ReadRecordsGrant):
                permitted.setdefault(READING, set()).update(grant.entities)
                most_bytes.append(grant.max_bytes)
            elif isinstance(grant, WriteRecordsGrant):
                for operation in grant.operations:
                    permitted.setdefault(operation, set()).update(grant.entities)
        frozen = {operation: frozenset(names) for operation, names in permitted.items()}
        return cls(frozen, max(most_bytes, default=MOST_BYTES))

    def names(self, operation: str) -> list[str]:
        """The entities of an operation, in the order in which they are always told."""
        return [name for name in ENTITIES if name in self.permitted.get(operation, ())]

    def may_read(self, entity: Entity) -> bool:
        return entity.name in self.permitted.get(READING, ())

    def may_reach(self, entity: Entity) -> bool:
        """Whether any operation is permitted on it, so that its ids may be in the model's hands."""
        return any(entity.name in names for names in self.permitted.values())

    def entity(self, operation: str, arguments: JsonObject) -> Entity:
        """The entity that a call is about. Raises PermanentStepError: `ai.permission_denied`, whether or not it exists."""
        name: Any = arguments.get("entity")
        known = self.names(operation)
        if not isinstance(name, str) or name not in known:
            raise denied(f"{operation} {shown(name)}", f"This step may {operation}: {', '.join(known)}.")
        return ENTITIES[name]
