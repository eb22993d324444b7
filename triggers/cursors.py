"""The cursor of a schedule: the only writer of `Trigger.scheduled_from`, `settled_until` and `next_due_at`.

Everything up to `settled_until` has fired or never will. A person's deed sets it to now (`begin`) or stops it
(`stop`, `forget`); a tick moves it on (`move`). Each of them has the trigger's row locked, so they come one after
the other, and what a tick does not finish before a pause it never begins.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db.models.functions import Now

from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace
from triggers.models import Trigger
from triggers.schedules import config as configs
from triggers.schedules.instants import next_after

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
# After a failure the trigger is left alone for so long, times four after the second: long enough for the workers of
# an older release to be replaced, which is the likeliest reason why a published config cannot be read.
PATIENCE_SECONDS = 15

# Given the cursor that was read: whoever moved it meanwhile has fired these instants.
MOVE = """
UPDATE triggers_trigger SET settled_until = %(until)s::timestamptz, next_due_at = %(next)s::timestamptz, failures = 0
WHERE id = %(id)s::bigint AND settled_until = %(after)s::timestamptz RETURNING id
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
        failures=0,
        error_code=None,
    )


def stop(trigger: Trigger) -> None:
    """Nothing is due until it begins anew. How far it had come stays to be verified."""
    Trigger.objects.filter(pk=trigger.pk).update(next_due_at=None)


def forget(trigger: Trigger) -> None:
    """It is no schedule any more."""
    Trigger.objects.filter(pk=trigger.pk).update(
        scheduled_from=None, settled_until=None, next_due_at=None, failures=0, error_code=None
    )


def move(trigger: Trigger, *, until: datetime, next_due_at: datetime | None) -> None:
    """Past what was just fired or let go, in the transaction that wrote it.

    Raises:
        LostRace: somebody else moved it since it was read.
    """
    found = {"id": trigger.pk, "after": trigger.settled_until, "until": until, "next": next_due_at}
    if not sql.rows(MOVE, found):
        raise LostRace


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
