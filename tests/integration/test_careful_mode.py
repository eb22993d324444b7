"""A fast step that never answers its bells may be killing its worker: it goes on in a cell, counted before the work."""

from __future__ import annotations

from typing import Any

import pytest

from executions import cells, services, sweeper
from executions.engine import advance
from executions.models import Attempt, Run, StepRun
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.bellboy import Bellboy
from tests.factories import BY
from tests.scripted import ScriptedFast, installed
from tests.staging import a_run, answer_with_cells_here, die_in_cells, end_lease, live, nap, say, slow, told
from workflows.step_types import Completed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


def a_suspect(*steps: dict[str, Any]) -> int:
    """A fast step that was rung three times and never moved."""
    step = live(a_run(*(steps or [say()])))
    StepRun.objects.filter(pk=step.pk).update(rings=3)
    return step.pk


def sweep_unheard(bellboy: Bellboy) -> sweeper.Swept:
    sql.rows("UPDATE executions_steprun SET rung_at = NULL, due_at = due_at - interval '1 minute'", {})
    bellboy.lose_all()
    return sweeper.sweep()


def test_given_a_fast_step_that_does_not_move_when_rung_a_third_time_then_a_cell_is_rung(
    bellboy: Bellboy,
) -> None:
    run = a_run(say())

    for _ in range(2):
        assert sweep_unheard(bellboy).advanced == [str(run.pk)]
    assert sweep_unheard(bellboy).advanced == []
    assert [(bell.task, bell.args, bell.queue) for bell in bellboy.waiting] == [
        ("executions.execute_in_cell", ([live(run).pk], "fast"), "http")
    ]
    answer_with_cells_here(bellboy)

    run.refresh_from_db()
    assert run.status == "completed"


def test_in_a_cell_the_attempt_is_counted_before_the_work(bellboy: Bellboy) -> None:
    seen: list[tuple[str, int, str | None]] = []

    def look(config: Any, context: Any) -> Completed:
        attempt = Attempt.objects.get()
        seen.append((StepRun.objects.get().status, attempt.number, attempt.outcome))
        return Completed({})

    with installed("watch", ScriptedFast) as watch:
        watch.script = look
        cells.run_here([a_suspect({"key": "one", "type": "watch", "config": {}})], "fast")

    assert seen == [("running", 1, None)]


def test_the_story_is_the_same_as_without_a_cell(bellboy: Bellboy) -> None:
    cells.run_here([a_suspect(say("one"), say("two"))], "fast")
    answer_with_cells_here(bellboy)
    plain = a_run(say("one"), say("two"))
    advance([str(plain.pk)])

    careful = Run.objects.exclude(pk=plain.pk).get()
    assert told(careful) == told(plain)
    assert [(e.attempt, e.from_status, e.to_status, e.metadata) for e in careful.timeline.all()[1:]] == [
        (e.attempt, e.from_status, e.to_status, e.metadata) for e in plain.timeline.all()[1:]
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [(TransientStepError("step.timeout"), "waiting"), (PermanentStepError("config.invalid"), "failed")],
)
def test_errors_in_a_cell_are_outcomes(bellboy: Bellboy, error: Exception, status: str) -> None:
    def script(config: Any, context: Any) -> Completed:
        raise error

    with installed("flaky", ScriptedFast) as flaky:
        flaky.script = script
        cells.run_here([a_suspect({"key": "one", "type": "flaky", "config": {}})], "fast")

    step = StepRun.objects.get()
    assert (step.status, step.attempts, step.lost) == (status, 1, 0)


def test_a_sleep_that_begins_in_a_cell_ends_outside(bellboy: Bellboy) -> None:
    cells.run_here([a_suspect(nap(), say())], "fast")
    assert StepRun.objects.get().status == "waiting"

    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp()", {})
    sweeper.sweep()
    bellboy.answer_all()

    assert Run.objects.get().status == "completed"


def test_a_slow_step_that_follows_goes_through_admission(bellboy: Bellboy) -> None:
    cells.run_here([a_suspect(say(), slow())], "fast")

    assert live(Run.objects.get()).status == "ready"
    bellboy.answer_all()
    assert Run.objects.get().status == "completed"


def test_given_a_cell_that_died_when_swept_then_another_tries_it_and_after_three_alone_it_fails(
    bellboy: Bellboy,
) -> None:
    suspect = a_suspect()
    die_in_cells(suspect, times=3)
    end_lease(suspect)
    bellboy.lose_all()

    assert sweeper.sweep().expired == [suspect]
    answer_with_cells_here(bellboy)

    assert Run.objects.get().error_code == "step.worker_lost"


def test_given_a_run_cancelled_while_its_step_is_in_a_cell_then_the_others_in_it_go_on(
    bellboy: Bellboy,
) -> None:
    def cancel(config: Any, context: Any) -> Completed:
        services.cancel_run(run_id=context.run_id, by=BY)
        return Completed({})

    with installed("doomed", ScriptedFast) as doomed:
        doomed.script = cancel
        ids = [a_suspect({"key": "one", "type": "doomed", "config": {}}), a_suspect()]
        cells.run_here(ids, "fast")

    assert list(StepRun.objects.order_by("pk").values_list("status", flat=True)) == ["cancelled", "completed"]


def test_a_suspect_that_moved_meanwhile_is_left_alone(bellboy: Bellboy) -> None:
    suspect = a_suspect()
    advance([str(StepRun.objects.get().run_id)])

    cells.run_here([suspect], "fast")

    assert Attempt.objects.count() == 1


def test_a_fast_step_that_was_rung_less_often_is_not_a_cells(bellboy: Bellboy) -> None:
    step = live(a_run(say()))
    StepRun.objects.update(rings=2)

    assert cells.claim([step.pk], worker="w") == []
