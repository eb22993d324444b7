"""The triggers that write the log of fences, on real rows: what the replay of `fences.Log` is then told."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from executions import claims
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.chaos import fences
from tests.staging import a_claimed_step, claim, end_lease

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("slow_step")]


@pytest.fixture(autouse=True)
def log(bellboy: Bellboy) -> None:
    """The harness's triggers, until the test is rolled back. No message leaves."""
    with connection.cursor() as cursor:
        cursor.execute(fences.PREPARE)


def strays() -> list[fences.Write]:
    return fences.Log([fences.Write(*row) for row in sql.rows(fences.WRITTEN, {})]).strays


def test_given_a_lease_that_ran_out_when_a_cell_claims_the_step_then_nobody_was_robbed() -> None:
    step = a_claimed_step()
    end_lease(step.step_run_id)

    assert claim(step.step_run_id, worker="cell", in_cell=True).fence == 2
    assert [write for write in strays() if write.is_taken_alive] == []


def test_given_an_engine_that_looks_at_no_lease_when_it_claims_then_the_log_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = a_claimed_step()
    monkeypatch.setattr(claims, "IN_CELL", "s.status = 'running'")

    with transaction.atomic():
        ids = [step.step_run_id]
        claims.take(ids, claims.lock_runs(ids), claims.IN_CELL, worker="robber", owner="robber")

    (robbed,) = strays()
    assert robbed.is_taken_alive
    assert (robbed.fence_was, robbed.fence) == (1, 2)
