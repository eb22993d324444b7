"""The cursor of a schedule: the only writer of `Trigger.scheduled_from`, `settled_until`, `next_due_at` and `zone_*`.

Everything up to `settled_until` has fired or never will. A person's deed sets it to now (`begin`) or stops it
(`stop`, `forget`); a tick moves it on (`move`); other time zone data make it anew (`renew`). Each of them has the
trigger's row locked, so they come one after the other, and what a tick does not finish before a pause it never begins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models.functions import Now

from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace
from triggers.models import Trigger
from triggers.schedules import config as configs
from triggers.schedules import zones
from triggers.schedules.instants import Schedule, next_after
from triggers.schedules.taking_over import taken_over

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
# After a failure the trigger is left alone for so long, times four after the second: long enough for the workers of
# an older release to be replaced, which is the likeliest reason why a published config cannot be read.
PATIENCE_SECONDS = 15

# Given the cursor that was read: whoever moved it meanwhile has fired these instants.
MOVE = """
UPDATE triggers_trigger SET settled_until = %(until)s::timestamptz, next_due_at = %(next)s::timestamptz, failures = 0,
  zone_data = %(zone_data)s::text, zone_offset = %(zone_offset)s::int
WHERE id = %(id)s::bigint AND settled_until = %(after)s::timestamptz RETURNING id
"""

# Given the cursor and the data that were read. What waits after a failure goes on waiting.
RENEW = """
UPDATE triggers_trigger SET settled_until = %(until)s::timestamptz, zone_since = %(since)s::timestamptz,
  next_due_at = CASE WHEN failures = 0 THEN %(next)s::timestamptz ELSE next_due_at END,
  zone_data = %(zone_data)s::text, zone_offset = %(zone_offset)s::int
WHERE id = %(id)s::bigint AND settled_until = %(after)s::timestamptz AND zone_data = %(was)s::text RETURNING id
"""

# Two who failed at the same instant count once.
BLAME = """
UPDATE triggers_trigger SET failures = failures + 1,
  next_due_at = CASE WHEN failures + 1 < %(most)s::int
    THEN clock_timestamp() + make_interval(secs => %(patience)s::float8 * power(4, failures)) END,
  error_code = CASE WHEN failures + 1 < %(most)s::int THEN NULL ELSE 'schedule.set_aside' END
WHERE id = %(id)s::bigint AND next_due_at = %(due)s::timestamptz RETURNING failures
"""


def begin(trigger: Trigger) -> None:
    """From now on. What went by before is never caught up. The row is locked by the caller."""
    now = Trigger.objects.annotate(read_at=Now()).values_list("read_at", flat=True).get(pk=trigger.pk)
    schedule, _ = configs.read(trigger.config)
    Trigger.objects.filter(pk=trigger.pk).update(
        scheduled_from=now,
        settled_until=now,
        next_due_at=next_after(schedule, now),
        zone_data=zones.version(),
        zone_offset=_clock(schedule, now),
        zone_since=None,
        failures=0,
        error_code=None,
    )


def stop(trigger: Trigger) -> None:
    """Nothing is due until it begins anew. How far it had come stays to be verified."""
    Trigger.objects.filter(pk=trigger.pk).update(next_due_at=None)


def forget(trigger: Trigger) -> None:
    """It is no schedule any more."""
    Trigger.objects.filter(pk=trigger.pk).update(
        scheduled_from=None,
        settled_until=None,
        next_due_at=None,
        zone_data="",
        zone_offset=None,
        zone_since=None,
        failures=0,
        error_code=None,
    )


def move(trigger: Trigger, schedule: Schedule, *, until: datetime, next_due_at: datetime | None) -> None:
    """Past what was just fired or let go, in the transaction that wrote it.

    Raises:
        LostRace: somebody else moved it since it was read.
    """
    found = {
        "id": trigger.pk,
        "after": trigger.settled_until,
        "until": until,
        "next": next_due_at,
        "zone_data": zones.version(),
        "zone_offset": _clock(schedule, until),
    }
    if not sql.rows(MOVE, found):
        raise LostRace


@dataclass(frozen=True)
class Renewed:
    """What other time zone data made of a cursor."""

    was_due_at: datetime | None
    next_due_at: datetime | None
    was_zone_data: str  # empty: before releases were noted

    @property
    def is_moved(self) -> bool:
        return self.was_due_at != self.next_due_at


def renew(trigger: Trigger, schedule: Schedule) -> Renewed:
    """What is due next by the data of this process. Fires nothing.

    `trigger` takes over where it is settled; its `next_due_at` stays as it was read, which `blame` asks for. An instant that is due already by these data is due at once, and fires as the trigger's policy says.

    Raises:
        LostRace: somebody else moved or renewed it since it was read.
    """
    assert trigger.settled_until is not None
    was_zone_data, after = trigger.zone_data, trigger.settled_until
    then = None if trigger.zone_offset is None else timedelta(seconds=trigger.zone_offset)
    until = taken_over(schedule, settled_until=after, offset_then=then, began_at=trigger.scheduled_from)
    is_other_clock = then is not None and then != zones.offset_at(schedule.zone, after)
    next_due_at = next_after(schedule, until)
    found = {
        "id": trigger.pk,
        "after": after,
        "was": was_zone_data,
        "until": until,
        "since": max(after, until) if is_other_clock else trigger.zone_since,
        "next": next_due_at,
        "zone_data": zones.version(),
        "zone_offset": _clock(schedule, until),
    }
    if not sql.rows(RENEW, found):
        raise LostRace
    trigger.settled_until, trigger.zone_data = until, zones.version()
    return Renewed(trigger.next_due_at, next_due_at, was_zone_data)


def keep(trigger: Trigger) -> None:
    """Its next instant cannot be computed anew: it stays, and whoever finds it due tells why."""
    Trigger.objects.filter(pk=trigger.pk, zone_data=trigger.zone_data).update(zone_data=zones.version())


def _clock(schedule: Schedule, at: datetime) -> int:
    return int(zones.offset_at(schedule.zone, at).total_seconds())


def blame(trigger: Trigger) -> None:
    """Catching up failed, and nothing of it was written: try again later, or set the trigger aside."""
    found = sql.row(
        BLAME,
        {
            "id": trigger.pk,
            "due": trigger.next_due_at,
            "most": MOST_FAILURES,
            "patience": PATIENCE_SECONDS,
        },
    )
    if found and found[0] >= MOST_FAILURES:
        logger.error("schedule_set_aside", extra={"trigger_id": trigger.pk})
