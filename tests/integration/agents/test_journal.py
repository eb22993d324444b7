"""The journal: written under the fence or not at all, and what a tool writes together with its row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from crm.models import Account
from executions import admission, claims, services
from executions.agents.journal import Journal, Turn
from executions.agents.models import AgentTurn, TurnKind
from executions.claims import StepInHand
from executions.models import Run
from executions.timeline import entry
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace, TransientStepError, WriteConflict
from tests.agents import (
    Model,
    ReadTool,
    SendTool,
    WriteTool,
    an_agent,
    asked_of,
    calls,
    context_of,
    play,
    played,
    says,
    turns_of,
)
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY
from tests.staging import a_run, end_lease, everything, intend, live

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def in_hand(run: Run | None = None) -> StepInHand:
    """An agent in somebody's hands, its intent committed."""
    run = run or a_run(an_agent())
    admission.admit("ai")
    (step,) = claims.claim([live(run).pk], worker="first")
    intend(step)
    return step


def taken_over(step_run_id: int) -> StepInHand:
    from executions import cells

    end_lease(step_run_id)
    (heir,) = cells.claim([step_run_id], worker="second")
    return heir


def a_turn(journal: Journal, **more: Any) -> Turn:
    return journal.next(TurnKind.MODEL, "m", answer={}, **{"seconds": 1.0, **more})


# --- zombies, at each door ------------------------------------------------------------------------------


def note_a_turn(journal: Journal) -> None:
    journal.add(a_turn(journal))
    journal.flush()


def note_a_refusal(journal: Journal) -> None:
    turn = journal.next(
        TurnKind.TOOL, "rm", asked={}, answer={}, error_code="ai.permission_denied", seconds=0.0
    )
    journal.add(turn, entry("step.logged", step="agent", attempt=1, metadata={"message": "no"}))
    journal.flush()


def begin_to_send(journal: Journal) -> None:
    journal.add(journal.next(TurnKind.TOOL, "test_send", asked={"request": {}}))
    journal.flush()


def write_with_a_tool(journal: Journal) -> None:
    turn = journal.next(TurnKind.TOOL, "test_write", asked={})
    journal.write_with(turn, lambda: {"id": str(Account.objects.create(name="Zombie").pk)})


DOORS: list[Callable[[Journal], None]] = [note_a_turn, note_a_refusal, begin_to_send, write_with_a_tool]


@pytest.mark.parametrize("door", DOORS)
def test_given_a_step_taken_over_when_its_first_worker_wakes_then_nothing_is_journaled(
    door: Callable[[Journal], None],
) -> None:
    step = in_hand()
    journal = Journal(context_of(step))
    taken_over(step.step_run_id)
    before = everything()

    with pytest.raises(LostRace):
        door(journal)

    assert everything() == before
    assert Account.objects.count() == 0


def test_given_a_zombie_then_the_tools_own_code_is_not_even_asked() -> None:
    step = in_hand()
    journal = Journal(context_of(step))
    taken_over(step.step_run_id)
    asked: list[None] = []

    with pytest.raises(LostRace):
        journal.write_with(journal.next(TurnKind.TOOL, "test_write", asked={}), lambda: asked.append(None))

    assert asked == []


@pytest.mark.parametrize("door", DOORS)
def test_given_a_run_that_was_cancelled_then_nothing_more_is_journaled(
    door: Callable[[Journal], None],
) -> None:
    step = in_hand()
    services.cancel_run(run_id=Run.objects.get().pk, by=BY)
    before = everything()

    with pytest.raises(LostRace):
        door(Journal(context_of(step)))

    assert everything() == before
    assert Account.objects.count() == 0


def test_given_a_request_that_its_heir_has_finished_then_the_zombie_cannot_finish_it_differently() -> None:
    step = in_hand()
    zombie = Journal(context_of(step))
    begin_to_send(zombie)
    heir = Journal(context_of(taken_over(step.step_run_id)))
    heir.load()
    (begun,) = heir.turns
    heir.add(Turn(**{**begun.__dict__, "answer": {"by": "heir"}, "seconds": 1.0}))
    heir.flush()

    zombie.add(Turn(**{**begun.__dict__, "answer": {"by": "zombie"}, "seconds": 1.0}))
    with pytest.raises(LostRace):
        zombie.flush()

    turn = AgentTurn.objects.get()
    assert (turn.answer, turn.fence, turn.attempt) == ({"by": "heir"}, 2, 2)


def test_a_finished_row_is_never_written_again_not_even_by_its_owner() -> None:
    journal = Journal(context_of(in_hand()))
    note_a_turn(journal)
    before = everything()

    journal.add(Turn(**{**journal.turns[0].__dict__, "answer": {"another": "answer"}}))
    with pytest.raises(LostRace):
        journal.flush()

    assert everything() == before


def test_of_a_zombie_and_a_takeover_at_once_one_wins_and_the_journal_has_no_gap() -> None:
    step = in_hand()
    journals = [Journal(context_of(step)) for _ in range(4)]

    results = race(
        *[partial(note_a_turn, journal) for journal in journals], lambda: taken_over(step.step_run_id)
    )

    assert isinstance(results[-1], StepInHand)
    assert all(result is None or isinstance(result, LostRace) for result in results[:-1])
    assert sum(result is None for result in results[:-1]) == AgentTurn.objects.count() <= 1


@pytest.mark.parametrize("where", ["model", "read", "send"])
def test_given_a_worker_that_slept_while_it_waited_when_it_wakes_then_it_writes_nothing(where: str) -> None:
    run = a_run(an_agent())
    before: list[Any] = []

    def sleep(*_: Any) -> Any:
        taken_over(live(run).pk)
        before.append(everything())
        return calls(("test_write", {"name": "Zombie"})) if where == "model" else {}

    wanted = calls((f"test_{where}", {}), ("test_write", {"name": "Zombie"}))
    ReadTool.script = SendTool.script = sleep
    with asked_of(Model(sleep if where == "model" else wanted)):
        step = play(run)

    assert before == [everything()]
    assert (step.status, step.fence) == ("running", 2)
    assert WriteTool.called == []


def test_given_a_cancel_while_a_tool_writes_then_it_waits_and_what_was_written_stays_journaled() -> None:
    step = in_hand()
    inside, may_end = threading.Event(), threading.Event()

    def slow_work() -> Any:
        account = Account.objects.create(name="Acme")
        inside.set()
        assert may_end.wait(10)
        return {"id": str(account.pk)}

    def write() -> None:
        journal = Journal(context_of(step))
        journal.write_with(journal.next(TurnKind.TOOL, "test_write", asked={}), slow_work)

    def cancel_it() -> Any:
        assert inside.wait(10)
        return services.cancel_run(run_id=Run.objects.get().pk, by=BY)

    def release() -> None:
        assert inside.wait(10)
        wait_until_blocked()
        may_end.set()

    race(write, cancel_it, release)

    assert Account.objects.count() == AgentTurn.objects.filter(finished_at__isnull=False).count() == 1
    assert Run.objects.get().status == "cancelled"


# --- writing tools that collide -------------------------------------------------------------------------


def test_given_a_collision_then_the_tools_transaction_is_run_again_in_the_same_call() -> None:
    def collide(asked: Any, context: Any) -> Any:
        account = Account.objects.create(name="Acme")
        if len(WriteTool.called) < 3:
            raise WriteConflict(TransientStepError("step.conflict"))
        return {"id": str(account.pk)}

    WriteTool.script = collide
    step = played(calls(("test_write", {"name": "Acme"})), says("Done."))

    assert step.status == "completed"
    assert len(WriteTool.called) == 3
    assert Account.objects.count() == 1
    assert len(turns_of(step)) == 3


def test_given_a_collision_every_time_then_the_attempt_ends_and_nothing_is_written() -> None:
    def collide(asked: Any, context: Any) -> Any:
        Account.objects.create(name="Acme")
        raise WriteConflict(TransientStepError("step.conflict"))

    WriteTool.script = collide
    step = played(calls(("test_write", {"name": "Acme"})))

    assert (step.status, step.error_code) == ("waiting", "step.conflict")
    assert Account.objects.count() == 0
    assert [kind for _, kind, _, _ in turns_of(step)] == ["model"]


def test_what_a_tool_writes_and_its_row_are_one_transaction() -> None:
    seen: list[Any] = []

    def look(asked: Any, context: Any) -> Any:
        seen.append(sql.row("SELECT pg_current_xact_id()::text", {}))
        return WriteTool().by_default(asked, context)

    WriteTool.script = look
    played(calls(("test_write", {"name": "Acme"})), says("Done."))

    assert sql.rows("SELECT xmin::text FROM executions_agentturn WHERE number = 2", {}) == seen
    assert sql.rows("SELECT xmin::text FROM crm_account", {}) == seen
