"""What is no change, and when the bell rings: after the commit, and not at all for what was undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import transaction

from crm.models import Opportunity
from tests.bellboy import Bellboy
from tests.capturing import capturing, told, watching

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    with capturing(request.param):
        yield request.param


def test_a_field_that_changes_with_every_save_is_no_change_by_itself(mode: str) -> None:
    deal = Opportunity.objects.create(name="A deal", stage="new")
    watching("opportunity", "updated")  # of any field
    deal.save()
    Opportunity.objects.update(updated_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert told() == []

    Opportunity.objects.update(stage="won", updated_at=datetime(2031, 1, 1, tzinfo=UTC))
    assert told() == [{"stage": ("new", "won")}]


def test_given_writes_that_are_undone_then_no_bell_is_rung_for_them(bellboy: Bellboy) -> None:
    deal = Opportunity.objects.create(name="A deal", stage="new")
    watching("opportunity", "updated", "stage")
    with transaction.atomic(), transaction.atomic():
        deal.stage = "won"
        deal.save()
        Opportunity.objects.update(stage="lost")
        transaction.set_rollback(True)

    assert bellboy.rung == []
    assert told() == []


def test_the_bell_is_rung_once_for_all_that_a_transaction_changed_and_not_before(bellboy: Bellboy) -> None:
    deal = Opportunity.objects.create(name="A deal", stage="new")
    watching("opportunity", "updated", "stage")
    with transaction.atomic():
        for stage in ("a", "b"):
            deal.stage = stage
            deal.save()
        assert bellboy.rung == []

    assert {bell.task for bell in bellboy.rung} == {"executions.dispatch_shard"}
    assert len(told()) == 2
