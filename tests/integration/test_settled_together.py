"""Successes of several steps in one statement: each as if it were alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from executions import chain, completing, reports
from executions.attempts import digest_of
from executions.claims import StepInHand
from executions.models import Attempt, Effect, Run, StepRun, TimelineEntry
from executions.settlements import Settled, Settlement
from executions.settling import settle_together
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow
from tests.staging import a_claimed_step, a_run, claim, end_lease, everything, intend, slow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def success(step: StepInHand, output: Any = None) -> Settlement:
    following = reports.following_of(step)
    return reports.completed(
        step,
        output or {"of": step.step_run_id},
        effect="done",
        answer={"status_code": 200},
        may_continue=following is not None,
        worker="w",
        owner=f"w#{step.step_run_id}",
        lease_seconds=30.0,
    )


def intended_steps(number: int, **more: Any) -> list[StepInHand]:
    steps = [a_claimed_step(**more) for _ in range(number)]
    for step in steps:
        intend(step)
    return steps


def test_each_gets_its_own_output_and_its_own_next_step(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two")])
    steps = intended_steps(3, workflow=workflow)

    settled = settle_together([success(step) for step in steps])

    for step, one in zip(steps, settled, strict=True):
        assert isinstance(one, Settled)
        assert one.continues
        assert one.next_step_run_id is not None
        following = StepRun.objects.get(pk=one.next_step_run_id)
        assert (str(following.run_id), following.key) == (step.run_id, "two")
        assert (following.status, following.owner) == ("running", f"w#{step.step_run_id}")
        assert StepRun.objects.get(pk=step.step_run_id).output == {"of": step.step_run_id}
    assert set(Effect.objects.values_list("status", flat=True)) == {"done"}


def test_it_writes_what_each_alone_would_have_written(bellboy: Bellboy) -> None:
    """The statement for several and the one for every outcome tell the same story."""
    alone, in_company = intended_steps(2)
    settlement = success(alone)
    object.__setattr__(settlement, "raises_fence", True)  # no plain success: the other statement
    assert not settlement.is_plain

    settle_together([success(in_company)])
    chain.write(settlement)

    def told(step: StepInHand) -> list[tuple[Any, ...]]:
        entries = TimelineEntry.objects.filter(run_id=step.run_id).order_by("seq")
        return [(e.seq, e.type, e.step_key, e.attempt, e.from_status, e.to_status) for e in entries]

    assert told(alone) == told(in_company)
    runs = [Run.objects.get(pk=step.run_id) for step in (alone, in_company)]
    assert {(run.status, run.seq, run.error_code, run.finished_at is None) for run in runs} == {
        ("completed", 5, None, False)
    }
    rows = [StepRun.objects.get(pk=step.step_run_id) for step in (alone, in_company)]
    assert len({(row.status, row.owner, row.rings, row.lease_expires_at) for row in rows}) == 1
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"ok"}


def written(monkeypatch: pytest.MonkeyPatch, settlements: list[Settlement]) -> list[Any]:
    """What becomes of each when a worker's threads write them together; an exception is a result."""
    together = settle_together(settlements)
    results: list[Any] = []
    for settlement, one in zip(settlements, together, strict=True):
        monkeypatch.setattr(chain, "complete_together", lambda _, one=one: [one])
        try:
            results.append(chain.write(settlement))
        except (LostRace, DatabaseError) as error:
            results.append(error)
    return results


def test_given_a_zombie_among_them_then_the_others_are_written_all_the_same(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = intended_steps(3)
    end_lease(steps[1].step_run_id)
    heir = claim(steps[1].step_run_id, worker="heir", in_cell=True)
    intend(heir)

    settled = written(monkeypatch, [success(step) for step in steps])

    assert [type(one).__name__ for one in settled] == ["Settled", "LostRace", "Settled"]
    assert Run.objects.filter(status="completed").count() == 2
    assert StepRun.objects.get(pk=heir.step_run_id).status == "running"


def test_when_one_does_not_fit_the_statement_writes_nothing_at_all(bellboy: Bellboy) -> None:
    steps = intended_steps(2)
    end_lease(steps[1].step_run_id)
    intend(claim(steps[1].step_run_id, worker="heir", in_cell=True))
    before = everything()

    with pytest.raises(LostRace):
        completing.complete([success(step) for step in steps])

    assert everything() == before


def test_given_an_output_that_postgresql_refuses_then_only_its_own_step_is_left_behind(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = intended_steps(2)

    settled = written(monkeypatch, [success(steps[0], {"text": "\0"}), success(steps[1])])

    assert [type(one).__name__ for one in settled] == ["DataError", "Settled"]


def test_given_overlapping_batches_in_opposite_orders_then_none_waits_in_a_circle(bellboy: Bellboy) -> None:
    steps = intended_steps(8)
    settlements = [success(step) for step in steps]

    results = race(*[lambda: settle_together(settlements), lambda: settle_together(settlements[::-1])] * 4)

    assert all(isinstance(result, list) for result in results), results
    assert sum(isinstance(one, Settled) for result in results for one in result) in (0, 8)
    assert {run.seq for run in Run.objects.filter(status="completed")} <= {5}


def test_given_one_whose_run_is_locked_then_nobody_waits_for_it(bellboy: Bellboy) -> None:
    steps = intended_steps(3)
    settlements = [success(step) for step in steps]
    is_locked, may_end = threading.Event(), threading.Event()

    def stranger() -> None:
        with transaction.atomic():
            sql.rows(
                "SELECT 1 FROM executions_run WHERE id = %(id)s::uuid FOR UPDATE", {"id": steps[1].run_id}
            )
            is_locked.set()
            assert may_end.wait(10)

    def worker() -> Any:
        assert is_locked.wait(10)
        together = settle_together(settlements)
        others = [settle_together([settlement]) for settlement in (settlements[0], settlements[2])]
        may_end.set()
        return together, others

    _, (together, others) = race(stranger, worker)

    assert together == [None] * 3
    assert all(isinstance(one, Settled) for (one,) in others)


def test_given_a_request_that_postgresql_refuses_then_the_other_intents_are_committed(
    bellboy: Bellboy,
) -> None:
    steps = [a_claimed_step() for _ in range(2)]
    wanted = [
        {"id": s.step_run_id, "run_id": s.run_id, "fence": s.fence, "key": s.effect_key, "digest": "", "request": {}}
        for s in steps
    ]  # fmt: skip
    wanted[0]["request"] = {"body": "\0"}

    assert chain.frozen_requests(wanted) == [None, {}]
    assert Effect.objects.get().step_run_id == steps[1].step_run_id


def with_next_intent(step: StepInHand, request: Any = None) -> Settlement:
    """A success whose next request is ready for the ledger."""
    request = request or {"n": step.step_run_id}
    intent = {"key": f"{step.run_id}:two", "request": request, "digest": digest_of({"n": 1})}
    return replace(success(step), next_intent=intent)


def test_the_next_steps_intent_comes_with_the_outcome_that_continues(bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two")])
    steps = intended_steps(2, workflow=workflow)

    settled = settle_together([with_next_intent(steps[0]), success(steps[1])])

    first, second = settled
    assert first is not None
    assert second is not None
    assert (first.next_request, second.next_request) == ({"n": steps[0].step_run_id}, None)
    effect = Effect.objects.get(step_run_id=first.next_step_run_id)
    assert (effect.status, effect.request, effect.fence) == ("intent", {"n": steps[0].step_run_id}, 1)
    assert (str(effect.scope), effect.key) == (steps[0].run_id, f"{steps[0].run_id}:two")
    assert Attempt.objects.get(step_run_id=first.next_step_run_id).intent_at is not None
    assert not Effect.objects.filter(step_run_id=second.next_step_run_id).exists()
    assert Attempt.objects.get(step_run_id=second.next_step_run_id).intent_at is None


def test_given_a_workflow_that_waits_with_less_in_flight_then_nothing_is_intended_for_a_step_that_gives_way(
    bellboy: Bellboy,
) -> None:
    busy = a_published_workflow(steps=[slow("one"), slow("two")])
    steps = intended_steps(2, workflow=busy)
    a_run()  # of another workflow, which has nothing in flight

    (settled,) = settle_together([with_next_intent(steps[0])])

    assert settled is not None
    assert (settled.continues, settled.next_request) == (False, None)
    assert not Effect.objects.filter(step_run_id=settled.next_step_run_id).exists()


def test_given_a_next_request_that_postgresql_refuses_then_the_outcome_is_written_without_it(
    bellboy: Bellboy,
) -> None:
    workflow = a_published_workflow(steps=[slow("one"), slow("two")])
    (step,) = intended_steps(1, workflow=workflow)

    (settled,) = settle_together([with_next_intent(step, {"text": "\0"})])

    assert settled is not None
    assert (settled.continues, settled.next_request) == (True, None)
    assert StepRun.objects.get(pk=step.step_run_id).status == "completed"
