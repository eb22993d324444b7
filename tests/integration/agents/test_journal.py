"""The journal: written under the fence or not at all, once although replies are lost, and gone on with by whoever comes next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.test import override_settings

from crm.models import Account
from executions import admission, claims, egress, services, worker
from executions.agents.journal import Journal, Turn
from executions.agents.models import AgentTurn, TurnKind
from executions.agents.values import Question, Reply
from executions.claims import StepInHand
from executions.ending import end_run
from executions.models import Attempt, Effect, Run, StepRun
from executions.states import RunStatus
from executions.timeline import entry
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace, PermanentStepError, TransientStepError, WriteConflict
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
from tests.database import django_through_a_proxy
from tests.factories import BY
from tests.logged import when_logged
from tests.proxy import Proxy
from tests.staging import a_run, end_lease, everything, intend, live, told

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


# --- replies that are lost ------------------------------------------------------------------------------


AGAIN = "journal_written_again"


@pytest.fixture
def line() -> Iterator[Proxy]:
    with django_through_a_proxy() as proxy:
        yield proxy


def test_given_a_turn_whose_reply_is_lost_then_it_is_there_once_and_nothing_is_asked_again(
    line: Proxy,
) -> None:
    def answer(question: Question) -> Reply:
        line.lose_the_answer_to(b"the-word-in-the-answer")
        return says("the-word-in-the-answer")

    model = Model(answer)
    with when_logged(AGAIN) as again:
        step = played(model=model)

    assert len(again) == 1
    assert (step.status, step.attempts) == ("completed", 1)
    assert model.turns == [1]
    assert turns_of(step) == [(1, "model", "turn_1", None)]


def test_given_refusals_whose_reply_is_lost_then_the_timeline_tells_them_once(line: Proxy) -> None:
    def read(asked: Any, context: Any) -> Any:
        line.lose_the_answer_to(b"There is no tool")
        return {}

    ReadTool.script = read
    run = a_run(an_agent())
    with asked_of(Model(calls(("test_read", {}), ("rm", {})), says("Done."))), when_logged(AGAIN) as again:
        step = play(run)

    assert len(again) == 1
    assert step.status == "completed"
    assert told(run).count("step.logged") == 1
    assert [kind for _, kind, _, _ in turns_of(step)] == ["model", "tool", "tool", "model"]


@pytest.mark.parametrize("marker", [b"the-name-that-is-written", b"COMMIT"])
def test_given_a_writing_tool_whose_reply_is_lost_then_it_has_written_once(
    line: Proxy, marker: bytes
) -> None:
    """Before its COMMIT it is run again, after it what it wrote is found."""

    def work(asked: Any, context: Any) -> Any:
        if len(WriteTool.called) == 1:
            line.lose_the_answer_to(marker)
        return WriteTool().by_default(asked, context)

    WriteTool.script = work
    model = Model(calls(("test_write", {"name": "the-name-that-is-written"})), says("Done."))
    with when_logged(AGAIN) as again:
        step = played(model=model)

    assert len(again) == 1
    assert (step.status, step.attempts) == ("completed", 1)
    account = Account.objects.get()
    assert model.asked[1].exchanges[0][1].results[0].content == {"id": str(account.pk)}
    assert len(WriteTool.called) == (1 if marker == b"COMMIT" else 2)
    assert AgentTurn.objects.get(number=2).answer == {"id": str(account.pk)}


def test_given_postgresql_away_for_a_moment_then_what_was_answered_is_written_when_it_is_back(
    line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(question: Question) -> Reply:
        line.refuse()
        return says("Done.")

    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        line.mend()

    monkeypatch.setattr("executions.agents.journal.time.sleep", sleep)
    step = played(answer)

    assert slept
    assert (step.status, step.attempts) == ("completed", 1)


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


# --- stopped, put back, tried again ---------------------------------------------------------------------


def cancel(run: Run) -> None:
    services.cancel_run(run_id=run.pk, by=BY)


def expire(run: Run) -> None:
    sql.rows("UPDATE executions_run SET deadline_at = created_at", {})
    end_run(str(run.pk), status=RunStatus.FAILED, metadata={})


@pytest.mark.parametrize(("stop", "status"), [(cancel, "cancelled"), (expire, "failed")])
@pytest.mark.parametrize("where", ["model", "test_read", "test_send"])
def test_given_a_run_that_ends_in_the_middle_then_no_turn_and_no_call_follows(
    stop: Callable[[Run], None], status: str, where: str
) -> None:
    run = a_run(an_agent())

    def end_it(*_: Any) -> Any:
        stop(run)
        return calls(("test_write", {"name": "late"})) if where == "model" else {}

    ReadTool.script = SendTool.script = end_it
    wanted = calls((where, {}), ("test_write", {"name": "late"}), ("test_send", {}))
    model = Model(end_it if where == "model" else wanted, says("Done."))
    with asked_of(model):
        step = play(run)

    assert step.status == status
    assert model.turns == [1]
    assert Account.objects.count() == 0
    assert len(ReadTool.called) + len(SendTool.called) == (where != "model")
    assert Effect.objects.get().status == "intent"  # the sweep decides it once its lease is over


def test_given_a_transient_error_after_some_turns_then_the_next_attempt_goes_on_there() -> None:
    answers: list[Any] = [calls(("test_write", {"name": f"n{n}"})) for n in range(4)]
    model = Model(*answers, TransientStepError("ai.overloaded", sent=True, answered=True))
    with asked_of(model):
        run = a_run(an_agent())
        step = play(run)
        assert (step.status, step.error_code) == ("waiting", "ai.overloaded")
        model.answers[4] = says("Done.")
        step = play(run)

    assert step.status == "completed"
    assert model.turns == [1, 2, 3, 4, 5, 5]
    assert [question.is_retry for question in model.asked] == [False] * 5 + [True]
    assert model.asked[4].exchanges == model.asked[5].exchanges
    assert model.asked[4].key == model.asked[5].key
    assert Account.objects.count() == 4
    assert step.output["usage"]["turns"] == 5
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["refused", "ok"]


def circuit_open(host: str = "http://model.test:80") -> TransientStepError:
    return TransientStepError(egress.breaker.CIRCUIT_OPEN, circuit=host)


@pytest.mark.parametrize("where", ["model", "tool"])
def test_given_a_host_that_fails_in_the_middle_then_the_agent_waits_for_it_and_nothing_is_repeated(
    where: str,
) -> None:
    opened = [True, True]

    def send(asked: Any, context: Any) -> Any:
        if where == "tool" and opened:
            opened.pop()
            raise circuit_open()
        return {"held_for": context.held_for}

    def answer(question: Question) -> Reply:
        if where == "model" and opened:
            opened.pop()
            raise circuit_open()
        return calls(("test_read", {}), ("test_send", {"n": 1}))

    SendTool.script = send
    model = Model(calls(("test_write", {"name": "Acme"})), answer, says("Done."))
    run = a_run(an_agent())
    with asked_of(model):
        for held in (1, 2):
            step = play(run)
            assert (step.status, step.held, step.attempts) == ("waiting", held, held)
            assert step.held_host == "http://model.test:80"
            sql.rows("UPDATE executions_steprun SET held_host = NULL", {})
        step = play(run)

    assert step.status == "completed"
    assert Account.objects.count() == 1
    assert (step.attempts, step.held, step.lost) == (3, 2, 0)
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["held", "held", "ok"]
    assert Effect.objects.get().status == "done"
    if where == "model":
        assert model.turns == [1, 2, 2, 2, 3]
        assert [q.held_for for q in model.asked] == [
            None,
            None,
            "http.circuit_open",
            "http.circuit_open",
            None,
        ]
        assert not any(question.is_retry for question in model.asked)
    else:
        assert model.turns == [1, 2, 3]
        assert [context.held_for for _, context in SendTool.called] == [
            None,
            "http.circuit_open",
            "http.circuit_open",
        ]
        assert len({context.key for _, context in SendTool.called}) == 1
        assert len(ReadTool.called) == 1


def test_given_a_host_that_is_waited_for_in_vain_then_the_effect_of_an_agent_that_has_acted_is_not_abandoned(
    settings: Any,
) -> None:
    settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS = 0
    step = played(calls(("test_write", {"name": "Acme"})), circuit_open())

    assert (step.status, step.error_code) == ("failed", "http.circuit_open")
    assert Effect.objects.get().status == "unknown"


def test_given_a_step_that_fails_for_good_then_its_turns_stay_and_tell_what_it_cost() -> None:
    step = played(
        calls(("test_write", {"name": "Acme"})),
        PermanentStepError("ai.unauthorized", sent=True, answered=True),
        price={"input": 1, "output": 1},
    )

    assert (step.status, step.error_code) == ("failed", "ai.unauthorized")
    turn, call = AgentTurn.objects.order_by("number")
    assert (turn.input_tokens, float(turn.cost or 0)) == (10, 0.00002)
    assert call.finished_at is not None


def test_the_time_of_earlier_attempts_counts() -> None:
    model = Model(calls(("test_read", {})), TransientStepError("ai.overloaded"))
    with asked_of(model):
        run = a_run(an_agent())
        play(run)
        sql.rows("UPDATE executions_agentturn SET started_at = started_at - interval '2 minutes'", {})
        step = play(run)

    assert (step.status, step.error_code) == ("failed", "ai.limit_seconds")
    assert model.turns == [1, 2]


def test_a_journal_that_does_not_fit_what_the_code_makes_of_it_ends_the_step() -> None:
    model = Model(calls(("test_read", {})), TransientStepError("ai.overloaded"))
    with asked_of(model):
        run = a_run(an_agent())
        play(run)
        sql.rows("UPDATE executions_agentturn SET kind = 'model' WHERE number = 2", {})
        step = play(run)

    assert (step.status, step.error_code) == ("failed", "step.unexpected")
    assert len(ReadTool.called) == 1


def sends(*numbers: int) -> Reply:
    return calls(*[("test_send", {"n": n}) for n in numbers])


def test_given_a_replay_then_the_agent_begins_anew_and_what_it_sends_again_has_the_key_that_it_had() -> None:
    """Whatever its receiver knows by that key, it does not do again; and under no key goes anything else than before."""
    run = a_run(an_agent())
    with asked_of(Model(sends(1, 2, 2), circuit_open())):
        failed_for_want_of_its_host(run)
    again = services.replay_run(run_id=run.pk, by=BY)
    with asked_of(Model(sends(2, 3), sends(1), circuit_open())):
        failed_for_want_of_its_host(again)
    third = services.replay_run(run_id=again.pk, by=BY)
    model = Model(sends(3, 2, 2, 2, 4), says("Done."))
    with asked_of(model):
        step = play(third)

    assert step.status == "completed"
    assert model.turns == [1, 2]
    assert model.asked[0].key == f"{third.pk}:agent:turn_1"
    keys = [(asked["frozen"]["n"], context.key) for asked, context in SendTool.called]
    first, second, last = keys[:3], keys[3:6], keys[6:]
    assert second == [first[1], (3, f"{again.pk}:agent:call_2"), first[0]]
    assert last == [
        second[1],
        first[1],
        first[2],
        (2, f"{third.pk}:agent:call_4"),
        (4, f"{third.pk}:agent:call_5"),
    ]


def test_a_request_that_was_refused_has_a_new_key_in_a_replay() -> None:
    def refuse(asked: Any, context: Any) -> Any:
        raise PermanentStepError("http.client_error", sent=True, answered=True)

    SendTool.script = refuse
    run = a_run(an_agent())
    with asked_of(Model(sends(1), circuit_open())):
        failed_for_want_of_its_host(run)
    again = services.replay_run(run_id=run.pk, by=BY)
    with asked_of(Model(sends(1), says("Done."))):
        play(again)

    assert [context.key for _, context in SendTool.called] == [
        f"{run.pk}:agent:call_1",
        f"{again.pk}:agent:call_1",
    ]


def failed_for_want_of_its_host(run: Run) -> None:
    with override_settings(LIGHTFIELD_CIRCUIT_HOLD_SECONDS=0):
        assert play(run).status == "failed"
    assert Effect.objects.get(step_run__run=run).status == "unknown"


def all_steps() -> list[str]:
    return list(StepRun.objects.values_list("status", flat=True))


def test_given_a_worker_whose_lease_is_over_then_it_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    from executions.leases import Hold

    model = Model(says("no"))
    run = a_run(an_agent())
    admission.admit("ai")
    looks = iter([True, False])
    monkeypatch.setattr(Hold, "may_send", lambda self: next(looks, False))
    with asked_of(model):
        worker.execute([live(run).pk])

    assert model.asked == []
    assert all_steps() == ["running"]
