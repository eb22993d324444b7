"""The door into the window: as many as fit, and fair."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from executions import admission, claims
from executions.dispatcher import dispatch_shard
from executions.models import Lane, StepRun, TimelineEntry
from lightfield.kernel import bells, sql
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import a_published_workflow, an_event
from tests.staging import a_queued_step, a_run, live, slow

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]


def window(width: int, *, per_workflow: int | None = None, most_queued: int | None = None) -> None:
    limits = {"width": width, "per_workflow": per_workflow or width, "most_queued": most_queued or 10 * width}
    Lane.objects.filter(name="http").update(**limits)


def take(number: int) -> None:
    """A worker claims so many of what is queued."""
    ids = [step.pk for step in StepRun.objects.filter(status="queued").order_by("id")[:number]]
    assert len(claims.claim(ids, worker="w")) == number


@pytest.fixture(autouse=True)
def _usual_window() -> Any:
    yield
    window(600, per_workflow=500, most_queued=16)


def ready(count: int, *, workflow: Any = None, **settings: Any) -> Any:
    """So many ready steps of one workflow. Returns the workflow."""
    workflow = workflow or a_published_workflow(steps=[slow()], settings=settings)
    event = an_event(workflow, payload={"n": 1})
    sql.rows(
        "INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, "
        "trace_id, depth, status, tries) SELECT uuid_v7(), trigger_id, workflow_id, version_id, source, payload, "
        "shard, trace_id, 0, 'pending', 0 FROM triggers_outboxevent, generate_series(2, %(n)s::int) "
        "WHERE id = %(id)s::uuid",
        {"n": count, "id": str(event.pk)},
    )
    from executions import dispatcher

    while dispatcher.dispatch_batch(event.shard).taken:
        pass
    return workflow


def in_flight() -> Counter[Any]:
    return Counter(StepRun.objects.filter(status="queued").values_list("workflow_id", flat=True))


def test_the_window_is_filled_and_never_overrun(bellboy: Bellboy) -> None:
    window(10)
    ready(25)

    assert admission.admit("http") == 10
    ready(5)  # of another workflow, which has nothing in flight: its own limit is not what stops it
    assert admission.admit("http") == 0
    assert StepRun.objects.filter(status="queued").count() == 10


def test_given_eight_admissions_at_once_then_the_window_holds(bellboy: Bellboy) -> None:
    """The count must be newer than the wait for the lane: one statement for both let 58 of 60 rounds overrun."""
    window(7)
    for _ in range(6):
        ready(20)
        race(*[lambda: admission.admit("http")] * 8)
        assert sum(in_flight().values()) == 7
        sql.rows("UPDATE executions_steprun SET status = 'ready' WHERE status = 'queued'", {})


def test_only_the_admission_itself_does_not_wait_for_the_disk() -> None:
    window(3)
    ready(1)
    ask = "SELECT current_setting('synchronous_commit')"
    sql.rows("SET synchronous_commit = 'local'", {})
    try:
        assert sql.rows_after(admission.LOCK_LANE, ask, {"lane": "http"}) == [("off",)]
        assert admission.admit("http") == 1
        assert sql.rows(ask, {}) == [("local",)]
    finally:
        sql.rows("RESET synchronous_commit", {})


def test_given_a_window_filled_by_an_admission_still_to_commit_when_another_begins_then_it_finds_it_full(
    bellboy: Bellboy,
) -> None:
    """The second begins before the first commits, and must count after: its choice is another step."""
    window(3)
    ready(5)
    is_filled, has_more = threading.Event(), threading.Event()

    def first() -> int:
        with transaction.atomic():
            count = admission.admit("http")
            is_filled.set()
            wait_until_blocked()
            return count

    def second() -> int:
        assert has_more.wait(10)
        return admission.admit("http")

    def newcomer() -> None:
        assert is_filled.wait(10)
        ready(1)  # of a workflow with nothing in flight: the next to be admitted
        has_more.set()

    assert race(first, second, newcomer) == [3, 0, None]
    assert sum(in_flight().values()) == 3


def test_given_a_flood_of_one_workflow_then_the_others_are_in_the_first_fill(bellboy: Bellboy) -> None:
    window(12)
    flood = ready(300)
    others = [ready(1) for _ in range(5)]

    admission.admit("http")

    flying = in_flight()
    assert sum(flying.values()) == 12
    assert all(flying[other.pk] == 1 for other in others)
    assert flying[flood.pk] == 7


def test_the_workflow_with_the_least_in_flight_goes_first(bellboy: Bellboy) -> None:
    window(8)
    busy = ready(20)
    admission.admit("http")
    assert in_flight() == {busy.pk: 8}
    window(12)
    idle = ready(10)

    admission.admit("http")

    assert in_flight() == {busy.pk: 8, idle.pk: 4}


def test_what_no_worker_has_taken_yet_is_bounded_however_wide_the_window(bellboy: Bellboy) -> None:
    window(50, most_queued=4)
    flood = ready(20)

    admission.admit("http")
    admission.admit("http")
    assert in_flight() == {flood.pk: 4}

    # One is taken, and three are on the way: refilled by one, each would have a message of its own.
    take(1)
    admission.admit("http")
    assert StepRun.objects.filter(status="queued").count() == 3

    # Half of them are gone.
    take(1)
    admission.admit("http")
    assert StepRun.objects.filter(status="queued").count() == 4


def test_given_a_flood_on_the_way_then_a_workflow_with_next_to_nothing_in_flight_is_let_past_it(
    bellboy: Bellboy,
) -> None:
    window(50, most_queued=4)
    flood = ready(20)
    admission.admit("http")
    small = ready(3)

    for _ in range(3):
        admission.admit("http")

    assert in_flight() == {flood.pk: 4, small.pk: 2}


def test_given_queued_steps_that_had_to_be_rung_for_again_then_they_do_not_keep_others_back(
    bellboy: Bellboy,
) -> None:
    """Their messages are lost, or no worker is there: neither says that the workers have enough to do."""
    window(50, most_queued=4)
    ready(20)
    admission.admit("http")
    StepRun.objects.filter(status="queued").update(rings=1)

    admission.admit("http")

    assert StepRun.objects.filter(status="queued").count() == 8


def test_a_workflow_keeps_to_its_own_concurrency(bellboy: Bellboy) -> None:
    window(50)
    modest, other = ready(20, concurrency=3), ready(20)

    admission.admit("http")
    admission.admit("http")

    assert in_flight() == {modest.pk: 3, other.pk: 20}


def test_one_workflow_never_takes_the_whole_lane(bellboy: Bellboy) -> None:
    window(12, per_workflow=10)
    flood = ready(40)

    admission.admit("http")

    assert in_flight() == {flood.pk: 10}


def test_a_workflow_of_greater_concurrency_than_the_lane_allows_keeps_to_the_lane(bellboy: Bellboy) -> None:
    window(12, per_workflow=10)
    flood = ready(40, concurrency=1000)

    admission.admit("http")

    assert in_flight() == {flood.pk: 10}


def test_given_a_window_made_narrower_than_what_flies_then_nothing_is_admitted(bellboy: Bellboy) -> None:
    ready(5)
    window(4)
    admission.admit("http")
    window(2)

    assert admission.admit("http") == 0


def test_many_workflows_share_a_window_that_is_filled_all_the_same(bellboy: Bellboy) -> None:
    """Each turn gives a workflow a share only; turns follow until the window is full."""
    window(60)
    workflows = [ready(1) for _ in range(6)]
    flood = ready(80)

    admission.admit("http")

    flying = in_flight()
    assert sum(flying.values()) == 60
    assert flying[flood.pk] == 60 - len(workflows)


def test_a_wait_is_admitted_when_it_is_over(bellboy: Bellboy) -> None:
    step = live(a_run())
    sql.rows(
        "UPDATE executions_steprun SET status = 'waiting', due_at = clock_timestamp() + interval '1 hour'", {}
    )
    assert admission.admit("http") == 0

    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp()", {})
    assert admission.admit("http") == 1
    step.refresh_from_db()
    assert step.status == "queued"


def test_a_step_that_somebody_has_locked_is_left_for_later(bellboy: Bellboy) -> None:
    held, free = live(a_run()), live(a_run())
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            StepRun.objects.select_for_update().get(pk=held.pk)
            is_locked.set()
            assert may_end.wait(10)

    def admitter() -> int:
        assert is_locked.wait(10)
        count = admission.admit("http")
        may_end.set()
        return count

    assert race(holder, admitter) == [None, 1]
    assert StepRun.objects.get(status="queued").pk == free.pk


def test_admission_tells_nothing_and_needs_no_run(bellboy: Bellboy) -> None:
    a_queued_step()

    assert [entry.type for entry in TimelineEntry.objects.all()] == ["run.created"]


def test_a_lane_that_does_not_exist_admits_nothing(bellboy: Bellboy) -> None:
    assert admission.admit("nowhere") == 0


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [1, 1]), (3, [3]), (20, [8, 8, 4])])
def test_one_message_for_one_step_at_rest_and_for_eight_under_backlog(
    bellboy: Bellboy, count: int, sizes: list[int]
) -> None:
    window(600, most_queued=100)
    ready(count)

    admission.admit("http")

    assert [len(bell.args[0]) for bell in bellboy.rung] == sizes
    assert {bell.task for bell in bellboy.rung} == {"executions.execute_steps"}


def test_a_newcomer_has_a_message_of_its_own_beside_a_flood(bellboy: Bellboy) -> None:
    window(600, most_queued=100)
    flood = a_published_workflow(steps=[slow()])
    ready(20, workflow=flood)
    admission.admit("http")
    bellboy.rung.clear()
    ready(5, workflow=flood)
    newcomer = ready(1)

    admission.admit("http")

    assert [len(bell.args[0]) for bell in bellboy.rung] == [1, 5]
    assert bellboy.rung[0].args[0] == [StepRun.objects.get(workflow=newcomer).pk]


def test_quarantined_steps_go_to_cells_together_once_and_then_alone(bellboy: Bellboy) -> None:
    ready(4)
    ids = list(StepRun.objects.order_by("pk").values_list("pk", flat=True))
    StepRun.objects.filter(pk__in=ids[1:]).update(quarantined=True, lost=1)
    StepRun.objects.filter(pk=ids[3]).update(lost=2)

    admission.admit("http")

    assert [(bell.task, sorted(bell.args[0])) for bell in bellboy.rung] == [
        ("executions.execute_steps", [ids[0]]),
        ("executions.execute_in_cell", ids[1:3]),
        ("executions.execute_in_cell", [ids[3]]),
    ]


def test_dispatch_admits_in_its_own_message(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(steps=[slow()]), payload={"n": 1})
    bells.ring_dispatch(event.shard)

    dispatch_shard(event.shard)

    assert bellboy.names() == ["dispatch_shard", "execute_steps"]
