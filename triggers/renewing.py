"""Schedules whose next instant was computed with older time zone data than this process has: it is computed anew.

The package `tzdata` comes with a release. While that is brought out, processes with both data are at work, so the newer
data win: who has older ones renews nothing, and leaves what is due by newer ones to those who have them
(`triggers.ticking`), for ten seconds: after a way back to the older release nobody else would come.

Rung for by nobody: the sweep sees in the look that it takes anyway whether there is any. Nothing fires here.
"""

from __future__ import annotations

import json
import logging
import time

from django.db import InterfaceError, OperationalError, transaction

from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace, RequestRefused
from triggers import cursors
from triggers.cursors import Renewed
from triggers.decisions import Verdict, note_on_commit
from triggers.models import Trigger
from triggers.schedules import config as configs
from triggers.schedules import zones
from triggers.schedules.instants import Schedule, spelled

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.5  # the rest at the next sweep
BATCH = 100  # of one transaction; a row takes about half a millisecond

# The next due first. What failed waits for its own time, and is renewed when it is caught up. A row that a tick or a
# person has in hand is left for the next sweep.
OUTDATED = """
SELECT id, config, scheduled_from, settled_until, next_due_at, zone_data, zone_offset, zone_since FROM triggers_trigger
WHERE zone_data < %(zone_data)s::text AND next_due_at IS NOT NULL AND failures = 0
ORDER BY next_due_at LIMIT %(batch)s::int FOR NO KEY UPDATE SKIP LOCKED
"""


def renew_outdated() -> int:
    """Renew the cursors that older data wrote, for half a second at most. Returns how many there were."""
    end = time.monotonic() + TURN_SECONDS
    total = found = _renew_batch()
    while found == BATCH and time.monotonic() < end:
        found = _renew_batch()
        total += found
    if total:
        logger.info("schedules_renewed", extra={"schedules": total, "zone_data": zones.version()})
    return total


@sql.retrying_conflicts
@transaction.atomic
def _renew_batch() -> int:
    outdated = sql.rows(OUTDATED, {"zone_data": zones.version(), "batch": BATCH})
    for row in outdated:
        _renew_one(_read(row))
    return len(outdated)


def _read(row: tuple[object, ...]) -> Trigger:
    names = ("pk", "config", "scheduled_from", "settled_until", "next_due_at")
    found = dict(zip((*names, "zone_data", "zone_offset", "zone_since"), row, strict=True))
    return Trigger(**{**found, "config": json.loads(str(found["config"]))})


def _renew_one(trigger: Trigger) -> None:
    """One that cannot be renewed keeps no other from it."""
    try:
        schedule, _ = configs.read(trigger.config)
        renew(trigger, schedule)
    except (OperationalError, InterfaceError):
        raise
    except LostRace:
        pass  # who came before has moved it
    except RequestRefused:
        cursors.keep(trigger)  # another release published it, or its zone is gone: told when it is due
    except Exception:
        logger.exception("schedule_not_renewed", extra={"trigger_id": trigger.pk})
        cursors.keep(trigger)


def renew(trigger: Trigger, schedule: Schedule) -> None:
    """The cursor by the data of this process, and a note where that moves the next instant. The row is locked.

    Raises:
        LostRace: as `cursors.renew`.
    """
    renewed = cursors.renew(trigger, schedule)
    if renewed.is_moved and trigger.failures == 0:
        _tell(trigger, renewed)


def _tell(trigger: Trigger, renewed: Renewed) -> None:
    told = {
        "was_due_at": spelled(renewed.was_due_at) if renewed.was_due_at else None,
        "next_due_at": spelled(renewed.next_due_at) if renewed.next_due_at else None,
        "zone_data": trigger.zone_data,
        "was_zone_data": renewed.was_zone_data or None,
    }
    note_on_commit(
        trigger_id=trigger.pk,
        verdict=Verdict.CLOCK_MOVED,
        subject="time zone data",
        detail={"source": "schedule", **told},
    )
    logger.info("schedule_renewed", extra={"trigger_id": trigger.pk, **told})
