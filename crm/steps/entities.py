"""The kinds of records that steps know, by the names that triggers use."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue

from crm import serializers
from crm.models import Account, Contact, Meeting, Note, Opportunity, Record, Task
from crm.serializers import RecordSerializer
from lightfield.kernel.errors import Problem
from triggers.records import watching
from triggers.records.watching import AnyField, Watch
from workflows.expressions import is_template
from workflows.templating.missing import instead, nearest

EntityName = Literal["account", "contact", "opportunity", "meeting", "task", "note"]
FieldName = Annotated[str, Field(min_length=1, max_length=300)]
Values = Annotated[dict[FieldName, JsonValue], Field(max_length=100)]
CUSTOM: Final = "custom."  # and the name of one of the caller's own fields: `custom.plan`
OWN_NAME_CHARS: Final = 256  # of such a name: a key of JSON


@dataclass(frozen=True)
class Entity:
    """One kind. `natural_keys`: the fields that tell one record from another, whatever their case, the best first."""

    name: str
    model: type[Record]
    serializer: type[RecordSerializer]
    natural_keys: tuple[str, ...] = ()

    @cached_property
    def watch(self) -> Watch:
        found = watching.find(self.model)
        assert found is not None  # all of them are watchable
        return found

    @cached_property
    def columns(self) -> dict[str, AnyField]:
        """What records of this kind are told of by events, by name, and their id."""
        return {"id": self.watch.pk, **self.watch.fields}

    @cached_property
    def form(self) -> dict[str, Any]:
        """The API's fields, by name. To look at only: they belong to no document."""
        return dict(self.serializer().fields)


ENTITIES: Final = {
    one.name: one
    for one in (
        Entity("account", Account, serializers.AccountSerializer, ("website", "name")),
        Entity("contact", Contact, serializers.ContactSerializer, ("email",)),
        Entity("opportunity", Opportunity, serializers.OpportunitySerializer),
        Entity("meeting", Meeting, serializers.MeetingSerializer),
        Entity("task", Task, serializers.TaskSerializer),
        Entity("note", Note, serializers.NoteSerializer),
    )
}


def is_own(name: str) -> bool:
    """Whether it is `custom.` and a name that one of the caller's own fields can have."""
    return name.startswith(CUSTOM) and 0 < len(name) - len(CUSTOM) <= OWN_NAME_CHARS


def no_such_field(entity: Entity, name: str, known: Collection[str]) -> str:
    """The sentence for it, with the one that was probably meant, or some of those that there are."""
    if name.startswith(CUSTOM):
        return (
            f"After custom. comes the name of one of your own fields, of at most {OWN_NAME_CHARS} characters."
        )
    meant = nearest(name, known)
    own = "" if meant else " A field of your own is written custom.<name>."
    return f"{entity.name} has no field {name!r}{instead(meant, known)}{own}"


def templated_name(config: dict[str, Any]) -> list[Problem]:
    """The entity has to be known when the workflow is published: the fields are judged by it."""
    if not is_template(config["entity"]):
        return []
    return [Problem("/entity", "config.invalid", f"Name it without a template: {', '.join(ENTITIES)}.")]
