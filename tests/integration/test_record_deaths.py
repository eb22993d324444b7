"""A process that dies while it writes records, in autocommit: record and event are both there, or neither is.

Real processes, killed by SIGKILL at the crash points of record capture, and right before COMMIT.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Opportunity
from executions import sweeper
from executions.models import Run
from tests.bellboy import Bellboy
from tests.capturing import capturing, told, watching
from tests.concurrency import wait_until_alone
from tests.dying import AFTERWARDS, BEFORE_COMMIT, Mortals, mortals, writes
from tests.staging import let_time_pass
from triggers.models import OutboxEvent, UncapturedWrite

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = -signal.SIGKILL
WON = {"stage": ("new", "won")}
# What each write leaves when nobody dies.
LEAVES: dict[str, list[Any]] = {
    "save": [WON],
    "save(update_fields)": [WON],
    "save, new": ["created"],
    "update": [WON],
    "bulk_create": ["created"] * 3,
    "bulk_create, in batches": ["created"] * 3,
    "bulk_create(ignore_conflicts)": ["created"] * 2,
    "bulk_create(update_conflicts)": [WON],
    "bulk_update": [WON],
}
# In between lies a line of ours only where Django's writers capture.
DEATHS = [("orm", "CP-L1"), ("orm", "CP-L2"), ("orm", BEFORE_COMMIT), ("trigger", BEFORE_COMMIT)]
LATE_DEATHS = [("orm", "CP-L3"), ("trigger", AFTERWARDS)]


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


@pytest.fixture
def deal() -> Opportunity:
    found = Opportunity.objects.create(name="One", stage="new")
    watching("opportunity", "created")
    watching("opportunity", "updated", "stage")
    return found


def rows() -> list[Any]:
    return list(Opportunity.objects.order_by("pk").values())


def test_every_write_that_may_die_is_tried() -> None:
    assert set(writes("")) == set(LEAVES)


@pytest.mark.parametrize(("mode", "point"), DEATHS)
@pytest.mark.parametrize("write", LEAVES)
def test_given_a_death_before_the_commit_then_there_is_neither_record_nor_event(
    mortal: Mortals, deal: Opportunity, write: str, mode: str, point: str
) -> None:
    before = rows()
    with capturing(mode):
        assert mortal.do(write, deal.pk, mode=mode, point=point) == KILLED
        wait_until_alone()

        assert rows() == before
        assert told() == []

        # It does all of it again, as whoever asked for it would.
        assert mortal.do(write, deal.pk, mode=mode, point="nowhere") == 0
        assert told() == LEAVES[write]
        assert not UncapturedWrite.objects.exists()


@pytest.mark.parametrize(("mode", "point"), LATE_DEATHS)
@pytest.mark.parametrize("write", LEAVES)
def test_given_a_death_after_the_commit_then_the_event_is_there_and_the_sweep_starts_its_run(
    mortal: Mortals, deal: Opportunity, bellboy: Bellboy, write: str, mode: str, point: str
) -> None:
    before = rows()
    with capturing(mode):
        assert mortal.do(write, deal.pk, mode=mode, point=point) == KILLED

    assert rows() != before
    assert told() == LEAVES[write]
    let_time_pass()
    sweeper.sweep()
    bellboy.answer_all()
    assert list(Run.objects.values_list("status", flat=True)) == ["completed"] * len(LEAVES[write])
    assert not OutboxEvent.objects.exclude(status="dispatched").exists()
