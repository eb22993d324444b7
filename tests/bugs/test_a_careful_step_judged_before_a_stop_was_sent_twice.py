"""A cell judged its steps in one transaction and claimed them in another, by a judgement that might be old by then.

Stopped in between, for longer than a lease, it sent again what somebody else had sent meanwhile: with
`on_unknown: fail` that must never happen, and a step that was to blame was tried once more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from executions import cells, claims, worker
from executions.claims import StepInHand
from executions.models import Effect, Run, StepRun
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, a_queued_step, claim, die_in_cells, end_lease, intend, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

CAREFUL = slow() | {"config": {"on_unknown": "fail"}}


@pytest.fixture
def run_cell_stopped_before_its_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[int, Callable[[], None]], None]:
    """Run a cell that is stopped where CP-S1 stands; `meanwhile` happens, and it goes on."""

    def run(step_run_id: int, meanwhile: Callable[[], None]) -> None:
        is_stopped, may_go_on = threading.Event(), threading.Event()

        def stop(point: str) -> None:
            if point == "CP-S1":
                is_stopped.set()
                assert may_go_on.wait(10)

        monkeypatch.setattr(worker, "crashpoint", stop)  # an order would stop this whole process

        def others() -> None:
            assert is_stopped.wait(10)
            try:
                meanwhile()
            finally:
                may_go_on.set()

        assert race(lambda: cells.run_here([step_run_id], "http"), others) == [None, None]

    return run


def send_and_die(step: StepInHand) -> None:
    """The request has left as soon as its intent is committed, for all that anybody can know."""
    assert intend(step, on_unknown="fail")
    end_lease(step.step_run_id)


def lost() -> StepInHand:
    """A step whose owner has not been heard of, before its intent."""
    owner = a_claimed_step(CAREFUL)
    end_lease(owner.step_run_id)
    return owner


def quarantined() -> StepInHand:
    """A step that waits for a cell: nobody has it, so there is nothing to judge yet."""
    step = a_queued_step(CAREFUL)
    StepRun.objects.update(quarantined=True)
    return claims.in_hand([step.pk])[0]


def by_another_cell(step: StepInHand) -> None:
    send_and_die(claim(step.step_run_id, worker="another cell", in_cell=True))


def by_its_owner(owner: StepInHand) -> None:
    """It only seemed dead: it wakes, and intends under the fence that was judged."""
    send_and_die(owner)


@pytest.mark.parametrize(
    ("a_suspect", "is_sent"), [(lost, by_another_cell), (lost, by_its_owner), (quarantined, by_another_cell)]
)
def test_given_a_careful_step_that_is_sent_while_a_cell_stands_still_then_the_cell_sends_nothing(
    bellboy: Bellboy,
    slow_step: ScriptedSlow,
    run_cell_stopped_before_its_claim: Callable[[int, Callable[[], None]], None],
    a_suspect: Callable[[], StepInHand],
    is_sent: Callable[[StepInHand], None],
) -> None:
    step = a_suspect()

    run_cell_stopped_before_its_claim(step.step_run_id, lambda: is_sent(step))

    run = Run.objects.get()
    assert slow_step.sent == []
    assert (run.status, run.error_code) == ("failed", "http.outcome_unknown")
    assert Effect.objects.get().status == "unknown"


def test_given_a_step_that_ends_another_cell_meanwhile_then_it_is_not_tried_a_fourth_time(
    bellboy: Bellboy,
    slow_step: ScriptedSlow,
    run_cell_stopped_before_its_claim: Callable[[int, Callable[[], None]], None],
) -> None:
    step = a_claimed_step()
    die_in_cells(step.step_run_id, times=2)

    run_cell_stopped_before_its_claim(step.step_run_id, lambda: die_in_cells(step.step_run_id, times=1))

    row = StepRun.objects.get()
    assert slow_step.sent == []
    assert (row.status, row.error_code, row.lost_alone) == ("failed", "step.worker_lost", 3)
