"""Where the database captures, it knew the cause of Django's writers only, and forgot or kept it with savepoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings

from crm.models import Opportunity
from lightfield.kernel import bells
from lightfield.kernel.ids import uuid7
from tests.bellboy import Bellboy
from tests.capturing import capturing, watching
from tests.scripted import ScriptedFast, installed
from triggers import causes
from triggers.causes import Cause
from triggers.models import OutboxEvent
from workflows.step_types import Completed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def by_database() -> Iterator[None]:
    with capturing("trigger"):
        yield


def a_cause() -> Cause:
    return Cause(uuid7(), uuid7(), uuid7().hex, depth=0)


def causes_told() -> list[Any]:
    """(depth, cause) of every event, in the order of capture."""
    return list(OutboxEvent.objects.order_by("captured_at", "id").values_list("depth", "caused_by"))


@pytest.mark.usefixtures("by_database", "promises_kept")
def test_a_step_that_writes_what_it_watches_by_raw_sql_runs_once(bellboy: Bellboy) -> None:
    Opportunity.objects.create(name="Deal", amount=1)

    def script(_: Any, __: Any) -> Completed:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE crm_opportunity SET amount = amount + 1")
        return Completed({})

    with installed("write", ScriptedFast) as step_type:
        step_type.script = script
        steps = [{"key": "write", "type": "write", "config": {}}]
        watching("opportunity", "updated", "amount", steps=steps)
        Opportunity.objects.update(amount=5)
        for _ in range(4):
            for shard in set(OutboxEvent.objects.filter(status="pending").values_list("shard", flat=True)):
                bells.ring_dispatch(shard)
            bellboy.answer_all()

    fates = OutboxEvent.objects.order_by("depth").values_list("depth", "status", "error_code")
    assert list(fates) == [(0, "dispatched", None), (1, "ignored", "trigger.own_change")]


@pytest.mark.usefixtures("by_database")
def test_a_cause_that_a_savepoint_brought_back_is_nobody_elses() -> None:
    watching("opportunity", "updated")
    first, second, third = (Opportunity.objects.create(name=name) for name in "abc")
    cause = a_cause()

    with transaction.atomic():
        with causes.acting_for(cause):
            Opportunity.objects.filter(pk=first.pk).update(stage="won")
        with transaction.atomic():
            Opportunity.objects.filter(pk=second.pk).update(stage="won")
            transaction.set_rollback(True)
        Opportunity.objects.filter(pk=third.pk).update(stage="won")

    assert causes_told() == [(1, cause.run_id), (0, None)]


@pytest.mark.usefixtures("by_database")
def test_a_process_that_still_captures_by_itself_tells_the_database_the_cause() -> None:
    watching("opportunity", "updated")
    deal = Opportunity.objects.create(name="Deal")
    cause = a_cause()

    with override_settings(LIGHTFIELD_CAPTURE="orm"), causes.acting_for(cause):
        deal.stage = "won"
        deal.save()

    assert causes_told() == [(1, cause.run_id)]


@pytest.mark.usefixtures("by_database")
def test_a_value_that_looks_like_a_cause_is_a_value() -> None:
    watching("opportunity", "updated")
    Opportunity.objects.create(name="Deal")
    forged = f"x /*lightfield:by {uuid7().hex} 7 {uuid7()}*/"

    Opportunity.objects.update(stage=forged)
    Opportunity.objects.filter(stage=forged).update(name="Loaded /*lightfield:by loaded*/")

    assert causes_told() == [(0, None), (0, None)]
