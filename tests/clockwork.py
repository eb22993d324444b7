"""Schedules whose instants are known whatever the hour is, and cursors set back as a long downtime would leave them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from lightfield.kernel import sql
from tests.factories import a_published_workflow
from triggers import ticking
from triggers.models import Tick, Trigger
from triggers.schedules import config as configs
from triggers.schedules.instants import next_after
from workflows.models import Workflow

EVERY_MINUTE = {"cron": "* * * * *"}
MORNING = "* 6-10 * * *"  # 300 instants, the last of them an hour before noon
SINCE_MIDNIGHT = timedelta(hours=12)
HOUR = timedelta(hours=1)
LATER = timedelta(hours=5)  # due since then: later than since midnight


def noon_zone(now: datetime | None = None) -> str:
    """A zone without changes of the clock in which the hour is twelve."""
    ahead = 12 - (now or datetime.now(UTC)).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def this_morning(missed: str) -> dict[str, Any]:
    """300 instants went by today, none is due in the next hours."""
    return {"cron": MORNING, "timezone": noon_zone(), "missed": missed}


def a_schedule(config: dict[str, Any] | None = None, **parts: Any) -> Trigger:
    """The trigger of a published workflow that starts by the clock."""
    trigger = {"type": "schedule", "config": config or this_morning("latest")}
    workflow = a_published_workflow(trigger=trigger, **parts)
    return trigger_of(workflow)


def trigger_of(workflow: Workflow) -> Trigger:
    return Trigger.objects.get(workflow=workflow)


def set_back(trigger: Trigger, by: timedelta) -> Trigger:
    """Nobody has looked at it for so long: it was published then, and stood still since."""
    assert trigger.settled_until is not None
    after = trigger.settled_until - by
    schedule, _ = configs.read(trigger.config)
    Trigger.objects.filter(pk=trigger.pk).update(
        scheduled_from=after, settled_until=after, next_due_at=next_after(schedule, after)
    )
    trigger.refresh_from_db()
    return trigger


def an_overdue(missed: str = "latest", *, by: timedelta = SINCE_MIDNIGHT) -> Trigger:
    """Due since this morning, and then not again for hours: the minute may change while a test looks twice."""
    return set_back(a_schedule(this_morning(missed)), by)


def make_due(trigger: Trigger) -> Trigger:
    """Whatever it waits for, the wait is over."""
    sql.rows(
        "UPDATE triggers_trigger SET next_due_at = clock_timestamp() - interval '2 seconds' WHERE id = %(id)s::bigint",
        {"id": trigger.pk},
    )
    trigger.refresh_from_db()
    return trigger


def dues_of(trigger: Trigger) -> list[datetime]:
    """The instants that fired, oldest first."""
    return list(Tick.objects.filter(trigger=trigger).order_by("due_at").values_list("due_at", flat=True))


def is_every_minute(instants: Iterable[datetime]) -> bool:
    found = list(instants)
    return found == [found[0] + timedelta(minutes=number) for number in range(len(found))]


def fire_all() -> int:
    """Until nothing is due any more, whatever a turn lasts."""
    total = 0
    while fired := ticking.fire_due():
        total += fired
    return total


@contextmanager
def held_at_t1(at: dict[str, Any]) -> Iterator[threading.Event]:
    """Somebody else has the oldest due trigger in hand, nothing written; the event lets it go on."""
    reached, go_on = threading.Event(), threading.Event()
    outcome: list[Any] = []

    def stand() -> None:
        at.pop("CP-T1")
        reached.set()
        assert go_on.wait(20)

    def catch_up() -> None:
        try:
            outcome.append(ticking.catch_up_next())
        except Exception as error:  # noqa: BLE001  kept for the test
            outcome.append(error)
        finally:
            connection.close()

    at["CP-T1"] = stand
    thread = threading.Thread(target=catch_up)
    thread.start()
    assert reached.wait(10)
    go_on.outcome = outcome  # type: ignore[attr-defined]
    try:
        yield go_on
    finally:
        go_on.set()
        thread.join(20)
        assert not thread.is_alive()
