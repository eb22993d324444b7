"""Whoever waits for somebody else to write must not hold the connection that the writer needs.

A worker's threads share a handful of connections. Threads that had finished a dispatch kept theirs and waited for the
one that was to admit for all of them; that one waited for a connection. Nobody moved for ten seconds, then everybody
failed: of 300 runs, 43 were left running and 120 pending.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections

from executions import admission, chain, dispatcher, tasks
from executions.models import Lane, Run, StepRun
from lightfield.kernel.db_deadline import DeadlineConnection
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event
from tests.staging import slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]

CONNECTIONS = 2
FAILED = {"database_unavailable", "outcome_not_written", "outcome_written_again", "claimed_again"}


@pytest.fixture
def few_connections() -> Iterator[None]:
    """This process as a worker: a pool, smaller than it has threads."""
    ours: Any = connections["default"]
    ours.close()
    options = ours.settings_dict["OPTIONS"]
    options["pool"] = {
        "min_size": 1,
        "max_size": CONNECTIONS,
        "timeout": 5,
        "connection_class": DeadlineConnection,
    }
    try:
        yield
    finally:
        ours.close()
        ours.close_pool()
        del options["pool"]


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage() in FAILED]


@pytest.mark.usefixtures("few_connections")
def test_given_dispatchers_and_admissions_at_once_when_connections_are_few_then_none_waits_in_vain(
    bellboy: Bellboy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shards = set()
    for _ in range(8):
        workflow = a_published_workflow(steps=[slow("one")])
        shards |= {an_event(workflow).shard for _ in range(20)}
    connection.close()

    with ThreadPoolExecutor(16) as pool:
        work: list[Any] = [pool.submit(tasks.dispatch_shard, shard) for shard in [*shards] * 2]
        work += [pool.submit(tasks.admit, "http") for _ in range(16)]
        for one in work:
            one.result(60)

    assert failures(caplog) == []
    assert Run.objects.count() == 160


@pytest.mark.usefixtures("few_connections")
def test_given_claims_and_continuations_at_once_when_connections_are_few_then_all_runs_complete(
    bellboy: Bellboy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    workflow = a_published_workflow(steps=[slow("one"), slow("two"), slow("three")])
    Lane.objects.filter(name="http").update(most_queued=200)
    try:
        events = [an_event(workflow, payload={"n": 1}) for _ in range(100)]
        dispatcher.dispatch_shard(events[0].shard)
        ids = list(StepRun.objects.filter(status="queued").values_list("pk", flat=True))
    finally:
        Lane.objects.filter(name="http").update(most_queued=16)
    assert len(ids) == 100
    connection.close()

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda step_run_id: tasks.execute_steps([step_run_id]), ids))

    assert failures(caplog) == []
    assert Run.objects.filter(status="completed").count() == 100


def test_all_that_is_written_together_lets_go_before_it_waits() -> None:
    admission.admit("nowhere")
    for together in (chain.commit_together, chain.complete_together, admission.fillers["nowhere"]):
        assert together._before_waiting.__name__ == "release"
