"""From where a schedule is looked at whose cursor was written with other time zone data. Pure.

A government moves a clock, and the data that say so often come late: until then a schedule has fired by the old clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from triggers.schedules import zones
from triggers.schedules.instants import Schedule


def taken_over(
    schedule: Schedule,
    *,
    settled_until: datetime,
    offset_then: timedelta | None,
    began_at: datetime | None,
) -> datetime:
    """The cursor by the data at hand, given what the clock was ahead of UTC at `settled_until` by those of then.

    By elapsed time it stays. Fixed times of day are due once a day, so for them it is where the clock shows what it
    was thought to show: a time that has fired by the old data does not fire again because its new instant is still to
    come, and one whose new instant lies before the cursor, and which the old data still expected, is due now. It
    begins no earlier than the schedule did. None as the offset: nobody knows, so it stays.
    """
    if offset_then is None or offset_then == zones.offset_at(schedule.zone, settled_until):
        return settled_until
    if schedule.follows_the_clock or began_at is None or settled_until <= began_at:
        return settled_until  # the last: the old data have settled no time of day
    shown = (settled_until.astimezone(UTC) + offset_then).replace(tzinfo=schedule.zone)
    return max(shown.astimezone(UTC), began_at)
