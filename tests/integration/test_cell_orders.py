"""What a worker does about cells: which steps it orders one for, and what it makes of the cell's end."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from django.db import OperationalError
from django.utils import timezone

from executions import cell_server, cells, claims
from executions.cell_line import Order
from executions.models import Attempt, StepRun
from tests.bellboy import Bellboy
from tests.staging import a_claimed_step, a_queued_step, claim, end_lease, everything

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def rung_to_cells(bellboy: Bellboy) -> list[list[int]]:
    return [list(bell.args[0]) for bell in bellboy.rung if bell.task == "executions.execute_in_cell"]


def test_a_cell_takes_only_what_is_due_there_and_in_its_lane(bellboy: Bellboy) -> None:
    alive, queued, expired = a_claimed_step(), a_queued_step(), a_claimed_step()
    end_lease(expired.step_run_id)
    before = everything()

    cells.run_here([alive.step_run_id, queued.pk], "http")
    cells.run_in_cell([alive.step_run_id, queued.pk], "http")
    cells.run_in_cell([expired.step_run_id], "ai")

    assert everything() == before


def test_given_no_free_place_when_a_cell_is_wanted_then_it_is_left_to_the_next_bell(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(cells, "_places", threading.BoundedSemaphore(1))
    step = a_claimed_step()
    end_lease(step.step_run_id)
    before = everything()

    with cells._places:
        cells.run_in_cell([step.step_run_id], "http")

    assert everything() == before


def test_given_steps_that_wait_for_a_cell_here_when_rung_again_then_they_are_left_to_it(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (a_claimed_step().step_run_id for _ in range(2))
    for step_run_id in (first, second):
        end_lease(step_run_id)
    ordered: list[tuple[int, ...]] = []

    class Line:
        def run(self, order: Order) -> int:
            ordered.append(order.ids)
            if len(ordered) == 1:
                cells.run_in_cell([first], "http")  # the doubled bell
                cells.run_in_cell([first, second], "http")  # and one that has a new step besides
            return 0

    monkeypatch.setattr(cells, "line", Line())

    cells.run_in_cell([first], "http")
    cells.run_in_cell([first], "http")

    assert ordered == [(first,), (second,), (first,)]


def test_given_nobody_who_saw_a_cell_end_then_its_steps_keep_their_leases_and_nothing_is_charged(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = a_claimed_step()
    end_lease(step.step_run_id)

    class Line:
        def run(self, order: Order) -> None:
            claim(order.ids[0], worker=order.name, in_cell=True)

    monkeypatch.setattr(cells, "line", Line())

    cells.run_in_cell([step.step_run_id], "http")

    row = StepRun.objects.get()
    assert row.lease_expires_at is not None
    assert row.lease_expires_at > timezone.now()
    assert not Attempt.objects.filter(witnessed=True).exists()


@pytest.mark.parametrize("died", [True, False])
def test_what_an_ended_cell_held_is_free_at_once_and_its_loss_witnessed_only_if_it_died(
    bellboy: Bellboy, died: bool
) -> None:
    step, other = a_claimed_step(), a_claimed_step()
    for lost in (step, other):
        end_lease(lost.step_run_id)
    cells.claim([step.step_run_id], worker="w:cell:1", owner=claims.new_owner("w:cell:1"))
    cells.claim([other.step_run_id], worker="w:cell:12", owner=claims.new_owner("w:cell:12"))

    cells.note_end([step.step_run_id, other.step_run_id], "http", "w:cell:1", died=died)

    assert rung_to_cells(bellboy) == [[step.step_run_id]]
    assert claim(step.step_run_id, in_cell=True).lost == 2
    assert list(Attempt.objects.filter(witnessed=True).values_list("step_run_id", "number")) == (
        [(step.step_run_id, 2)] if died else []
    )


class DyingLine:
    """Cells that claim what they are to run, and end with `code`."""

    def __init__(self, code: int) -> None:
        self.code = code

    def run(self, order: Order) -> int:
        cells.claim(list(order.ids), worker=order.name)
        return self.code


def test_given_a_worker_that_is_killed_right_after_its_cell_then_it_bears_no_witness(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops a container kills one process after the other."""
    step = a_claimed_step()
    end_lease(step.step_run_id)

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "line", DyingLine(-signal.SIGKILL))
    monkeypatch.setattr(time, "sleep", killed)

    with pytest.raises(KeyboardInterrupt):
        cells.run_in_cell([step.step_run_id], "http")

    assert not Attempt.objects.filter(witnessed=True).exists()


@pytest.mark.parametrize(
    ("code", "witnessed"), [(0, 0), (1, 1), (75, 1), (-signal.SIGSEGV, 1), (-signal.SIGKILL, 1)]
)
def test_every_end_but_an_orderly_one_is_a_death(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch, code: int, witnessed: int
) -> None:
    monkeypatch.setattr(cells, "line", DyingLine(code))
    step = a_claimed_step()
    end_lease(step.step_run_id)

    cells.run_in_cell([step.step_run_id], "http")

    assert Attempt.objects.filter(witnessed=True).count() == witnessed
    assert rung_to_cells(bellboy) == [[step.step_run_id]]


def test_given_a_database_that_is_away_then_the_cell_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[int], str]] = []

    def run_here(ids: list[int], lane: str) -> None:
        asked.append((ids, lane))
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(cells, "run_here", run_here)

    cell_server.run_steps(Order("w:cell:1", "http", (1, 2), 5.0))

    assert asked == [([1, 2], "http")]
