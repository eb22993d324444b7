"""Transactional steps: what a step writes, its effect, its outcome and what follows are one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from crm.models import Account, Contact
from executions import attempts, cells, claims, engine, services, sweeper
from executions.models import Attempt, Effect, Run, StepRun
from lightfield.kernel import sql
from lightfield.kernel.errors import (
    LostRace,
    PermanentStepError,
    TransientStepError,
    WriteConflict,
)
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY
from tests.scripted import ScriptedTransactional, installed
from tests.staging import a_run, die_in_cells, end_lease, everything, live, say, slow, told
from triggers import causes
from workflows.step_types import Completed, Wait

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

WRITE = {"key": "write", "type": "write", "config": {}}


@pytest.fixture
def write() -> Iterator[Any]:
    """A step type `write`: it makes an account of the run's name, unless a test says otherwise."""
    with installed("write", ScriptedTransactional) as step_type:
        step_type.script = an_account
        yield step_type


def an_account(config: Any, context: Any) -> Completed:
    account = Account.objects.create(name=context.run_id)
    return Completed({"id": str(account.pk)}, answer={"id": str(account.pk)})


def accounts() -> list[str]:
    return list(Account.objects.order_by("pk").values_list("name", flat=True))


def advance(run: Run) -> Run:
    engine.advance([str(run.pk)])
    run.refresh_from_db()
    return run


def test_what_it_wrote_and_all_that_follows_are_one_transaction(write: Any, bellboy: Bellboy) -> None:
    transactions = set()

    def look(config: Any, context: Any) -> Completed:
        transactions.add(sql.row("SELECT pg_current_xact_id()::text", {}))
        return an_account(config, context)

    write.script = look
    run = advance(a_run(WRITE, slow()))

    row = "SELECT xmin::text FROM {} WHERE {} = %(id)s::text"
    step = run.steps.get(key="write")
    for table, column, value in [
        ("crm_account", "name", run.pk),
        ("executions_effect", "scope::text", run.pk),
        ("executions_attempt", "step_run_id::text", step.pk),
        ("executions_steprun", "id::text", step.pk),
        ("executions_steprun", "key", "call"),
    ]:
        transactions.add(sql.row(row.format(table, column), {"id": str(value)}))
    assert len(transactions) == 1


def test_it_is_told_as_any_fast_step(write: Any) -> None:
    run = advance(a_run(WRITE, say()))

    assert told(run)[:4] == ["run.created", "run.started", "step.started", "step.completed"]
    effect, attempt = Effect.objects.get(), Attempt.objects.get(step_run__key="write")
    assert (effect.status, effect.key, effect.fence) == ("done", f"{run.pk}:write", attempt.fence)
    assert effect.decided_at == attempt.intent_at == attempt.finished_at
    assert effect.answer == run.steps.get(key="write").output


def test_templates_are_filled_in_before_its_transaction(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    rendered = attempts.rendered_config

    def render(step: Any) -> Any:
        seen.append(connection.in_atomic_block)
        return rendered(step)

    monkeypatch.setattr(engine, "rendered_config", render)
    advance(a_run(WRITE))

    assert seen == [False]


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (PermanentStepError("record.invalid"), "failed", "record.invalid"),
        (TransientStepError("step.timeout"), "waiting", "step.timeout"),
        (ZeroDivisionError(), "waiting", "step.unexpected"),
        (None, "failed", "step.invalid_output"),
        (Wait(1), "failed", "step.invalid_output"),
        (Completed({"bad": float("nan")}), "failed", "step.invalid_output"),
        (Completed({}, answer={"bad": "\0"}), "failed", "step.invalid_output"),
    ],
)
@pytest.mark.parametrize("is_careful", [False, True])
def test_given_an_error_then_what_it_wrote_is_undone_and_nothing_stands_in_the_ledger(
    write: Any, raised: Any, status: str, code: str, is_careful: bool
) -> None:
    def script(config: Any, context: Any) -> Any:
        an_account(config, context)
        if isinstance(raised, Exception):
            raise raised
        return raised

    write.script = script
    run = a_run(WRITE)
    if is_careful:
        suspect(run)
        cells.run_here([live(run).pk], "fast")
    else:
        advance(run)

    step = StepRun.objects.get(key="write")
    assert (step.status, step.error_code, step.attempts) == (status, code, 1)
    assert accounts() == []
    assert not Effect.objects.exists()


def test_a_transaction_that_cannot_be_the_outermost_is_refused(write: Any) -> None:
    """Somebody who rolls back around it would undo what a run counts as done."""
    run = a_run(WRITE)
    before = everything()
    with pytest.raises(RuntimeError, match="outermost"), transaction.atomic():
        engine.run_and_settle(step_of(run))

    assert everything() == before


def step_of(run: Run) -> Any:
    found = claims.live_step(str(run.pk))
    assert found is not None
    return found


# --- who else runs it ---------------------------------------------------------------------------------


def test_given_eight_who_run_the_same_step_then_one_writes_and_seven_stop(write: Any) -> None:
    run = a_run(WRITE)
    step = step_of(run)

    results = race(*[partial(engine.run_and_settle, step)] * 8)

    assert sum(isinstance(result, LostRace) for result in results) == 7
    assert accounts() == [str(run.pk)]
    assert Effect.objects.count() == Attempt.objects.count() == 1


def test_given_a_second_one_in_the_middle_of_it_then_it_waits_and_writes_nothing(write: Any) -> None:
    run, inside, go_on = a_run(WRITE), threading.Event(), threading.Event()
    calls: list[str] = []

    def script(config: Any, context: Any) -> Completed:
        calls.append(context.run_id)
        found = an_account(config, context)
        inside.set()
        assert go_on.wait(10)
        return found

    def second() -> Any:
        assert inside.wait(10)
        return engine.run_and_settle(step)

    def release() -> None:
        assert inside.wait(10)
        wait_until_blocked()
        go_on.set()

    write.script, step = script, step_of(run)
    _, lost, _ = race(partial(engine.run_and_settle, step), second, release)

    assert isinstance(lost, LostRace)
    assert calls == accounts() == [str(run.pk)]  # the step's own code was not even asked


def test_given_one_whose_step_was_taken_over_then_its_write_is_undone_with_the_rest(write: Any) -> None:
    """Even if nobody had looked before it wrote: the settlement has a guard of its own."""
    run = a_run(WRITE)
    step = step_of(run)

    def script(config: Any, context: Any) -> Completed:
        raise_the_fence(step)
        return an_account(config, context)

    write.script = script
    with pytest.raises(LostRace):
        engine.run_and_settle(step)

    assert accounts() == []
    write.script = an_account
    assert advance(run).status == "completed"
    assert accounts() == [str(run.pk)]


def raise_the_fence(step: Any) -> None:
    sql.rows(
        "UPDATE executions_steprun SET fence = fence + 1 WHERE id = %(id)s::bigint", {"id": step.step_run_id}
    )


@pytest.mark.parametrize("times", [1, 3])
def test_rung_again_a_completed_step_writes_nothing_more(write: Any, bellboy: Bellboy, times: int) -> None:
    run = advance(a_run(WRITE, slow()))
    before = everything()["run"], accounts()

    for _ in range(times):
        engine.advance([str(run.pk)] * 2)
        sweeper.sweep()

    assert (everything()["run"], accounts()) == before


def test_given_a_cancel_that_came_first_then_nothing_is_written(write: Any) -> None:
    run = a_run(WRITE)
    step = step_of(run)
    services.cancel_run(run_id=run.pk, by=BY)

    with pytest.raises(LostRace):
        engine.run_and_settle(step)

    assert accounts() == []
    assert not Effect.objects.exists()


def test_given_a_cancel_in_the_middle_then_it_waits_and_finds_the_run_completed(write: Any) -> None:
    run, inside, go_on = a_run(WRITE, slow()), threading.Event(), threading.Event()

    def script(config: Any, context: Any) -> Completed:
        inside.set()
        assert go_on.wait(10)
        return an_account(config, context)

    def cancel() -> Any:
        assert inside.wait(10)
        return services.cancel_run(run_id=run.pk, by=BY)

    def release() -> None:
        assert inside.wait(10)
        wait_until_blocked()
        go_on.set()

    write.script = script
    race(lambda: engine.advance([str(run.pk)]), cancel, release)

    run.refresh_from_db()
    assert run.status == "cancelled"
    steps = dict(run.steps.values_list("key", "status"))
    assert steps == {"write": "completed", "call": "cancelled"}
    assert accounts() == [str(run.pk)]


def test_a_replay_takes_over_what_was_written_and_does_the_failed_one_under_a_new_key(write: Any) -> None:
    failing: list[bool] = [True]

    def script(config: Any, context: Any) -> Completed:
        if context.step_key == "second" and failing:
            raise PermanentStepError("record.invalid")
        return an_account(config, context)

    write.script = script
    failed = advance(a_run(WRITE, {**WRITE, "key": "second"}))
    failing.clear()
    again = services.replay_run(run_id=failed.pk, by=BY)
    advance(again)

    assert again.status == "completed"
    assert again.steps.get(key="write").output == failed.steps.get(key="write").output
    assert again.steps.get(key="write").reused
    assert accounts() == [str(failed.pk), str(again.pk)]
    assert list(Effect.objects.order_by("pk").values_list("key", flat=True)) == [
        f"{failed.pk}:write",
        f"{again.pk}:second",
    ]


# --- a step that was suspected ------------------------------------------------------------------------


def suspect(run: Run) -> None:
    StepRun.objects.filter(run=run, key="write").update(rings=3)


def test_in_a_cell_it_is_claimed_first_and_told_the_same(write: Any, bellboy: Bellboy) -> None:
    run = a_run(WRITE)
    suspect(run)
    cells.run_here([live(run).pk], "fast")

    run.refresh_from_db()
    assert run.status == "completed"
    assert accounts() == [str(run.pk)]
    effect, attempt = Effect.objects.get(), Attempt.objects.get()
    assert (effect.status, effect.fence, attempt.outcome) == ("done", attempt.fence, "ok")
    plain = advance(a_run(WRITE))
    assert told(run) == told(plain)


def test_given_cells_that_died_of_it_before_its_commit_then_the_next_one_writes_once(
    write: Any, bellboy: Bellboy
) -> None:
    run = a_run(WRITE)
    suspect(run)
    step = live(run)
    die_in_cells(step.pk, 2)
    end_lease(step.pk)

    cells.run_here([step.pk], "fast")

    run.refresh_from_db()
    assert (run.status, accounts()) == ("completed", [str(run.pk)])
    assert list(Attempt.objects.order_by("number").values_list("outcome", flat=True)) == [
        "lost",
        "lost",
        "ok",
    ]


def test_given_a_cell_that_slept_while_another_took_its_step_then_its_write_is_undone(
    write: Any, bellboy: Bellboy
) -> None:
    run = a_run(WRITE)
    suspect(run)
    (asleep,) = cells.claim([live(run).pk], worker="asleep")
    end_lease(asleep.step_run_id)
    cells.run_here([asleep.step_run_id], "fast")

    with pytest.raises(LostRace):
        engine.run_and_settle(asleep, is_claimed=True, worker="asleep")

    assert accounts() == [str(run.pk)]


# --- others who write at the same moment --------------------------------------------------------------


def failing_first(times: int, fail: Callable[[], None]) -> Callable[[Any, Any], Completed]:
    """What fails so often, each time after it wrote, and then goes through."""
    left = [fail] * times

    def script(config: Any, context: Any) -> Completed:
        found = an_account(config, context)
        if left:
            left.pop()()
        return found

    return script


def raised_by_postgresql(state: str) -> Callable[[], None]:
    def fail() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{state}'; END $$")

    return fail


def conflict() -> None:
    raise WriteConflict(PermanentStepError("record.duplicate"))


def dangling() -> None:
    """A reference to nobody, which PostgreSQL finds at COMMIT."""
    Contact.objects.create(last_name="Lovelace", account_id="00000000-0000-0000-0000-000000000000")


COLLISIONS = {
    "deadlock": raised_by_postgresql("40P01"),
    "serialization": raised_by_postgresql("40001"),
    "conflict": conflict,
    "foreign key": dangling,
}


@pytest.mark.parametrize("name", COLLISIONS)
@pytest.mark.parametrize("times", [1, 3])
def test_given_a_collision_then_the_transaction_is_run_again_in_the_same_attempt(
    write: Any, name: str, times: int
) -> None:
    write.script = failing_first(times, COLLISIONS[name])

    run = advance(a_run(WRITE))

    assert (run.status, accounts()) == ("completed", [str(run.pk)])
    assert Attempt.objects.get().number == 1
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("deadlock", "waiting", "step.conflict"),
        ("serialization", "waiting", "step.conflict"),
        ("foreign key", "waiting", "step.conflict"),
        ("conflict", "failed", "record.duplicate"),
    ],
)
def test_given_one_that_never_ends_then_the_step_tries_later_or_says_what_it_was(
    write: Any, name: str, status: str, code: str
) -> None:
    write.script = failing_first(99, COLLISIONS[name])

    run = advance(a_run(WRITE))

    step = run.steps.get()
    assert (step.status, step.error_code) == (status, code)
    assert accounts() == []


@pytest.mark.parametrize(("state", "code"), [("55P03", "step.conflict"), ("57014", "step.timeout")])
def test_given_a_row_that_is_held_for_long_or_a_slow_statement_then_the_step_tries_later(
    write: Any, state: str, code: str
) -> None:
    write.script = failing_first(1, raised_by_postgresql(state))
    run = advance(a_run(WRITE))
    assert (run.status, run.steps.get().error_code) == ("waiting", code)
    assert accounts() == []

    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp()", {})
    assert advance(run).status == "completed"
    assert accounts() == [str(run.pk)]
    assert [attempt.outcome for attempt in Attempt.objects.order_by("number")] == ["refused", "ok"]


def test_given_two_that_lock_the_same_rows_in_a_circle_then_both_complete(write: Any) -> None:
    one, other = Account.objects.create(name="one"), Account.objects.create(name="other")
    both_hold = threading.Barrier(2)
    met: set[str] = set()

    def script(config: Any, context: Any) -> Completed:
        first, second = (one, other) if context.run_id == str(runs[0].pk) else (other, one)
        Account.objects.filter(pk=first.pk).update(headcount=context.run_id)
        if context.run_id not in met:
            met.add(context.run_id)
            both_hold.wait(10)
        Account.objects.filter(pk=second.pk).update(headcount=context.run_id)
        return Completed({})

    write.script = script
    runs = [a_run(WRITE), a_run(WRITE)]
    race(*[partial(engine.advance, [str(run.pk)]) for run in runs])

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert Account.objects.values("headcount").distinct().count() == 1


def test_given_a_database_that_goes_away_then_the_step_is_as_it_was_and_the_sweep_finds_it(
    write: Any, bellboy: Bellboy
) -> None:
    def end() -> None:
        sql.rows("SELECT pg_terminate_backend(pg_backend_pid())", {})

    run = a_run(WRITE)
    write.script = failing_first(1, end)
    with pytest.raises(OperationalError):
        engine.advance([str(run.pk)])
    connection.close()

    assert accounts() == []
    assert live(run).status == "ready"
    assert advance(run).status == "completed"
    assert accounts() == [str(run.pk)]


def test_what_it_leads_to_was_caused_by_its_run(write: Any) -> None:
    seen = []

    def look(config: Any, context: Any) -> Completed:
        seen.append(causes.current())
        return Completed({})

    write.script = look
    run = advance(a_run(WRITE, depth=3))

    assert [(cause.run_id, cause.trace_id, cause.depth) for cause in seen if cause] == [
        (run.pk, run.trace_id, 3)
    ]
