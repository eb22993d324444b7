"""Keys of deliveries live in their events: for 30 days at least, and never shorter than the run they guard.

Nothing in the product deletes an event, so they live for ever. Who adds something that does has to keep what is
younger than 30 days and what has a run that is not at its end, and say so here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("crm", "executions", "triggers", "workflows", "lightfield")
DELETING = re.compile(
    r"(DELETE\s+FROM|TRUNCATE(\s+TABLE)?)\s+triggers_outboxevent|OutboxEvent\.objects[^\n]*\.delete\(|event\.delete\("
)


def test_nothing_in_the_product_deletes_an_event() -> None:
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py")]

    assert len(sources) > 100
    assert [str(path) for path in sources if DELETING.search(path.read_text())] == []


@pytest.mark.django_db
def test_an_event_that_has_a_run_cannot_be_deleted_by_anybody() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT confdeltype::text FROM pg_constraint WHERE conrelid = 'executions_run'::regclass"
            " AND confrelid = 'triggers_outboxevent'::regclass"
        )
        assert cursor.fetchall() == [("a",)]  # NO ACTION: PostgreSQL refuses
