"""The overview: is everything moving, what failed lately, and who works. For people who look once an hour.

Every count is bounded: by the last 24 hours, by a partial index, or by a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.cache import cache
from django.db import OperationalError
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from executions.models import Heartbeat, Run
from executions.states import RunStatus
from lightfield.builder.numbers import oldest_id
from lightfield.kernel import plain_words, sql
from lightfield.look import flower_url

HOURS: Final = 24
MOST: Final = 10_000  # rows counted of what waits; beyond that the figure ends in "+"
STALE_AFTER_SECONDS: Final = 30  # three beats of a worker
LATE_AFTER_SECONDS: Final = 10  # an event that waits longer for its run says that dispatching is slow
KEPT_SECONDS: Final = 10  # the last 24 hours are counted at most so often, however many people look
HISTORY_KEY: Final = "lightfield.dashboard.history"

RUNS: Final = """
SELECT floor(extract(epoch FROM %(now)s::timestamptz - created_at) / 3600)::int AS hours_ago, status, error_code,
  count(*)::int
FROM executions_run WHERE id >= %(since)s::uuid GROUP BY 1, 2, 3
"""
EVENTS: Final = "SELECT count(*)::int FROM triggers_outboxevent WHERE id >= %(since)s::uuid"

# One statement for all that waits now; each part stops at %(most)s rows.
STANDING: Final = """
SELECT pending.number, pending.oldest, poison.number, live.number,
  (SELECT count(*)::int FROM executions_circuit WHERE state <> 'closed')
FROM (SELECT count(*)::int AS number, min(captured_at) AS oldest FROM
       (SELECT captured_at FROM triggers_outboxevent WHERE status = 'pending' LIMIT %(most)s::int) p) pending,
  (SELECT count(*)::int AS number FROM
       (SELECT 1 FROM triggers_outboxevent WHERE status = 'poison' LIMIT %(most)s::int) p) poison,
  (SELECT count(*)::int AS number FROM
       (SELECT 1 FROM executions_run WHERE status IN ('pending', 'running', 'waiting') LIMIT %(most)s::int) p) live
"""
LANES: Final = """
SELECT l.name, l.width,
  (SELECT count(*)::int FROM executions_steprun s WHERE s.lane = l.name AND s.status IN ('queued', 'running')),
  (SELECT count(*)::int FROM (SELECT 1 FROM executions_steprun s
     WHERE s.lane = l.name AND s.status IN ('ready', 'waiting') AND s.held_host IS NULL AND s.due_at <= statement_timestamp()
     LIMIT %(most)s::int) due)
FROM executions_lane l ORDER BY l.name
"""


@dataclass(frozen=True)
class Hour:
    """One bar of the chart."""

    starts_at: datetime
    counts: tuple[int, ...]  # completed, failed, other
    busiest: int  # runs of the hour that had most

    @property
    def heights(self) -> list[float]:
        """In percent of the busiest hour."""
        return [count * 100 / self.busiest for count in self.counts]

    @property
    def words(self) -> str:
        completed, failed, other = self.counts
        rest = f", {other:,} cancelled or going on" if other else ""
        return f"{self.starts_at:%H:%M} UTC: {completed:,} completed, {failed:,} failed{rest}"


@dataclass(frozen=True)
class History:
    """The last 24 hours. None where there was too much to count in time."""

    events: int
    by_status: dict[str, int]
    by_code: list[tuple[str, int]]
    hours: list[Hour]

    @property
    def runs(self) -> int:
        return sum(self.by_status.values())

    @property
    def failed(self) -> int:
        return self.by_status.get(RunStatus.FAILED, 0)


@dataclass(frozen=True)
class Lane:
    name: str
    width: int
    in_flight: int
    due: int  # may start and waits for a place

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.in_flight / self.width)) if self.width else 0


@dataclass(frozen=True)
class Worker:
    node: str
    at: datetime
    is_silent: bool


@dataclass(frozen=True)
class Concern:
    """What a person should look at, and the admin's list that shows it."""

    words: str
    model: str  # app_label.model
    query: str = ""

    @property
    def url(self) -> str:
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist") + self.query

    def may_be_opened_by(self, user: Any) -> bool:
        app, _, model = self.model.partition(".")
        return bool(user.has_perm(f"{app}.view_{model}"))


def concerns(
    *, poison: int, oldest_seconds: float | None, queues: list[dict[str, Any]], failing_hosts: int = 0
) -> list[Concern]:
    """What a person should look at now, the worst first."""
    found = []
    for queue in queues:
        if queue["newest"] and not queue["alive"]:
            words = f"No {queue['name']} worker has been heard of for a while: its work waits."
            found.append(Concern(words, "executions.heartbeat"))
    if oldest_seconds is not None and oldest_seconds > LATE_AFTER_SECONDS:
        words = f"An event has waited {plain_words.length(oldest_seconds)} for its run."
        found.append(Concern(words, "triggers.outboxevent", "?status=pending"))
    if failing_hosts:
        hosts = "1 host fails" if failing_hosts == 1 else f"{failing_hosts:,} hosts fail"
        them, answer = ("it", "it answers") if failing_hosts == 1 else ("them", "they answer")
        words = f"{hosts}: steps that call {them} wait until {answer} again."
        found.append(Concern(words, "executions.circuit"))
    if poison:
        events = "1 poison event waits" if poison == 1 else f"{poison:,} poison events wait"
        words = f"{events} for a person to look at."
        found.append(Concern(words, "triggers.outboxevent", "?status=poison"))
    return found


def with_numbers(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's callback: the context of the overview page."""
    context["flower_url"] = flower_url(request)
    user = request.user
    if not (user.has_perm("executions.view_run") and user.has_perm("triggers.view_outboxevent")):
        return context
    now = timezone.now()
    pending, oldest, poison, live, failing = sql.row(STANDING, {"most": MOST}) or (0, None, 0, 0, 0)
    oldest_seconds = (now - oldest).total_seconds() if oldest else None
    since = now - timedelta(hours=HOURS)
    queues = _queues(now)
    failures = Run.objects.filter(pk__gte=oldest_id(since), error_code__isnull=False).order_by("-pk")
    fields = ("error_code", "created_at", "workflow__name", "version__number")
    return {
        **context,
        "history": _history(now),
        "most": MOST,
        "pending": pending,
        "oldest_seconds": oldest_seconds,
        "is_late": oldest_seconds is not None and oldest_seconds > LATE_AFTER_SECONDS,
        "concerns": [
            (concern.words, concern.url if concern.may_be_opened_by(user) else "")
            for concern in concerns(
                poison=poison, oldest_seconds=oldest_seconds, queues=queues, failing_hosts=failing
            )
        ],
        "poison": poison,
        "live": live,
        "lanes": [Lane(*found) for found in sql.rows(LANES, {"most": MOST})],
        "queues": queues,
        "failures": list(failures.select_related("workflow", "version").only(*fields)[:6]),
    }


def _history(now: datetime) -> History | None:
    """The last 24 hours, counted at most every ten seconds; None when that takes too long."""
    kept = cache.get(HISTORY_KEY)
    if isinstance(kept, History):
        return kept
    params = {"now": now, "since": oldest_id(now - timedelta(hours=HOURS))}
    try:
        rows = sql.rows(RUNS, params)
        (events,) = sql.row(EVENTS, {"since": params["since"]}) or (0,)
    except OperationalError as error:
        if sql.sqlstate(error) != QUERY_CANCELED:
            raise
        return None
    history = _summed(now, rows, events)
    cache.set(HISTORY_KEY, history, KEPT_SECONDS)
    return history


QUERY_CANCELED: Final = "57014"


def _summed(now: datetime, rows: list[tuple[Any, ...]], events: int) -> History:
    by_status: dict[str, int] = {}
    by_code: dict[str, int] = {}
    by_hour = [[0, 0, 0] for _ in range(HOURS)]  # completed, failed, other
    for hours_ago, status, code, number in rows:
        by_status[status] = by_status.get(status, 0) + number
        if code:
            by_code[code] = by_code.get(code, 0) + number
        if 0 <= hours_ago < HOURS:
            column = {RunStatus.COMPLETED: 0, RunStatus.FAILED: 1}.get(status, 2)
            by_hour[hours_ago][column] += number
    busiest = max((sum(hour) for hour in by_hour), default=0) or 1
    hours = [
        Hour(now - timedelta(hours=ago + 1), tuple(by_hour[ago]), busiest) for ago in reversed(range(HOURS))
    ]
    codes = sorted(by_code.items(), key=lambda item: -item[1])[:5]
    return History(events, by_status, codes, hours)


def _queues(now: datetime) -> list[dict[str, Any]]:
    """Every queue with its workers, the newest beat first; a queue without any is what to worry about."""
    workers: dict[str, list[Worker]] = {"fast": [], "http": [], "ai": []}
    for beat in Heartbeat.objects.order_by("-at")[:60]:
        silent = (now - beat.at).total_seconds() > STALE_AFTER_SECONDS
        workers.setdefault(beat.queue, []).append(Worker(beat.node, beat.at, silent))
    return [
        {
            "name": name,
            "alive": sum(not worker.is_silent for worker in found),
            "newest": found[0].at if found else None,
        }
        for name, found in workers.items()
    ]
