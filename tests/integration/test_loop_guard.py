"""Workflows that start themselves or each other come to an end, with a code that says why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from executions import dispatcher
from executions.models import Run
from lightfield.kernel.catalogue import CATALOGUE
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, active_version_of, an_event
from tests.leading_on import a_starter, play, starting_others
from tests.staging import a_run
from triggers.models import EventStatus, OutboxEvent
from workflows.models import Workflow, WorkflowVersion

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("promises_kept", "slow_step"),
]
OWN, DEPTH = "trigger.own_change", "run.depth_exceeded"


def a_version_that_answers(workflow: Workflow, own_changes: Any) -> WorkflowVersion:
    """A further version whose record trigger has `own_changes`."""
    version = active_version_of(workflow)
    newest = workflow.versions.order_by("-number")[0]
    trigger = {"type": "record", "config": {"entity": "contact", "own_changes": own_changes}}
    return WorkflowVersion.objects.create(
        workflow=workflow,
        number=newest.number + 1,
        definition={**version.definition, "trigger": trigger},
        plan=version.plan,
        checksum="0" * 64,
    )


def make_active(version: WorkflowVersion) -> None:
    Workflow.objects.filter(pk=version.workflow_id).update(active_version=version)


def decided(event: OutboxEvent) -> tuple[str, str | None]:
    """What the dispatcher makes of it."""
    dispatcher.dispatch_shard(event.shard)
    event.refresh_from_db()
    return event.status, event.error_code


def test_a_workflows_own_change_does_not_start_it(bellboy: Bellboy) -> None:
    run = a_run()

    event = an_event(run.workflow, caused_by=run.pk, depth=1)

    assert decided(event) == ("ignored", OWN)
    assert Run.objects.count() == 1


def test_what_another_workflow_changed_starts_it(bellboy: Bellboy) -> None:
    run, other = a_run(), a_published_workflow()

    assert decided(an_event(other, caused_by=run.pk, depth=1)) == ("dispatched", None)


def test_a_run_that_is_no_longer_there_guards_nothing(bellboy: Bellboy) -> None:
    event = an_event(a_published_workflow(), caused_by=UUID(int=7), depth=1)

    assert decided(event) == ("dispatched", None)


@pytest.mark.parametrize("answer", [False, None, "true", 1, {}])
def test_only_a_version_that_says_true_is_started_by_its_own_changes(bellboy: Bellboy, answer: Any) -> None:
    run = a_run()
    willing, not_so = (a_version_that_answers(run.workflow, said) for said in (True, answer))

    assert decided(an_event(run.workflow, version=willing, caused_by=run.pk)) == ("dispatched", None)
    assert decided(an_event(run.workflow, version=not_so, caused_by=run.pk)) == ("ignored", OWN)


def test_the_version_of_the_capture_decides_whatever_is_published_meanwhile(bellboy: Bellboy) -> None:
    run = a_run()
    before = active_version_of(run.workflow)
    after = a_version_that_answers(run.workflow, True)
    make_active(after)

    assert decided(an_event(run.workflow, version=before, caused_by=run.pk)) == ("ignored", OWN)


def test_an_archived_workflow_says_so_first(bellboy: Bellboy) -> None:
    run = a_run()
    event = an_event(run.workflow, caused_by=run.pk, depth=99)
    Workflow.objects.filter(pk=run.workflow_id).update(status="archived")

    assert decided(event) == ("ignored", "workflow.archived")


def test_in_a_batch_each_event_has_its_own_fate(bellboy: Bellboy, settings: Any) -> None:
    settings.LIGHTFIELD_MAX_DEPTH = 3
    run = a_run()
    same, other = {"shard": 5}, a_published_workflow()
    events = [
        an_event(run.workflow, **same),
        an_event(run.workflow, caused_by=run.pk, depth=1, **same),
        an_event(other, caused_by=run.pk, depth=3, **same),
        an_event(other, caused_by=run.pk, depth=4, **same),
    ]

    dispatcher.dispatch_shard(5)

    codes = [OutboxEvent.objects.get(pk=event.pk).error_code for event in events]
    assert codes == [None, OWN, None, DEPTH]


def test_a_workflow_that_changes_what_it_watches_runs_once(bellboy: Bellboy) -> None:
    with starting_others():
        run = play(bellboy, a_starter("itself", "itself"))

    assert Run.objects.count() == 1
    ignored = OutboxEvent.objects.get(status=EventStatus.IGNORED)
    assert (ignored.error_code, ignored.caused_by, ignored.trace_id) == (OWN, run.pk, run.trace_id)


def test_given_a_workflow_that_wants_its_own_changes_then_depth_ends_it(
    bellboy: Bellboy, settings: Any
) -> None:
    settings.LIGHTFIELD_MAX_DEPTH = 5
    with starting_others():
        workflow = a_starter("itself", "itself")
        make_active(a_version_that_answers(workflow, True))
        workflow.refresh_from_db()
        play(bellboy, workflow)

    assert Run.objects.count() == 6
    (last,) = OutboxEvent.objects.filter(status=EventStatus.IGNORED)
    assert (last.error_code, last.depth) == (DEPTH, 6)


def test_given_two_workflows_that_start_each_other_then_depth_ends_them(
    bellboy: Bellboy, settings: Any
) -> None:
    """Neither is its own cause: the one that led to an event is the other."""
    settings.LIGHTFIELD_MAX_DEPTH = 8
    with starting_others():
        a_starter("pong", "ping")
        first = play(bellboy, a_starter("ping", "pong"))

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert sorted(OutboxEvent.objects.values_list("depth", flat=True)) == list(range(10))
    (last,) = OutboxEvent.objects.filter(status=EventStatus.IGNORED)
    assert (last.error_code, last.depth, last.trace_id) == (DEPTH, 9, first.trace_id)


def test_given_workflows_that_start_two_each_then_every_branch_ends(bellboy: Bellboy, settings: Any) -> None:
    """A tree doubles at each level: it is the depth that bounds it."""
    settings.LIGHTFIELD_MAX_DEPTH = 4
    with starting_others():
        a_starter("b", "a", "a")
        play(bellboy, a_starter("a", "b", "b"))

    assert Run.objects.count() == 1 + 2 + 4 + 8 + 16
    assert OutboxEvent.objects.filter(status=EventStatus.IGNORED, error_code=DEPTH).count() == 32


@pytest.mark.parametrize("code", [OWN, DEPTH])
def test_the_codes_say_what_it_means_and_what_to_do(code: str) -> None:
    entry = CATALOGUE[code]

    assert entry.meaning
    assert entry.remedy
    assert not entry.retryable
