"""A process dies after any one of its statements: everything is as if it had not, but for the wait."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction

from executions import cells, services, sweeper
from executions.leases import keeper
from executions.models import Effect, Run, StepRun
from lightfield.kernel import bells, sql
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow, an_event
from tests.scripted import ScriptedSlow
from tests.staging import (
    a_claimed_step,
    a_run,
    answer_with_cells_here,
    broken_promises,
    end_lease,
    intend,
    let_time_pass,
    nap,
    say,
    slow,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("slow_step")]


class Died(BaseException):
    """The process is gone: nothing of ours catches it, and open transactions are rolled back."""


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[str]]:
    """Die right after the statement of that number (from 0). Yields the statements begun.

    To die before the next one is the same: whatever was rung in between is lost either way. On a slow machine the keeper of
    leases has its turn meanwhile: it neither counts nor dies, since it goes with the process and its statements are no part
    of the work.
    """
    begun: list[str] = []
    rows = sql.rows

    def mortal(statement: str, params: Any) -> Any:
        if threading.current_thread().name == "lease-keeper":
            return rows(statement, params)
        begun.append(statement)
        found = rows(statement, params)
        if len(begun) - 1 == number:
            raise Died
        return found

    def mortal_after(first: str, statement: str, params: Any) -> Any:
        with transaction.atomic():
            mortal(first, params)
            return mortal(statement, params)

    with monkeypatch.context() as patched:
        patched.setattr(sql, "rows", mortal)
        patched.setattr(sql, "rows_after", mortal_after)
        try:
            yield begun
        except Died:
            keeper._held.clear()  # the leases of the dead are kept by nobody


def recover(bellboy: Bellboy) -> None:
    """Another process takes over: no message is left, and time passes."""
    bellboy.lose_all()
    for _ in range(8):
        let_time_pass()
        sweeper.sweep()
        answer_with_cells_here(bellboy)
        if not Run.objects.filter(status__in=["pending", "running", "waiting"]).exists():
            return


def at_every_statement(
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[], Any],
    act: Callable[[Any], Any],
    check: Callable[[Any], None],
) -> int:
    """Prepare, act and die, check: once for each statement of the act. Returns how many there were."""
    number = 0
    while True:
        subject = prepare()
        with dying(monkeypatch, number) as begun:
            act(subject)
        assert broken_promises() == {}, begun[number:]
        check(subject)
        if len(begun) <= number:
            return number
        number += 1


def test_given_a_death_at_any_statement_of_a_run_then_it_completes_and_nothing_happens_twice(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [say(), slow("flaky"), nap(), slow("last")]
    workflow = a_published_workflow(steps=steps)
    refused: set[str] = set()

    def script(request: Any, context: Any) -> dict[str, Any]:
        if context.step_key == "flaky" and context.run_id not in refused:
            refused.add(context.run_id)
            raise TransientStepError("http.unavailable", sent=True, answered=True)
        return {}

    def prepare() -> Any:
        slow_step.script = script
        return an_event(workflow, payload={"n": 1})

    def run(event: Any) -> None:
        bells.ring_dispatch(event.shard)
        bellboy.answer_all()
        for _ in range(2):  # after the backoff, after the nap
            let_time_pass()
            sweeper.sweep()
            bellboy.answer_all()

    def check(event: Any) -> None:
        recover(bellboy)
        run = Run.objects.get(event=event)
        assert run.status == "completed"
        sent = Counter(context.step_key for _, context in slow_step.sent if context.run_id == str(run.pk))
        tried = {step.key: step.attempts for step in run.steps.all()}
        assert all(count <= tried[key] for key, count in sent.items())
        assert len({c.idempotency_key for _, c in slow_step.sent if c.run_id == str(run.pk)}) == 2
        slow_step.sent.clear()

    assert at_every_statement(monkeypatch, prepare, run, check) > 30
    assert broken_promises() == {}


def test_given_a_death_at_any_statement_of_a_cancel_then_it_is_whole_or_has_not_begun(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare() -> str:
        step = a_claimed_step(slow(), say())
        intend(step)
        return step.run_id

    def cancel(run_id: Any) -> None:
        services.cancel_run(run_id=run_id, by=BY)

    def check(run_id: Any) -> None:
        cancel(run_id)
        assert Run.objects.get(pk=run_id).status == "cancelled"

    assert at_every_statement(monkeypatch, prepare, cancel, check) >= 4


def test_given_a_death_at_any_statement_of_a_replay_then_there_is_one_run_or_none(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare() -> Run:
        return services.cancel_run(run_id=a_run(say(), slow()).pk, by=BY)

    def replay(run: Run) -> None:
        services.replay_run(run_id=run.pk, by=BY)

    def check(run: Run) -> None:
        if not run.replays.exists():
            replay(run)
        recover(bellboy)
        assert [newer.status for newer in run.replays.all()] == ["completed"]

    assert at_every_statement(monkeypatch, prepare, replay, check) >= 2


def test_given_a_death_at_any_statement_of_the_sweeper_then_the_next_sweep_finds_all(
    bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare() -> list[Run]:
        runs = [a_run(say()), a_run(slow()), Run.objects.get(pk=a_claimed_step().run_id)]
        an_event(runs[0].workflow)
        let_time_pass()
        bellboy.lose_all()
        return runs

    def sweep(runs: list[Run]) -> None:
        sweeper.sweep()

    def check(runs: list[Run]) -> None:
        recover(bellboy)
        assert set(Run.objects.values_list("status", flat=True)) == {"completed"}

    assert at_every_statement(monkeypatch, prepare, sweep, check) >= 7


def test_given_a_death_at_any_statement_of_a_cell_then_a_later_one_decides(
    bellboy: Bellboy, slow_step: ScriptedSlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any, context: Any) -> dict[str, Any]:
        raise PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)

    def prepare() -> list[int]:
        slow_step.script = refuse
        hopeless = a_claimed_step(slow() | {"config": {"on_unknown": "fail"}})
        intend(hopeless, on_unknown="fail")
        lost = a_claimed_step()
        ids = [hopeless.step_run_id, lost.step_run_id]
        for step_run_id in ids:
            end_lease(step_run_id)
        bellboy.lose_all()
        return ids

    def run_cell(ids: list[int]) -> None:
        cells.run_here(ids, "http")

    def check(ids: list[int]) -> None:
        recover(bellboy)
        codes = StepRun.objects.filter(pk__in=ids).order_by("pk").values_list("error_code", flat=True)
        assert list(codes) == ["http.outcome_unknown", "http.client_error"]
        believed = (
            Effect.objects.filter(step_run__in=ids).order_by("step_run_id").values_list("status", flat=True)
        )
        assert list(believed) == ["unknown", "done"]

    assert at_every_statement(monkeypatch, prepare, run_cell, check) >= 6
