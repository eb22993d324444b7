"""What a write of watched records sets off. Called by `writers`, inside the transaction of the write.

A save of an existing record: `look` before it, `saved` after it. New ones: `created`. Many at once: `changed`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Model

from lightfield.kernel import bells, sql
from lightfield.kernel.crashpoint import crashpoint
from triggers import causes
from triggers.records import comparing, statements
from triggers.records.watching import Watch

MOST_DEPTH = 32_767  # a smallint; the guard of the dispatcher stands far below


@dataclass(frozen=True)
class Subscription:
    """A trigger that wants to know. `fields`: which of them; empty for any."""

    trigger_id: int
    is_active: bool  # false: its workflow is paused
    fields: frozenset[str]


@dataclass(frozen=True)
class Seen:
    """A record under its lock, before it is written."""

    before: str  # its fields as JSON text; empty when nobody asks
    subscriptions: tuple[Subscription, ...]


def look(watch: Watch, pk: str) -> Seen | None:
    """Lock the record and read it, if anybody watches updates of its kind. None: there is no such record.

    A lock before the look, since another writer may be at it: what it has changed by the time it commits must be
    neither hidden nor counted twice. What the instance held when it was loaded plays no part.
    """
    found = sql.row(statements.look(watch), {"pk": pk, "entity": watch.entity, "event": "updated"})
    return None if found is None else Seen(found[0] or "", _subscriptions(found[1]))


def watchers(watch: Watch, event: str) -> tuple[Subscription, ...]:
    """Who wants to know of updates (`updated`) or new records (`created`) of this kind."""
    found = sql.row(statements.who_watches(), {"entity": watch.entity, "event": event})
    return _subscriptions(found[0] if found else None)


def saved(watch: Watch, instance: Model, seen: Seen | None, update_fields: Collection[str] | None) -> None:
    """An existing record was saved."""
    pk = watch.pk_of(instance)
    assert pk is not None
    if seen is None:
        # Somebody made it between the look and the UPDATE: nobody knows what it was, so all of it is new.
        changed(watch, [pk], ["{}"])
        return
    if not seen.subscriptions:
        return
    watched = [wanted.fields for wanted in seen.subscriptions if wanted.is_active]
    if comparing.may_have_changed(watch, instance, seen.before, watched, update_fields):
        changed(watch, [pk], [seen.before])


def created(watch: Watch, pks: Sequence[str]) -> None:
    """These records are new."""
    changed(watch, pks, [None] * len(pks))


def before(watch: Watch, pks: Sequence[str]) -> dict[str, str]:
    """Lock these records and read them: their fields as JSON text, by primary key."""
    return dict(sql.rows(statements.before_rows(watch), {"pks": list(pks)}))


def changed(watch: Watch, pks: Sequence[str], befores: Sequence[str | None]) -> None:
    """Compare what these records were with what they are, and store an event for every trigger that asked for that.

    Args:
        befores: for each of `pks` its fields as JSON text, None where the record is new.
    """
    crashpoint("CP-L1")
    cause = causes.current()
    of_cause = {
        "trace_id": cause.trace_id if cause else None,
        "depth": min(cause.depth + 1, MOST_DEPTH) if cause else 0,
        "caused_by": cause.run_id if cause else None,
    }
    if len(pks) == 1:
        stored = sql.rows(statements.store_event(watch), {**of_cause, "pk": pks[0], "before": befores[0]})
    else:
        rows = {"pks": list(pks), "befores": list(befores)}
        stored = sql.rows(statements.store_events(watch), {**of_cause, **rows})
    crashpoint("CP-L2")
    for shard in sorted({shard for (events,) in stored for _, shard in events or ()}):
        transaction.on_commit(partial(_ring, shard), robust=True)


def _ring(shard: int) -> None:
    crashpoint("CP-L3")
    bells.ring_dispatch(shard)


def _subscriptions(text: str | None) -> tuple[Subscription, ...]:
    found: list[Any] = json.loads(text) if text else []
    return tuple(
        Subscription(trigger_id, status == "active", frozenset(fields))
        for trigger_id, status, fields in found
    )
