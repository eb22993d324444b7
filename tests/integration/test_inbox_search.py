"""Finding deliveries, and forgetting old ones: each way by an index, in a table of any size."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from lightfield.kernel import ids, sql
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from triggers.deliveries import pruning, searching, statements
from triggers.deliveries.models import ANSWERS, Delivery, DeliveryVerdict
from triggers.models import OutboxEvent, Trigger
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 200_000


def a_delivery(workflow: Workflow, verdict: str = "paused", **columns: Any) -> Delivery:
    at = columns.get("at", timezone.now())
    return Delivery.objects.create(
        **{
            "id": ids.uuid7(at),
            "trigger": Trigger.objects.get(workflow=workflow),
            "workflow": workflow,
            "at": at,
            "address": "192.0.2.1",
            "content_type": "application/json",
            "verdict": verdict,
            "answer": ANSWERS.get(DeliveryVerdict(verdict), 400),
            **columns,
        }
    )


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller("viewer")


def found(api: ApiCaller, query: str) -> list[str]:
    answer = api.get(f"/deliveries?{query}")
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_each_way_to_search_finds_its_own(api):
    workflow, other = a_published_workflow(), a_published_workflow()
    event = an_event(workflow, idempotency_key="order-7")
    old = a_delivery(workflow, "accepted", at=timezone.now() - timedelta(days=2), event_id=event.pk)
    digest = hashlib.sha256(b"{").digest()
    bad = a_delivery(workflow, "malformed", code="payload.invalid_json", digest=digest)
    elsewhere = a_delivery(other)

    yesterday = quote((timezone.now() - timedelta(days=1)).isoformat())
    wanted: dict[str, list[Delivery]] = {
        "": [elsewhere, bad, old],
        f"workflow={workflow.pk}": [bad, old],
        "verdict=malformed": [bad],
        "status=404": [elsewhere],
        f"since={yesterday}": [elsewhere, bad],
        f"until={yesterday}": [old],
        f"event={event.pk}": [old],
        f"digest={digest.hex()}": [bad],
        f"q={digest.hex()}": [bad],
        "q=order-7": [old],
        "q=payload.invalid_json": [bad],
        f"q={bad.pk}": [bad],
        f"q={str(old.pk)[:9]}": [old],
        f"q={event.pk}": [old],
        "q=nothing": [],
        f"workflow={workflow.pk}&verdict=paused": [],
        "test=true": [],
    }
    for query, deliveries in wanted.items():
        assert set(found(api, query)) == {str(one.pk) for one in deliveries}, query


@pytest.mark.parametrize(
    "query",
    [
        "verdict=no",
        "status=x",
        "status=1",
        "digest=00",
        "since=x",
        "event=x",
        "color=red",
        f"q={'x' * 256}",
        "q=%00",
    ],
)
def test_what_cannot_be_asked_is_refused(api, query):
    assert code_of(api.get(f"/deliveries?{query}")) == (400, "request.invalid")


@pytest.mark.parametrize("query", ["since=0001-01-01T00:00:00Z", "until=9999-12-31T23:59:59Z"])
def test_instants_at_the_edge_of_time_are_no_error(api, query):
    assert found(api, query) == []


def test_the_list_is_paged_by_cursor(api):
    workflow = a_published_workflow()
    made = [str(a_delivery(workflow).pk) for _ in range(5)]

    pages = api.pages(f"/deliveries?workflow={workflow.pk}&limit=2")

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(row["id"] for page in pages for row in page) == sorted(made)
    assert "headers" not in pages[0][0]


# Bounds.


def test_the_newest_of_each_workflow_are_kept(settings):
    settings.LIGHTFIELD_INBOX_MOST = 10
    busy, calm = a_published_workflow(), a_published_workflow()
    made = [a_delivery(busy).pk for _ in range(25)]
    few = a_delivery(calm)

    assert pruning.prune(seconds=5) == 15

    kept = set(Delivery.objects.filter(workflow=busy).values_list("pk", flat=True))
    assert kept == set(sorted(made)[-10:])
    assert Delivery.objects.filter(pk=few.pk).exists()
    assert pruning.prune(seconds=5) == 0


def test_what_is_too_old_goes_however_few_there_are(settings):
    workflow = a_published_workflow()
    now = timezone.now()
    a_delivery(workflow, at=now - timedelta(days=30, minutes=1))
    kept = a_delivery(workflow, at=now - timedelta(days=29))

    assert pruning.prune(seconds=5) == 1
    assert Delivery.objects.get() == kept


def test_given_many_prune_at_once_while_more_come_then_none_too_many_is_deleted(settings, monkeypatch):
    settings.LIGHTFIELD_INBOX_MOST = 50
    monkeypatch.setattr(pruning, "BATCH", 7)
    workflow = a_published_workflow()
    for _ in range(200):
        a_delivery(workflow)

    def come() -> None:
        for _ in range(50):
            a_delivery(workflow)

    race(*[lambda: pruning.prune(seconds=2)] * 3, come)
    pruning.prune(seconds=5)

    assert Delivery.objects.count() == 50


def test_pruning_leaves_events_and_their_keys(settings):
    settings.LIGHTFIELD_INBOX_MOST = 10
    workflow = a_published_workflow()
    events = [an_event(workflow, idempotency_key=f"k-{n}") for n in range(20)]
    for event in events:
        a_delivery(workflow, "accepted", event_id=event.pk)

    pruning.prune(seconds=5)

    assert OutboxEvent.objects.count() == 20
    assert Delivery.objects.count() == 10


def test_when_little_time_is_given_the_rest_comes_next_time(settings, monkeypatch):
    settings.LIGHTFIELD_INBOX_MOST = 10
    monkeypatch.setattr(pruning, "BATCH", 5)
    workflow = a_published_workflow()
    for _ in range(30):
        a_delivery(workflow)

    gone = [pruning.prune(seconds=0.0001) for _ in range(100)]

    assert sum(gone) + pruning.prune(seconds=5) == 20


def test_the_sweep_prunes_now_and_then(settings, monkeypatch):
    settings.LIGHTFIELD_INBOX_MOST = 10
    monkeypatch.setattr(pruning, "_next_at", 0.0)
    workflow = a_published_workflow()
    for _ in range(12):
        a_delivery(workflow)

    assert pruning.prune_now_and_then() == 2
    a_delivery(workflow)
    assert pruning.prune_now_and_then() == 0


# How PostgreSQL finds them among 200,000.

FILL = """
INSERT INTO triggers_delivery (id, trigger_id, workflow_id, at, address, headers, digest, size, content_type, verdict, code,
  detail, answer, event_id, count, is_test)
SELECT ('0190' || lpad(to_hex(n), 8, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, w.trigger_id, w.workflow_id,
  timestamptz '2024-06-20 00:00Z' + make_interval(secs => n), '192.0.2.1', '{"user-agent": "a sender"}',
  sha256(n::text::bytea), 100, 'application/json', v.verdict, CASE v.verdict WHEN 'malformed' THEN 'payload.too_deep' END,
  '{}', CASE v.verdict WHEN 'accepted' THEN 202 WHEN 'malformed' THEN 400 ELSE 404 END,
  CASE v.verdict WHEN 'accepted' THEN gen_random_uuid() END, 1, false
FROM generate_series(1, %(many)s::int) n
CROSS JOIN LATERAL (SELECT CASE WHEN n %% 1000 = 0 THEN 'malformed' WHEN n %% 500 = 1 THEN 'paused' ELSE 'accepted' END AS verdict) v
JOIN (SELECT id AS trigger_id, workflow_id, row_number() OVER (ORDER BY id) AS place FROM triggers_trigger) w
  ON w.place = 1 + n %% 20
"""


def cost_of(rows: QuerySet[Delivery]) -> int:
    """Pages that PostgreSQL touches for the first page of a list."""
    text, params = rows.order_by("-pk")[:51].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", params)
        plan = cursor.fetchone()[0]
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_among_200_000_every_search_touches_few_pages(settings):
    for _ in range(20):
        a_published_workflow()
    sql.rows(FILL, {"many": MANY})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE triggers_delivery")
    one = Delivery.objects.filter(verdict="accepted").order_by("-pk")[70_000]
    an_event(Workflow.objects.earliest("pk"), idempotency_key="order-7")
    rows = Delivery.objects.all()
    asked = {
        "all": rows,
        "workflow": rows.filter(workflow=one.workflow_id),
        "verdict": rows.filter(verdict="malformed"),
        "workflow and verdict": rows.filter(workflow=one.workflow_id, verdict="malformed"),
        "status": rows.filter(answer=404),
        "status that is none": rows.filter(answer=503),
        "since": searching.since(rows, one.at),
        "event": rows.filter(event_id=one.event_id),
        "digest": rows.filter(digest=one.digest),
        "id": rows.filter(searching.matching(str(one.pk))),
        "beginning of an id": rows.filter(searching.matching(str(one.pk)[:13])),
        "code": rows.filter(searching.matching("payload.too_deep")),
        "key": rows.filter(searching.matching("order-7")),
    }

    costs = {name: cost_of(found) for name, found in asked.items()}

    assert {name: cost for name, cost in costs.items() if cost > 1_500} == {}, costs
    settings.LIGHTFIELD_INBOX_MOST = 9_990
    assert pruning.prune(seconds=30) > 0
    for statement in (statements.TOO_OLD, statements.BEYOND, statements.NEXT):
        text, names = sql.numbered(statement)
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"PREPARE pruning_{abs(hash(statement))} AS {text.decode()}")
            cursor.execute(
                f"EXPLAIN EXECUTE pruning_{abs(hash(statement))}({', '.join(['NULL'] * len(names))})"
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())
            cursor.execute("RESET enable_seqscan")
        assert "Seq Scan" not in plan, plan
