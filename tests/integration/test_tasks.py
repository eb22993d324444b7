"""Celery's door: whatever a message holds, and however often it comes, the rows stay sound."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from celery import current_app

from executions import heartbeats, tasks
from executions.models import Heartbeat, Run
from lightfield.kernel import sql
from lightfield.kernel.errors import TransientStepError
from tests.bellboy import TASKS, Bellboy
from tests.concurrency import race
from tests.factories import a_published_workflow, an_event
from tests.scripted import ScriptedSlow
from tests.staging import a_claimed_step, a_queued_step, a_run, everything, nap, say, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

GARBAGE: list[Any] = [
    None,
    "x",
    -1,
    2**70,
    [],
    [None],
    ["x"],
    [[1]],
    {"a": 1},
    "'; DROP TABLE executions_run; --",
]


@pytest.mark.parametrize("name", [*TASKS, "executions.beat_heart"])
def test_garbage_in_a_message_moves_nothing(bellboy: Bellboy, name: str) -> None:
    a_run(nap())
    a_queued_step()
    a_claimed_step()
    task = current_app.tasks[name]
    before = everything()
    bellboy.lose_all()

    for garbage in GARBAGE:
        task.apply(args=(garbage,))
        task.apply(args=(garbage, garbage))
    task.apply(args=())

    assert everything() == before
    assert Heartbeat.objects.count() == 0


def test_ids_of_nothing_move_nothing(bellboy: Bellboy) -> None:
    before = everything()
    results = [
        tasks.advance.apply(args=([str(uuid4())],)),
        tasks.execute_steps.apply(args=([404],)),
        tasks.execute_in_cell.apply(args=([404], "http")),
        tasks.expire_runs.apply(args=([str(uuid4())],)),
        tasks.dispatch_shard.apply(args=(999,)),
        tasks.admit.apply(args=("attic",)),
    ]

    assert all(result.successful() for result in results)
    assert everything() == before


def test_every_message_heard_three_times_makes_one_run(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    event = an_event(
        a_published_workflow(steps=[say(), slow("one"), slow("two"), say("end")]), payload={"n": 1}
    )
    tasks.dispatch_shard.apply(args=(event.shard,))
    heard = 0
    while heard < len(bellboy.rung):
        for bell in bellboy.rung[heard:] * 3:
            TASKS[bell.task].apply(args=bell.args)
        heard += 1
    for bell in reversed(bellboy.rung):
        TASKS[bell.task].apply(args=bell.args)

    run = Run.objects.get(event=event)
    assert run.status == "completed"
    assert len(slow_step.sent) == 2
    assert {step.attempts for step in run.steps.all()} == {1}


def test_a_retry_is_shown_to_flower_with_the_instant_of_the_row(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise TransientStepError("http.unavailable", sent=True, answered=True)

    slow_step.script = script
    step = a_queued_step()

    result = tasks.execute_steps.apply(args=([step.pk],))

    step.refresh_from_db()
    assert result.state == "RETRY"
    shown: Any = result.result
    assert (shown.when, shown.message) == (step.due_at, "http.unavailable")


def test_of_several_steps_in_one_message_no_retry_is_shown(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    def script(request: Any, context: Any) -> dict[str, Any]:
        raise TransientStepError("http.unavailable", sent=True, answered=True)

    slow_step.script = script
    ids = [a_queued_step().pk for _ in range(2)]

    assert tasks.execute_steps.apply(args=(ids,)).successful()


def test_a_step_that_goes_on_or_ends_is_no_retry(bellboy: Bellboy) -> None:
    assert tasks.execute_steps.apply(args=([a_queued_step().pk],)).successful()


def test_one_run_that_cannot_be_advanced_does_not_stop_the_others(bellboy: Bellboy) -> None:
    broken, sound = a_run(say()), a_run(say())
    sql.rows("ALTER TABLE executions_steprun DISABLE TRIGGER USER", {})
    sql.rows("UPDATE executions_steprun SET position = 9 WHERE run_id = %(id)s::uuid", {"id": str(broken.pk)})
    sql.rows("ALTER TABLE executions_steprun ENABLE TRIGGER USER", {})

    assert tasks.advance.apply(args=([str(broken.pk), str(sound.pk)],)).successful()

    sound.refresh_from_db()
    assert sound.status == "completed"
    broken.refresh_from_db()
    assert broken.status == "pending"
    sql.rows("UPDATE executions_steprun SET position = 1 WHERE run_id = %(id)s::uuid", {"id": str(broken.pk)})


def test_a_run_advanced_twice_at_once_is_advanced_once(bellboy: Bellboy) -> None:
    run = a_run(say("one"), say("two"), say("three"))

    race(*[lambda: tasks.advance.apply(args=([str(run.pk)],))] * 6)

    run.refresh_from_db()
    assert run.status == "completed"
    assert [step.attempts for step in run.steps.all()] == [1, 1, 1]


def test_a_sleep_is_not_woken_before_its_time_whoever_rings(bellboy: Bellboy) -> None:
    run = a_run(nap())
    for _ in range(3):
        tasks.advance.apply(args=([str(run.pk)],))

    assert run.steps.get().status == "waiting"


def test_advance_hands_a_slow_step_to_admission(bellboy: Bellboy) -> None:
    run = a_run(say(), slow())
    bellboy.lose_all()

    tasks.advance.apply(args=([str(run.pk)],))

    assert bellboy.names() == ["execute_steps"]


def test_a_heartbeat_says_which_queue_has_a_living_worker(bellboy: Bellboy) -> None:
    tasks.beat_heart.apply(args=("http",))
    tasks.beat_heart.apply(args=("http",))

    assert [beat.queue for beat in Heartbeat.objects.all()] == ["http"]
    assert 0 <= heartbeats.ages()["http"] < 60
    assert str(Heartbeat.objects.get()).startswith("http@")


def test_every_bell_has_its_task_and_every_task_acknowledges_late(bellboy: Bellboy) -> None:
    for name in TASKS:
        assert current_app.tasks[name].acks_late
        assert current_app.tasks[name].ignore_result
