"""Outcomes are written although the line to PostgreSQL breaks, and never twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db.models import F

from executions import cells, claims, leases, reports, tasks, worker
from executions.leases import keeper, worker_name
from executions.models import Attempt, Effect, Run, StepRun
from executions.settling import settle
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.database import django_through_a_proxy, no_database
from tests.logged import when_logged
from tests.proxy import Proxy
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, a_queued_step, end_lease, everything, intend, slow, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


@pytest.fixture
def line() -> Iterator[Proxy]:
    with django_through_a_proxy() as proxy:
        yield proxy


def test_given_postgresql_away_when_a_step_comes_back_then_its_outcome_is_written_once_it_is_there_again(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        line.refuse()
        return {"status_code": 200}

    slow_step.script = script
    step = a_queued_step()

    with when_logged("outcome_written_again", line.mend) as heard:
        worker.execute([step.pk])

    assert len(heard) == 1
    assert Run.objects.get().status == "completed"
    assert len(slow_step.sent) == 1


def test_given_an_outcome_whose_reply_is_lost_then_it_counts_once_and_the_worker_goes_on_with_its_next_step(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        line.lose_the_answer_to(b"the-word-in-the-output")
        return {"status_code": 200, "note": "the-word-in-the-output"}

    slow_step.script = script
    run = a_queued_step(slow("one"), slow("two")).run

    with when_logged("outcome_written_again") as again:
        worker.execute([run.steps.get().pk])

    assert len(again) == 2  # once for each step
    run.refresh_from_db()
    assert run.status == "completed"
    assert [(step.status, step.attempts, step.lost) for step in run.steps.order_by("position")] == [
        ("completed", 1, 0)
    ] * 2
    assert told(run).count("step.completed") == 2
    assert {effect.status for effect in Effect.objects.all()} == {"done"}
    assert len(slow_step.sent) == 2


def test_given_an_outcome_that_another_wrote_first_then_nothing_is_adopted(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        StepRun.objects.update(fence=F("fence") + 1)  # taken over meanwhile
        return {"status_code": 200}

    slow_step.script = script
    run = a_queued_step(slow("one"), slow("two")).run

    worker.execute([run.steps.get().pk])

    assert run.steps.get().status == "running"
    assert len(slow_step.sent) == 1
    StepRun.objects.update(fence=F("fence") - 1)


def test_given_an_outcome_that_another_thread_of_the_worker_wrote_first_then_nothing_is_adopted(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    """It goes on with the next step under the same worker's name and fence: only its token tells whose that is."""
    me = leases.worker_name()

    def script(request: Any, context: Any) -> dict[str, Any]:
        step = StepRun.objects.get()
        end_lease(step.pk)
        (heir,) = cells.claim([step.pk], worker=me, owner=claims.new_owner(me))
        intend(heir)
        token = claims.new_owner(me)
        settle(
            reports.completed(
                heir, {}, effect="done", may_continue=True, worker=me, owner=token, lease_seconds=30.0
            )
        )
        return {"status_code": 200}

    slow_step.script = script

    worker.execute([a_queued_step(slow("one"), slow("two")).pk])

    assert [context.step_key for _, context in slow_step.sent] == ["one"]
    two = StepRun.objects.get(key="two")
    assert (two.status, two.fence) == ("running", 1)


def test_given_a_claim_whose_reply_is_lost_then_the_worker_finds_its_steps_and_goes_on(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    first, second = a_queued_step(), a_queued_step()
    line.lose_the_answer_to(worker_name().encode())  # in the parameters: the statement commits by itself

    with when_logged("claimed_again") as again:
        worker.execute([first.pk, second.pk])

    assert len(again) == 1
    assert {run.status for run in Run.objects.all()} == {"completed"}
    assert [(attempt.number, attempt.outcome) for attempt in Attempt.objects.all()] == [(1, "ok")] * 2
    assert len(slow_step.sent) == 2


def test_given_a_cells_claim_whose_reply_is_lost_then_what_it_judged_and_took_stays_so(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    given_up, lost = a_claimed_step(), a_claimed_step()
    intend(given_up, on_unknown="fail")
    for step in (given_up, lost):
        end_lease(step.step_run_id)
    line.lose_the_answer_to(b"COMMIT")

    with when_logged("claimed_again") as again:
        cells.run_here([given_up.step_run_id, lost.step_run_id], "http")

    assert len(again) == 1
    assert [StepRun.objects.get(pk=step.step_run_id).status for step in (given_up, lost)] == [
        "failed",
        "completed",
    ]
    outcomes = Attempt.objects.filter(step_run_id=lost.step_run_id).order_by("number")
    assert [attempt.outcome for attempt in outcomes] == ["lost", "ok"]
    assert len(slow_step.sent) == 1


def test_given_a_claim_that_broke_before_it_was_made_then_it_is_made_again(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    step = a_queued_step()
    line.lose_the_answer_to(b"s.quarantined OR c.was")

    with when_logged("claimed_again") as again:
        worker.execute([step.pk])

    assert len(again) == 1
    assert Run.objects.get().status == "completed"
    assert Attempt.objects.get().number == 1


def test_given_postgresql_away_when_a_claim_is_tried_for_long_then_the_message_is_given_up(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy, settings: Any
) -> None:
    settings.LIGHTFIELD_LEASE_SECONDS = 0.5
    step = a_queued_step()
    line.refuse()

    tasks.execute_steps.apply(args=([step.pk],)).get()
    line.mend()

    step.refresh_from_db()
    assert (step.status, step.attempts) == ("queued", 0)  # the sweeper rings again


def test_given_an_intent_whose_reply_is_lost_when_repeated_then_one_request_leaves(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    freeze = slow_step.freeze

    def freeze_and_break(config: Any) -> dict[str, Any]:
        line.lose_the_answer_to(b"the-word-in-the-request")
        return {**freeze(config), "note": "the-word-in-the-request"}

    slow_step.freeze = freeze_and_break  # type: ignore[method-assign]
    step = a_queued_step()

    with when_logged("outcome_written_again") as again:
        worker.execute([step.pk])

    assert len(again) == 1
    assert Run.objects.get().status == "completed"
    assert len(slow_step.sent) == 1
    assert Attempt.objects.count() == 1


def test_given_a_connection_ended_in_the_middle_of_the_statement_then_the_outcome_is_written_again(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    sending, is_locked, may_end = threading.Event(), threading.Event(), threading.Event()

    def script(request: Any, context: Any) -> dict[str, Any]:
        sending.set()
        assert is_locked.wait(10)
        return {}

    slow_step.script = script
    step = a_queued_step()

    def holder() -> None:
        assert sending.wait(10)
        with transaction.atomic():
            StepRun.objects.select_for_update().get()
            is_locked.set()
            assert may_end.wait(10)

    def saboteur() -> int:
        assert is_locked.wait(10)
        wait_until_blocked()
        (ended,) = sql.rows(
            "SELECT count(pg_terminate_backend(pid))::int FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()",
            {},
        )
        may_end.set()
        return int(ended[0])

    _, _, ended = race(holder, partial(worker.execute, [step.pk]), saboteur)

    assert ended == 1
    assert Run.objects.get().status == "completed"
    assert Attempt.objects.count() == 1


def test_given_a_lease_that_is_lost_when_postgresql_is_away_then_the_worker_stops_trying(
    bellboy: Bellboy, slow_step: ScriptedSlow, line: Proxy
) -> None:
    step = a_queued_step()

    def script(request: Any, context: Any) -> dict[str, Any]:
        line.refuse()
        keeper._held[step.pk].is_lost = True
        return {}

    slow_step.script = script
    worker.execute([step.pk])
    line.mend()

    step.refresh_from_db()
    assert (step.status, step.output) == ("running", None)  # its lease runs out; a cell takes it from there


@pytest.mark.parametrize(
    "name", ["dispatch_shard", "admit", "advance", "execute_steps", "sweep", "expire_runs"]
)
def test_given_no_database_when_a_message_comes_then_the_task_ends_quietly(
    bellboy: Bellboy, name: str
) -> None:
    step = a_queued_step()
    arguments: dict[str, Any] = {
        "dispatch_shard": [1],
        "admit": ["http"],
        "advance": [[str(step.run_id)]],
        "execute_steps": [[step.pk]],
        "sweep": [],
        "expire_runs": [[str(step.run_id)]],
    }
    before = everything()

    with no_database():
        result = getattr(tasks, name).apply(args=arguments[name])

    assert result.successful()
    assert everything() == before


def test_a_statement_after_the_database_came_back_finds_a_new_connection(bellboy: Bellboy) -> None:
    with no_database(), pytest.raises(OperationalError):
        sql.rows("SELECT 1", {})

    assert sql.row("SELECT 1", {}) == (1,)
