"""`settings.pause_after_failures`: so many in a row, and the workflow takes no more events."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from executions import services, sweeper
from executions.models import Run
from executions.notices import outgoing, streaks
from executions.notices.models import Notice, NoticeMessage
from lightfield.access.models import AuditEntry
from tests.bellboy import Bellboy
from tests.concurrency import race, wait_until_blocked
from tests.factories import BY, active_version_of
from tests.failing import BROKEN, FINE, a_telling_workflow, runs_of
from tests.jotter import Jotter
from tests.servers import Server
from tests.staging import a_run, nap
from triggers.models import Trigger
from triggers.services import webhook_path
from workflows import services as workflow_services
from workflows.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def fresh(workflow: Workflow) -> Workflow:
    return Workflow.objects.get(pk=workflow.pk)


def judged(bellboy: Bellboy) -> None:
    """What the failures left is handled, as the sweep would have it."""
    assert sweeper.sweep().has_notices_due
    bellboy.answer_all()


def test_the_nth_failure_in_a_row_pauses_the_workflow(
    bellboy: Bellboy, receiver: Server, jotter: Jotter
) -> None:
    workflow = a_telling_workflow(receiver.url, pause_after_failures=3)
    runs_of(bellboy, workflow, BROKEN, BROKEN)
    judged(bellboy)
    assert fresh(workflow).status == "active"

    runs_of(bellboy, workflow, BROKEN)
    judged(bellboy)

    assert (fresh(workflow).status, fresh(workflow).paused_reason) == ("paused", "workflow.failing")
    entry = AuditEntry.objects.get(action="workflow.paused")
    assert (entry.actor, entry.subject) == ("system", str(workflow.pk))
    assert entry.metadata == {"reason": "workflow.failing", "failures_in_a_row": 3}
    paused = json.loads(receiver.requests[-1].body)
    assert paused["type"] == "workflow.paused"
    assert paused["text"] == "A workflow was paused: 3 runs failed in a row."
    assert (paused["data"]["reason"], len(paused["data"]["runs"])) == ("workflow.failing", 3)

    refused = Client().post(
        webhook_path(Trigger.objects.get(workflow=workflow)), b"{}", content_type="application/json"
    )
    assert refused.status_code == 404
    assert [str(note.verdict) for note in jotter.notes] == ["paused"]


def test_a_completed_run_begins_anew_and_a_cancelled_one_does_not(bellboy: Bellboy) -> None:
    workflow = a_telling_workflow(pause_after_failures=2)
    runs_of(bellboy, workflow, BROKEN, FINE, BROKEN)
    judged(bellboy)
    assert fresh(workflow).status == "active"

    services.cancel_run(run_id=a_run(workflow=fresh(workflow), payload=BROKEN).pk, by=BY)
    runs_of(bellboy, workflow, BROKEN)
    judged(bellboy)

    assert fresh(workflow).status == "paused"


def test_what_failed_before_it_was_resumed_or_published_does_not_pause_it(bellboy: Bellboy) -> None:
    workflow = a_telling_workflow(pause_after_failures=2)
    runs_of(bellboy, workflow, BROKEN)
    waiting = a_run(workflow=fresh(workflow), payload=BROKEN)
    workflow_services.pause(workflow_id=workflow.pk, by=BY)
    workflow_services.resume(workflow_id=workflow.pk, by=BY)
    bellboy.lose_all()
    runs_of(bellboy, workflow, BROKEN)  # the first since
    from executions import engine

    engine.advance([str(waiting.pk)])
    judged(bellboy)

    assert Run.objects.filter(status="failed").count() == 3
    assert fresh(workflow).status == "active"


def test_runs_of_an_older_version_do_not_pause_a_newer_one(bellboy: Bellboy) -> None:
    workflow = a_telling_workflow(pause_after_failures=1)
    old = a_run(workflow=fresh(workflow), payload=BROKEN)
    workflow_services.update_draft(workflow_id=workflow.pk, changes={"name": "Mended"}, by=BY)
    workflow_services.publish(workflow_id=workflow.pk, by=BY)
    from executions import engine

    engine.advance([str(old.pk)])
    judged(bellboy)

    assert fresh(workflow).status == "active"
    assert Notice.objects.filter(handled_at=None).count() == 0


def test_resuming_ends_the_reason(bellboy: Bellboy) -> None:
    workflow = a_telling_workflow(pause_after_failures=1)
    runs_of(bellboy, workflow, BROKEN)
    judged(bellboy)
    assert fresh(workflow).paused_reason

    workflow_services.resume(workflow_id=workflow.pk, by=BY)

    assert (fresh(workflow).status, fresh(workflow).paused_reason) == ("active", "")


def test_given_eight_who_judge_at_once_then_it_is_paused_once(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url, pause_after_failures=1)
    runs_of(bellboy, workflow, BROKEN)
    version = active_version_of(workflow)

    assert sum(race(*[lambda: streaks.judge(version.pk)] * 8)) == 1

    assert AuditEntry.objects.filter(action="workflow.paused").count() == 1
    assert NoticeMessage.objects.filter(kind="workflow.paused").count() == 1


def test_given_a_resume_that_is_about_to_commit_then_the_old_failures_do_not_pause_it_again(
    bellboy: Bellboy,
) -> None:
    """Whoever judges waits for the workflow's lock, and counts from what the resume wrote."""
    workflow = a_telling_workflow(pause_after_failures=1)
    runs_of(bellboy, workflow, BROKEN)
    workflow_services.pause(workflow_id=workflow.pk, by=BY)
    version = active_version_of(workflow)
    is_resumed = threading.Event()

    def resume() -> None:
        with transaction.atomic():
            workflow_services.resume(workflow_id=workflow.pk, by=BY)
            is_resumed.set()
            wait_until_blocked()

    def judge() -> bool:
        assert is_resumed.wait(10)
        return streaks.judge(version.pk)

    assert race(resume, judge) == [None, False]
    assert fresh(workflow).status == "active"


def test_given_a_failure_that_commits_while_others_are_counted_then_it_is_counted_later(
    bellboy: Bellboy,
) -> None:
    """What is marked as counted was counted: the last failure of a row must not be marked unseen."""
    workflow = a_telling_workflow(pause_after_failures=2)
    runs_of(bellboy, workflow, BROKEN)
    version = active_version_of(workflow)
    is_locked, has_failed = threading.Event(), threading.Event()

    def judge() -> bool:
        with transaction.atomic():
            Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)
            is_locked.set()
            assert has_failed.wait(10)
            return streaks.judge(version.pk)

    def fail() -> None:
        assert is_locked.wait(10)
        runs_of(bellboy, workflow, BROKEN)  # no run waits for its workflow's lock
        has_failed.set()

    assert race(judge, fail) == [True, None]


def test_a_workflow_without_the_setting_is_never_paused(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url)
    runs_of(bellboy, workflow, *[BROKEN] * 5)
    outgoing.send_due()

    assert fresh(workflow).status == "active"


def test_runs_that_nobody_counts_are_in_no_index(bellboy: Bellboy) -> None:
    quiet: Any = a_telling_workflow()
    run = a_run(nap(), workflow=quiet)

    assert not run.in_streak
