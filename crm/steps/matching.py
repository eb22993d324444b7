"""Which record an upsert means: the one that has these values, locked.

Texts that are natural keys are compared whatever their case. An account is looked for by its website; one that has none is
found by its name. Several that match are an error and none is changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Model

from crm.models import Account, Record
from crm.steps.entities import CUSTOM, Entity
from crm.steps.fields import accepted, name_flaw
from crm.steps.filters import Condition, condition_of, is_scalar
from crm.steps.reading import ROW
from crm.steps.refusals import permanent
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, Problem, RequestRefused
from triggers.records.columns import pk_sql, table_sql
from workflows.problems import pointer_to

UNIQUE: Final = {("contact", "email"), ("account", "website")}  # the database sees to these
# Until the transaction ends, nobody else looks for the same: two who found nothing would both create.
LOCK_OUT = "SELECT pg_advisory_xact_lock(hashtextextended(%(what)s::text, 0))"


def match_flaws(entity: Entity, names: Iterable[str]) -> list[Problem]:
    """What records cannot be told apart by, with places in the config."""
    return [
        Problem(f"/match{pointer_to([name])}", *flaw) for name in names if (flaw := _match_flaw(entity, name))
    ]


def _match_flaw(entity: Entity, name: str) -> tuple[str, str] | None:
    """Why records cannot be told apart by this field: code and sentence. None: they can."""
    if flaw := name_flaw(entity, name):
        return flaw
    if name.startswith(CUSTOM) or is_scalar(entity, name):
        return None
    return "record.invalid_value", "Records are not told apart by lists and objects; use another field."


class Match:
    """The values that say which record is meant. Raises PermanentStepError where one is missing."""

    def __init__(self, entity: Entity, values: Mapping[str, Any]) -> None:
        self.entity = entity
        self.values = _judged(entity, values)
        self.is_by_name = False  # an account without a website was found by its name

    @property
    def is_unique(self) -> bool:
        """Whether the database lets no two records be meant by these values. A name may mean an account with any website."""
        return not self._has_name and any((self.entity.name, name) in UNIQUE for name in self.values)

    @property
    def _has_name(self) -> bool:
        return self.entity.model is Account and "name" in self.values

    def locked(self) -> Record | None:
        """The record that matches. Raises PermanentStepError (`record.ambiguous`)."""
        values = self.values
        if self._has_name and "website" in values:
            by_website = {name: value for name, value in values.items() if name != "name"}
            found = self._one(by_website)
            self.is_by_name = found is None
            return found or self._one({**values, "website": None})
        return self._one(values)

    def lock_out(self) -> None:
        """Have others who look for the same wait until this transaction ends."""
        told = {"name": self.values["name"]} if self._has_name else self.values
        folded = {name: self._folded(name, value) for name, value in told.items()}
        sql.rows(LOCK_OUT, {"what": f"upsert {self.entity.name} {json.dumps(folded, sort_keys=True)}"})

    def _folded(self, name: str, value: Any) -> Any:
        return value.upper() if name in self.entity.natural_keys and isinstance(value, str) else value

    def _one(self, values: Mapping[str, Any]) -> Record | None:
        conditions = [
            _condition(self.entity, name, value, f"m{number}")
            for number, (name, value) in enumerate(values.items())
        ]
        found: list[Record] = list(
            self.entity.model._default_manager.raw(_select(self.entity, conditions), _params(conditions))
        )
        if len(found) > 1:
            detail = f"More than one {self.entity.name} matches."
            raise permanent("record.ambiguous", [Problem("/match", "record.ambiguous", detail)])
        return found[0] if found else None


def _condition(entity: Entity, name: str, value: Any, prefix: str) -> Condition:
    """Raises PermanentStepError: a value that is too long to be looked for."""
    try:
        return condition_of(entity, name, "is", value, prefix)
    except RequestRefused as refused:
        problems = [
            Problem(f"/match{pointer_to([name])}", "record.invalid_value", problem.detail)
            for problem in refused.problems
        ]
        raise permanent("record.invalid", problems) from None


def _select(entity: Entity, conditions: list[Condition]) -> str:
    where = " AND ".join(f"({condition.sql})" for condition in conditions)
    watch = entity.watch
    return (
        f"SELECT {ROW}.* FROM {table_sql(watch)} {ROW} WHERE {where} "
        f"ORDER BY {ROW}.{pk_sql(watch)} LIMIT 2 FOR NO KEY UPDATE OF {ROW}"
    )


def _params(conditions: list[Condition]) -> dict[str, Any]:
    return {name: value for condition in conditions for name, value in condition.params.items()}


def _judged(entity: Entity, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the API would store them (a website with its https://), as JSON. None of them may be empty.

    An account's website may: then it is its name that counts.
    """
    if flaws := match_flaws(entity, values):
        raise permanent("record.invalid", flaws)
    plain = accepted(entity, values, is_new=False)
    own = {name: value for name, value in values.items() if name.startswith(CUSTOM)}
    judged = {name: _as_json(plain[name]) for name in values if name not in own} | own
    if entity.model is Account and judged.get("name") and not judged.get("website"):
        judged.pop("website", None)
    empty = [name for name, value in judged.items() if value in (None, "")]
    if empty or not judged:
        raise _empty(empty)
    return judged


def _empty(names: list[str]) -> PermanentStepError:
    detail = "Without a value here any record would do."
    problems = [Problem(f"/match{pointer_to([name])}", "record.invalid_value", detail) for name in names]
    return permanent("record.invalid", problems or [Problem("/match", "record.invalid_value", detail)])


def _as_json(value: Any) -> Any:
    if isinstance(value, Model):
        return str(value.pk) if not isinstance(value.pk, int) else value.pk
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
