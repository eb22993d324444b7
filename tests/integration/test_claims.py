"""Taking a step: once, by whoever may, counted before the work."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from executions import cells, claims, services, worker
from executions.models import Attempt, Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, a_queued_step, a_run, claim, end_lease, everything, live, slow, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def taken(step_run_id: int, *, in_cell: bool = False) -> bool:
    take = cells.claim if in_cell else claims.claim
    return bool(take([step_run_id], worker="w"))


def put(step: StepRun, **columns: Any) -> int:
    StepRun.objects.filter(pk=step.pk).update(**columns)
    return step.pk


def test_given_one_queued_step_when_eight_workers_claim_it_then_one_attempt_is_made(bellboy: Bellboy) -> None:
    step = a_queued_step()

    results = race(*[lambda n=n: claims.claim([step.pk], worker=f"worker {n}") for n in range(8)])

    (winner,) = [result[0] for result in results if result]
    attempt = Attempt.objects.get()
    assert (winner.fence, winner.attempt, attempt.number, attempt.fence) == (1, 1, 1, 1)
    assert StepRun.objects.get().owner.startswith(attempt.worker)
    assert told(Run.objects.get()) == ["run.created", "run.started", "step.started"]


def test_given_an_expired_lease_when_eight_cells_claim_it_then_one_loss_is_counted(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    end_lease(step.step_run_id)

    results = race(*[lambda: cells.claim([step.step_run_id], worker="cell")] * 8)

    assert sorted(len(result) for result in results) == [0] * 7 + [1]
    row = StepRun.objects.get()
    assert (row.attempts, row.lost, row.fence, row.quarantined) == (2, 1, 2, True)
    assert list(Attempt.objects.values_list("number", "outcome")) == [(1, "lost"), (2, None)]
    assert told(row.run)[-3:] == ["step.started", "step.lost", "step.started"]


def test_a_message_with_the_id_of_a_ready_step_claims_nothing(bellboy: Bellboy) -> None:
    """Admission is the only door into the window, whatever a forged or stale message says."""
    step = live(a_run())

    assert not taken(step.pk)
    assert not taken(step.pk, in_cell=True)
    assert StepRun.objects.get().status == "ready"


@pytest.mark.parametrize("in_cell", [False, True])
def test_nobody_takes_a_step_from_a_living_worker(bellboy: Bellboy, in_cell: bool) -> None:
    step = a_claimed_step()
    before = everything()

    assert not taken(step.step_run_id, in_cell=in_cell)
    assert everything() == before


def test_a_company_takes_no_expired_lease_and_no_quarantined_step(bellboy: Bellboy) -> None:
    expired = a_claimed_step().step_run_id
    end_lease(expired)
    suspect = put(a_queued_step(), quarantined=True)

    assert not taken(expired)
    assert not taken(suspect)
    assert taken(expired, in_cell=True)
    assert taken(suspect, in_cell=True)


def test_a_cell_takes_no_step_that_never_lost_a_worker(bellboy: Bellboy) -> None:
    assert not taken(a_queued_step().pk, in_cell=True)


def test_a_waiting_step_is_admissions_to_move(bellboy: Bellboy) -> None:
    step = put(live(a_run()), status="waiting", error_code="http.timeout")

    assert not taken(step)
    assert not taken(step, in_cell=True)


def test_the_steps_of_an_ended_run_are_left_alone(bellboy: Bellboy) -> None:
    step = a_queued_step()
    services.cancel_run(run_id=step.run_id, by=BY)

    assert not taken(step.pk)
    assert not taken(step.pk, in_cell=True)


def test_a_step_whose_attempts_are_used_up_is_not_claimed(bellboy: Bellboy) -> None:
    step = a_queued_step(slow(retry={"max_attempts": 1}))
    sql.rows("UPDATE executions_steprun SET max_attempts = 0", {})

    assert not taken(step.pk)


def test_a_run_that_somebody_has_locked_is_skipped_and_not_waited_for(bellboy: Bellboy) -> None:
    held, free = a_queued_step(), a_queued_step()
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(pk=held.run_id)
            is_locked.set()
            assert may_end.wait(10)

    def claimer() -> list[int]:
        assert is_locked.wait(10)
        steps = claims.claim([held.pk, free.pk], worker="w")
        may_end.set()
        return [step.step_run_id for step in steps]

    assert race(holder, claimer) == [None, [free.pk]]


def test_ids_that_do_not_exist_or_come_twice_do_no_harm(bellboy: Bellboy) -> None:
    step = a_queued_step()

    steps = claims.claim([step.pk, step.pk, 0, -1, 2**62], worker="w")

    assert [found.step_run_id for found in steps] == [step.pk]


def test_a_claimed_step_brings_all_that_its_attempt_needs(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    workflow = a_published_workflow(name="Orders", steps=[slow("one"), slow("two")])
    first = a_queued_step(workflow=workflow, payload={"n": 3})
    slow_step.script = lambda request, context: {"body": "x"}
    worker.execute([first.pk])  # goes on with step two in the same breath

    context = slow_step.sent[1][1]
    assert (context.step_key, context.attempt) == ("two", 1)
    second = StepRun.objects.get(key="two")
    assert claims.in_hand([second.pk])[0].outputs == {"one": {"body": "x"}, "two": {"body": "x"}}
    assert claims.in_hand([second.pk])[0].payload == {"n": 3}
    assert claims.in_hand([second.pk])[0].workflow_name == "Orders"


def test_given_no_free_thread_when_a_message_comes_then_its_steps_stay_queued(bellboy: Bellboy) -> None:
    """A lease must not run out in a process that has no thread for it."""
    steps = [a_queued_step(), a_queued_step()]
    taken_slots = worker.slots.take(worker.CAPACITY - 1)
    try:
        worker.execute([step.pk for step in steps])
        assert sorted(StepRun.objects.values_list("status", flat=True)) == ["completed", "queued"]
        worker.slots.take(1)
        taken_slots += 1
        worker.execute([step.pk for step in steps])
        assert sorted(StepRun.objects.values_list("status", flat=True)) == ["completed", "queued"]
    finally:
        worker.slots.give_back(taken_slots)


def test_the_start_of_a_run_is_told_by_its_first_claim_only(bellboy: Bellboy) -> None:
    step = a_claimed_step()
    end_lease(step.step_run_id)
    claim(step.step_run_id, in_cell=True)

    assert told(Run.objects.get()).count("run.started") == 1
