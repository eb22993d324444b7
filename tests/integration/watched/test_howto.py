"""docs/howto/watch-your-models.md: what it says to write does what it says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection

from lightfield.local.boot import ROOT
from tests.capturing import watching
from tests.watched_app.models import Invoice
from workflows import services

pytestmark = pytest.mark.django_db

TEXT = (ROOT / "docs" / "howto" / "watch-your-models.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def test_the_test_that_it_shows_passes() -> None:
    (code,) = [block for block in blocks("python") if "def test_" in block]
    names: dict[str, Any] = {}
    exec(code.replace("billing.models", "tests.watched_app.models"), names)
    names["test_a_paid_invoice_starts_the_workflow"]()


def test_the_workflow_that_it_shows_can_be_published() -> None:
    (definition,) = map(json.loads, blocks("json"))
    workflow = services.create_workflow(definition=definition, by="a test")
    services.publish(workflow_id=workflow.pk, by="a test")


def test_whoever_writes_a_watched_table_needs_no_right_on_ours(mode: str) -> None:
    """The triggers run as their owner: a project beside us has rights on its own tables alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(p.prosecdef), count(*) FROM pg_trigger x JOIN pg_proc p ON p.oid = x.tgfoid "
            "WHERE NOT x.tgisinternal AND starts_with(x.tgname, 'lightfield_')"
        )
        is_owners, number = cursor.fetchone()
    assert is_owners
    assert number >= 50


# What "What it costs" says, counted where Django's own statements are not.
COSTS: dict[str, tuple[Any, int]] = {
    "save, nothing changed": (lambda one: one.save(), 1),
    "save, another field": (lambda one: changed(one, number="2").save(), 1),
    "save, what is asked for": (lambda one: changed(one, state="paid").save(), 2),
    "create": (lambda _: Invoice.objects.create(number="2"), 1),
    "update, another field": (lambda _: Invoice.objects.update(number="2"), 1),
    "update, what is asked for": (lambda _: Invoice.objects.update(state="paid"), 4),
    "bulk_create": (lambda _: Invoice.objects.bulk_create([Invoice(number="2")]), 1),
    "bulk_create, update_conflicts": (
        lambda one: Invoice.objects.bulk_create(
            [Invoice(pk=one.pk, number="2", state="paid")],
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["state"],
        ),
        4,
    ),
}


def changed(one: Invoice, **values: Any) -> Invoice:
    for name, value in values.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize("what", COSTS)
def test_it_costs_as_many_statements_as_it_says(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.test.utils import CaptureQueriesContext

    from lightfield.kernel import sql
    from triggers.records import watching as registry

    do, expected = COSTS[what]
    watching("invoice", "updated", "state")
    ours = 0
    rows = sql.rows

    def counted(*args: Any) -> Any:
        nonlocal ours
        ours += 1
        return rows(*args)

    one = Invoice.objects.create(number="1")
    watch = registry.find(Invoice)
    assert watch is not None
    registry.forget(Invoice)
    with CaptureQueriesContext(connection) as alone:
        do(one)
    Invoice.objects.filter(pk=one.pk).update(number="1", state="new")
    registry.add(watch)
    one = Invoice.objects.get(pk=one.pk)
    monkeypatch.setattr(sql, "rows", counted)
    with CaptureQueriesContext(connection) as watched:
        do(one)
    savepoints = sum("SAVEPOINT" in query["sql"] for query in watched.captured_queries)
    savepoints -= sum("SAVEPOINT" in query["sql"] for query in alone.captured_queries)
    assert ours + len(watched) - len(alone) - savepoints == expected
