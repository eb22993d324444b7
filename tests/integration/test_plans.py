"""A row that is known by its key is found by its key: no statement walks an index, however young the tables.

To a plan made on an empty table a partial index looks like nothing to read, so a lookup by key that also says
`status = 'running'` was answered by reading all that runs. What is asked here is the plan; how long it takes is
another's question. Why: docs/adr/0012-one-plan.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

import tests.simulation.store  # noqa: F401  fills ANSWERS
from executions import causal_chain, claims, intents, renewals, services, sweeper, tasks
from executions.models import Run
from executions.notices import outgoing
from executions.reports import completed
from executions.settling import settle_together
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow
from tests.plans import HOT, Planner, recorded
from tests.simulation.statements import ANSWERS
from tests.staging import (
    a_claimed_step,
    a_queued_step,
    a_run,
    answer_with_cells_here,
    end_lease,
    intend,
    let_time_pass,
    nap,
    say,
    slow,
)
from triggers.models import Trigger
from triggers.services import webhook_path

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

# What the sweep asks is about all rows of a status; nobody gives it a key.
IN_FLIGHT = "all steps in flight are looked at: the lanes' windows bound them"
UNDECIDED = (
    "all effects without an answer are looked at: as many as steps in flight, and those of ended steps"
)
MEANT = {
    (sweeper.SHARDS, "event_pending"): "the index's first entry alone, then one probe for each shard",
    (sweeper.CIRCUITS, "step_held"): "the index's first entry alone, then one probe for each host",
    (sweeper.QUEUED, "step_inflight"): IN_FLIGHT,
    (sweeper.EXPIRED, "step_inflight"): IN_FLIGHT,
    (sweeper.UNDECIDED, "effect_undecided"): UNDECIDED,
    (sweeper.SETTLE_EFFECTS, "effect_undecided"): UNDECIDED,
    (outgoing.DUE, "notice_open"): "the first entry alone, then one probe for each version and channel",
}


def live_through_everything(bellboy: Bellboy) -> None:
    """Runs that end in every way, and some that are at work, on their way and waiting."""
    workflow = a_published_workflow(steps=[slow("one"), say(), slow("two")])
    path = webhook_path(Trigger.objects.get(workflow=workflow))
    for n in range(20):
        Client().post(path, {"n": n}, content_type="application/json")
    bellboy.answer_all()
    in_company = [a_claimed_step() for _ in range(2)]
    for step in in_company:
        intend(step)
    settle_together(
        [completed(step, {}, effect="done", answer={"status_code": 200}, worker="w") for step in in_company]
    )
    cancelled = a_run()
    services.cancel_run(run_id=cancelled.pk, by=BY)
    services.replay_run(run_id=cancelled.pk, by=BY)
    lost = a_claimed_step()
    intend(lost)
    end_lease(lost.step_run_id)
    let_time_pass()
    tasks.sweep.apply()
    answer_with_cells_here(bellboy)
    tasks.settle_effects.apply()
    for begin in (a_run, a_queued_step, a_claimed_step, lambda: a_run(nap())):
        begin()
    held = a_claimed_step()
    intend(held)
    renewals.renew([(held.step_run_id, held.fence), (lost.step_run_id, lost.fence)])
    claims.owned("of a claim without a reply", [held.step_run_id])
    claims.owned_in_run("of an outcome without a reply", held.run_id)


@pytest.fixture
def statements(bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the engine was seen to ask of its hot tables, and what else the simulator knows that it may ask."""
    with recorded(monkeypatch) as sent:
        live_through_everything(bellboy)
    assert Run.objects.filter(status="completed").count() > 20
    read = {causal_chain.CHAIN}  # by people, on the same tables
    return {statement for statement in {*sent, *ANSWERS, *read} if any(table in statement for table in HOT)}


@pytest.fixture
def planner(statements: set[str]) -> Iterator[Planner]:
    planner = Planner()
    yield planner
    planner.close()


def faults(planner: Planner, statements: set[str], *, only_partial: bool = False) -> list[str]:
    """Each place where a statement reads what nobody asked for, but for what is meant."""
    return sorted(
        f"{read.by} is walked by {statement}"
        for statement in statements
        for read in planner.reads(statement)
        if (read.is_partial or not only_partial)
        and (read.overlooks_the_key or read.is_walk)
        and (statement, read.by) not in MEANT
    )


def test_given_tables_without_statistics_then_no_lookup_by_key_walks_a_partial_index(
    statements: set[str], planner: Planner
) -> None:
    assert len(statements) > 30
    assert faults(planner, statements, only_partial=True) == []


@pytest.mark.parametrize("scattered", [False, True])
@pytest.mark.parametrize("runs", ["finished_at IS NOT NULL", "true"], ids=["at rest", "in a flood"])
def test_given_tables_that_postgresql_knows_then_no_statement_walks_any_index(
    statements: set[str], planner: Planner, runs: str, scattered: bool
) -> None:
    for statement in statements:
        planner.plan(statement)  # as if prepared while the tables were young: ANALYZE makes it plan anew

    planner.grow(300, runs, scattered=scattered)

    assert faults(planner, statements) == []


def test_what_is_meant_is_still_needed(statements: set[str], planner: Planner) -> None:
    walked = {(s, read.by) for s in statements for read in planner.reads(s) if read.is_walk}

    assert MEANT.keys() <= walked


@pytest.mark.parametrize("times", [0, 300], ids=["young", "known"])
def test_given_a_lookup_that_asks_for_the_status_as_the_index_has_it_then_it_is_found(
    statements: set[str], planner: Planner, times: int
) -> None:
    """The check sees what it is there for."""
    unwise = intents.INTENT.replace("s.status || '' = 'running'", "s.status = 'running'")
    if times:
        planner.grow(times, "finished_at IS NOT NULL")

    assert faults(planner, {intents.INTENT}, only_partial=True) == []
    assert len(faults(planner, {unwise}, only_partial=True)) == 1
