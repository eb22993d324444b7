"""A table that has outgrown what PostgreSQL knows of it is analyzed by the sweep, and no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.db import transaction

from executions import planner_statistics, tasks
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from triggers.models import OutboxEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]
EVENTS = "triggers_outboxevent"
MANY = 4000  # events of half a kilobyte: some 280 pages


@pytest.fixture(autouse=True)
def no_autovacuum() -> Iterator[None]:
    """Or it could come first."""
    sql.rows(f"ALTER TABLE {EVENTS} SET (autovacuum_enabled = false)", {})
    yield
    sql.rows(f"ALTER TABLE {EVENTS} RESET (autovacuum_enabled)", {})


def capture(count: int) -> None:
    event = an_event(a_published_workflow(), payload={"filling": "x" * 300})
    sql.rows(
        f"INSERT INTO {EVENTS} SELECT copy.* FROM {EVENTS} e, generate_series(2, %(count)s::int) n, "
        "jsonb_populate_record(e, jsonb_build_object('id', lpad(to_hex(n), 8, '0') || substr(e.id::text, 9))) copy WHERE e.id = %(id)s::uuid",
        {"count": count, "id": event.pk},
    )


def known() -> tuple[int, float]:
    """Pages and rows that PostgreSQL plans with; -1: it has never counted."""
    (found,) = sql.rows(
        "SELECT relpages, reltuples::float8 FROM pg_class WHERE oid = %(table)s::text::regclass",
        {"table": EVENTS},
    )
    return found[0], found[1]


def test_given_a_table_that_has_grown_tenfold_then_it_is_analyzed_once(bellboy: Bellboy) -> None:
    capture(MANY)
    assert known() == (0, -1)

    assert planner_statistics.refresh() == [EVENTS]

    pages, rows = known()
    assert pages > planner_statistics.FEWEST_PAGES
    assert rows == MANY
    assert planner_statistics.refresh() == []


def test_a_young_and_small_table_is_left_alone(bellboy: Bellboy) -> None:
    capture(100)

    assert planner_statistics.refresh() == []
    assert known() == (0, -1)


def test_given_a_table_that_is_known_when_it_grows_by_half_then_it_is_left_to_autovacuum(
    bellboy: Bellboy,
) -> None:
    capture(MANY)
    sql.rows(f"ANALYZE {EVENTS}", {})
    before = known()
    capture(MANY // 2)

    assert planner_statistics.refresh() == []
    assert known() == before


def test_every_sweep_looks(bellboy: Bellboy) -> None:
    capture(MANY)

    tasks.sweep.apply()

    assert known()[1] == MANY


def test_given_a_table_that_somebody_else_analyzes_then_nobody_waits(bellboy: Bellboy) -> None:
    capture(MANY)
    is_locked, may_end = threading.Event(), threading.Event()

    def other() -> None:
        with transaction.atomic():
            sql.rows(f"LOCK TABLE {EVENTS} IN SHARE UPDATE EXCLUSIVE MODE", {})
            is_locked.set()
            assert may_end.wait(10)

    def sweep() -> None:
        assert is_locked.wait(10)
        try:
            planner_statistics.refresh()
        finally:
            may_end.set()

    assert race(other, sweep) == [None, None]  # one that waits for longer than lock_timeout has an error
    assert known() == (0, -1)
    assert OutboxEvent.objects.count() == MANY
