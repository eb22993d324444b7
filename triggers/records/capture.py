"""What a write of watched records sets off. Called by `writers`, inside the transaction of the write.

A save of an existing record: `look` before it, `saved` after it. New ones: `created`. Many at once: `changed`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Model

from lightfield.kernel import bells, sql
from lightfield.kernel.crashpoint import crashpoint
from triggers import causes
from triggers.decisions import Verdict, note_on_commit
from triggers.records import comparing, statements
from triggers.records.watching import Watch

# Records in one statement: a few first, then as many as make this many events at the most, of 0.12 ms each. Nobody
# knows before how many triggers ask, and a statement may take 5 s.
AT_FIRST: Final = 5
AT_ONCE: Final = 500
MOST_EVENTS: Final = 5_000
PAUSED: Final = -1  # in place of a shard: the trigger asked, and its workflow takes no events


@dataclass(frozen=True)
class Subscription:
    """A trigger that wants to know. `fields`: which of them; empty for any."""

    trigger_id: int
    is_active: bool  # false: its workflow is paused
    fields: frozenset[str]

    def may_ask_for(self, names: Collection[str]) -> bool:
        """Whether a change of these fields, or of some of them, may be one that it asks for."""
        return bool(names) and (not self.fields or not self.fields.isdisjoint(names))


@dataclass(frozen=True)
class Seen:
    """A record under its lock, before it is written."""

    before: str  # its fields as JSON text; empty when nobody asks
    subscriptions: tuple[Subscription, ...]
    is_rewritten: bool  # triggers of the project's own may change more than is written


def look(watch: Watch, pk: str) -> Seen | None:
    """Lock the record and read it, if anybody watches updates of its kind. None: there is no such record.

    A lock before the look, since another writer may be at it: what it has changed by the time it commits must be
    neither hidden nor counted twice. What the instance held when it was loaded plays no part.
    """
    found = _row(statements.look(watch), {"pk": pk, "entity": watch.entity, "event": "updated"})
    return None if found is None else Seen(found[0] or "", _subscriptions(found[1]), bool(found[2]))


def watchers(watch: Watch, event: str) -> tuple[tuple[Subscription, ...], bool]:
    """Who wants to know of updates (`updated`) or new records (`created`) of this kind; and `Seen.is_rewritten`."""
    found = _row(statements.who_watches(watch), {"entity": watch.entity, "event": event})
    assert found is not None
    return _subscriptions(found[0]), bool(found[1])


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
    maybe_changed = partial(comparing.maybe_changed, watch, instance, seen.before, update_fields)
    maybe = maybe_changed(among=_asked_for(seen.subscriptions))
    if seen.is_rewritten or any(wanted.may_ask_for(maybe) for wanted in seen.subscriptions):
        answered = changed(watch, [pk], [seen.before])
    else:
        answered = Counter()
    let_go = [one for one in seen.subscriptions if one.is_active and one.trigger_id not in answered]
    names = maybe_changed() if let_go else ()  # what else changed is told to those alone
    for wanted in let_go:
        _let_go(watch, wanted, subject=f"{watch.entity} {pk}", names=names)


def _asked_for(subscriptions: Iterable[Subscription]) -> frozenset[str]:
    """All fields that these ask for; empty for any."""
    asked = [wanted.fields for wanted in subscriptions]
    return frozenset().union(*asked) if all(asked) else frozenset()


def created(watch: Watch, pks: Sequence[str]) -> None:
    """These records are new."""
    changed(watch, pks, [None] * len(pks))


def before(watch: Watch, pks: Sequence[str]) -> dict[str, str]:
    """Lock these records and read them: their fields as JSON text, by primary key."""
    return dict(_rows(statements.before_rows(watch), {"pks": list(pks)}))


def changed(watch: Watch, pks: Sequence[str], befores: Sequence[str | None]) -> Counter[int]:
    """Compare what these records were with what they are, and store an event for every trigger that asked for that.

    Args:
        befores: for each of `pks` its fields as JSON text, None where the record is new.

    Returns how many of the records each trigger asked for.
    """
    crashpoint("CP-L1")
    answered: list[tuple[str, int, int]] = []
    start, size = 0, AT_FIRST
    while start < len(pks):
        stored = _stored(watch, pks[start : start + size], befores[start : start + size])
        answered += stored
        start += size
        size = max(1, min(AT_ONCE, size * MOST_EVENTS // max(1, len(stored))))
    crashpoint("CP-L2")
    for shard in sorted({shard for _, _, shard in answered} - {PAUSED}):
        transaction.on_commit(partial(_ring, shard), robust=True)
    _note_paused(watch, answered)
    return Counter(trigger_id for _, trigger_id, _ in answered)


def _stored(watch: Watch, pks: Sequence[str], befores: Sequence[str | None]) -> list[tuple[str, int, int]]:
    """One statement; of each event, or trigger that was paused, the record's key, the trigger and its shard."""
    cause = causes.current()
    of_cause = {
        "trace_id": cause.trace_id if cause else None,
        "depth": causes.depth_of_next(cause),
        "caused_by": cause.run_id if cause else None,
    }
    if len(pks) == 1:
        found = _rows(statements.store_event(watch), {**of_cause, "pk": pks[0], "before": befores[0]})
    else:
        rows = {"pks": list(pks), "befores": list(befores)}
        found = _rows(statements.store_events(watch), {**of_cause, **rows})
    return [(pk, trigger_id, shard) for pk, events in found for trigger_id, shard in events or ()]


def _note_paused(watch: Watch, answered: Iterable[tuple[str, int, int]]) -> None:
    paused: defaultdict[int, list[str]] = defaultdict(list)
    for pk, trigger_id, shard in answered:
        if shard == PAUSED:
            paused[trigger_id].append(pk)
    for trigger_id, those in paused.items():
        number = len(those)
        subject = f"{watch.entity} {those[0]}" if number == 1 else f"{number} × {watch.entity}"
        note_on_commit(
            trigger_id=trigger_id,
            verdict=Verdict.PAUSED,
            subject=subject,
            detail={"source": "record"},
            count=number,
        )


def unchanged(
    watch: Watch, watchers: Iterable[Subscription], written: int, answered: Counter[int], names: Iterable[str]
) -> None:
    """Of `written` records, those that a trigger did not ask for are why it did not fire."""
    for wanted in watchers:
        number = written - answered[wanted.trigger_id]
        if wanted.is_active and number > 0:
            _let_go(watch, wanted, subject=f"{number} × {watch.entity}", names=names, count=number)


def _let_go(
    watch: Watch, wanted: Subscription, *, subject: str, names: Iterable[str], count: int = 1
) -> None:
    watched = sorted(wanted.fields) or [name for name in watch.fields if name not in watch.quiet]
    note_on_commit(
        trigger_id=wanted.trigger_id,
        verdict=Verdict.UNCHANGED,
        subject=subject,
        detail={"source": "record", "changed": sorted(names), "watched": watched},
        count=count,
    )


def _rows(statement: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Whoever catches what this raises must not go on in a transaction that PostgreSQL has given up."""
    with transaction.mark_for_rollback_on_error(using=DEFAULT_DB_ALIAS):
        return sql.rows(statement, params)


def _row(statement: str, params: dict[str, Any]) -> tuple[Any, ...] | None:
    found = _rows(statement, params)
    return found[0] if found else None


def _ring(shard: int) -> None:
    crashpoint("CP-L3")
    bells.ring_dispatch(shard)


def _subscriptions(text: str | None) -> tuple[Subscription, ...]:
    found: list[Any] = json.loads(text) if text else []
    return tuple(
        Subscription(trigger_id, status == "active", frozenset(fields))
        for trigger_id, status, fields in found
    )
