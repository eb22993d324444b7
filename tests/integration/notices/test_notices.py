"""A failed run is told: captured with the failure, sent at least once, and nothing else fails by it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from executions import ending, services, sweeper
from executions.models import Run
from executions.notices import outgoing
from executions.notices.models import Notice, NoticeMessage
from executions.states import RunStatus
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.failing import BROKEN, FINE, a_telling_workflow, let_notices_be_due, runs_of, statuses
from tests.mail_server import MailServer
from tests.servers import Server, a_server, answering, http
from tests.signing import SECRETS, signed
from tests.staging import a_run, nap
from workflows import services as workflow_services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def test_a_failure_is_told_by_webhook_and_by_mail(
    bellboy: Bellboy, receiver: Server, mail: MailServer, settings: Any
) -> None:
    settings.LIGHTFIELD_PUBLIC_URL = "https://lf.example.com/"
    workflow = a_telling_workflow(receiver.url, email=["ops@example.com", "two@example.com"], name="Sign\nup")
    (run,) = runs_of(bellboy, workflow, BROKEN)

    assert sweeper.sweep().has_notices_due
    bellboy.answer_all()

    assert sorted(statuses()) == [("email", "sent", None), ("webhook", "sent", None)]
    (request,) = receiver.requests
    told = json.loads(request.body)
    assert told["type"] == "run.failed"
    assert told["text"] == "Sign up: a run failed at say with template.unresolved."
    assert told["data"]["workflow"] == {
        "id": str(workflow.pk),
        "name": "Sign\nup",
        "version": 1,
        "url": f"https://lf.example.com{reverse('admin:workflows_workflow_change', args=[workflow.pk])}",
    }
    (shown,) = told["data"]["runs"]
    assert (shown["id"], shown["trace_id"], shown["step"]) == (str(run.pk), run.trace_id, "say")
    assert shown["error"]["code"] == "template.unresolved"
    assert shown["url"] == f"https://lf.example.com{reverse('admin:executions_run_change', args=[run.pk])}"
    assert (told["data"]["failed_runs"], told["data"]["failures_in_a_row"]) == (1, 1)

    ((recipients, message),) = mail.taken
    assert recipients == ["ops@example.com", "two@example.com"]
    assert message["Subject"] == "[Lightfield] Sign up: a run failed at say with template.unresolved."
    assert message["Message-ID"] == f"<{NoticeMessage.objects.get(channel='email').pk}@example.com>"
    assert str(run.pk) in str(message.get_payload())


def test_a_run_that_completes_or_is_cancelled_tells_nobody(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url)
    runs_of(bellboy, workflow, FINE)
    services.cancel_run(run_id=a_run(workflow=workflow, payload=BROKEN).pk, by="somebody")

    assert not sweeper.sweep().has_notices_due
    assert Notice.objects.count() == 0


def test_a_run_that_ran_out_of_time_is_told_too(bellboy: Bellboy, receiver: Server) -> None:
    run = a_run(workflow=a_telling_workflow(receiver.url), payload=FINE)
    Run.objects.update(deadline_at="2000-01-01T00:00:00Z")
    ending.end_run(str(run.pk), status=RunStatus.FAILED, metadata={})

    outgoing.send_due()

    (shown,) = json.loads(receiver.requests[0].body)["data"]["runs"]
    assert shown["error"]["code"] == "run.timeout"


def test_a_replay_that_fails_is_told_again_and_a_test_never(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url)
    (run,) = runs_of(bellboy, workflow, BROKEN)
    replay = services.replay_run(run_id=run.pk, by="somebody")
    bellboy.answer_all(but=lambda bell: bell.task == "executions.send_notices")
    version = workflow_services.snapshot_draft(workflow_id=workflow.pk, by="somebody")
    test = a_run(workflow=workflow, payload=BROKEN, version=version, source="test")
    bellboy.answer_all(but=lambda bell: bell.task == "executions.send_notices")

    told = {notice.run_id for notice in Notice.objects.all()}
    assert told == {run.pk, replay.pk}
    assert (Run.objects.get(pk=replay.pk).in_streak, Run.objects.get(pk=test.pk).in_streak) == (True, False)


def test_given_a_failure_that_is_rolled_back_then_nothing_is_told(bellboy: Bellboy, receiver: Server) -> None:
    run = a_run(workflow=a_telling_workflow(receiver.url))
    Run.objects.update(deadline_at="2000-01-01T00:00:00Z")

    with transaction.atomic():
        ending.end_run(str(run.pk), status=RunStatus.FAILED, metadata={})
        assert Notice.objects.count() == 1
        transaction.set_rollback(True)

    assert Notice.objects.count() == 0


def test_a_run_tells_of_its_own_version(bellboy: Bellboy, receiver: Server) -> None:
    """What was published later is not what the run was started with."""
    workflow = a_telling_workflow(receiver.url)
    run = a_run(nap(), workflow=workflow, payload=BROKEN)
    workflow_services.update_draft(workflow_id=workflow.pk, changes={"settings": {}}, by="somebody")
    workflow_services.publish(workflow_id=workflow.pk, by="somebody")
    Run.objects.filter(pk=run.pk).update(deadline_at="2000-01-01T00:00:00Z")
    ending.end_run(str(run.pk), status=RunStatus.FAILED, metadata={})

    outgoing.send_due()

    assert len(receiver.requests) == 1


def test_a_secret_signs_what_is_sent(bellboy: Bellboy, receiver: Server) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url, secret=SECRETS["standard"]), BROKEN)

    outgoing.send_due()

    (request,) = receiver.requests
    at, message_id = float(request.headers["webhook-timestamp"]), request.headers["webhook-id"]
    assert message_id == str(NoticeMessage.objects.get().pk)
    expected = signed("standard", request.body, at=at, id=message_id)
    assert request.headers["webhook-signature"] == expected["webhook-signature"]


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "302 Found", "429 Slow down"])
def test_given_a_refusal_then_the_same_message_comes_again_later(bellboy: Bellboy, status: str) -> None:
    with a_server(answering(http(status, b"no", location="/"), http())) as server:
        runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        outgoing.send_due()
        assert statuses() == [("webhook", "pending", "notice.refused")]
        assert not outgoing.is_due()

        let_notices_be_due()
        outgoing.send_due()

    first, second = server.requests
    assert statuses() == [("webhook", "sent", None)]
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert NoticeMessage.objects.get().attempts == 2


def test_given_410_or_an_address_that_steps_may_not_reach_then_it_is_not_tried_again(
    bellboy: Bellboy, settings: Any
) -> None:
    with a_server(answering(http("410 Gone"))) as server:
        runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        outgoing.send_due()
        settings.LIGHTFIELD_EGRESS_ALLOW = ""
        runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        outgoing.send_due()

    assert statuses() == [
        ("webhook", "failed", "notice.refused"),
        ("webhook", "failed", "egress.denied_port"),
    ]
    assert len(server.requests) == 1


def test_after_twelve_tries_it_is_given_up_and_the_run_shows_it(bellboy: Bellboy) -> None:
    with a_server(answering(http("503 Away", retry_after="7200"))) as server:
        (run,) = runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        for _ in range(14):
            outgoing.send_due()
            let_notices_be_due()

    assert len(server.requests) == 12
    assert statuses() == [("webhook", "failed", "notice.refused")]
    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "template.unresolved")


def test_a_receiver_may_ask_for_an_hour_and_no_more(bellboy: Bellboy) -> None:
    with a_server(answering(http("503 Away", retry_after="86400"))) as server:
        runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        outgoing.send_due()

    wait = sql.row("SELECT extract(epoch FROM due_at - clock_timestamp()) FROM executions_noticemessage", {})
    assert wait is not None
    assert 3590 < wait[0] <= 3600


@pytest.mark.parametrize(
    ("says", "status", "code"),
    [
        ({"RCPT": "550 nobody here"}, "failed", "notice.email_refused"),
        ({"TAKE": "554 spam"}, "failed", "notice.email_refused"),
        ({"MAIL": "451 later"}, "pending", "notice.email_failed"),
        ({"RCPT": "450 later"}, "pending", "notice.email_failed"),
    ],
)
def test_what_a_mail_server_says_decides(
    bellboy: Bellboy, mail: MailServer, says: dict[str, str], status: str, code: str
) -> None:
    runs_of(bellboy, a_telling_workflow(email=["ops@example.com"]), BROKEN)
    mail.says = says

    outgoing.send_due()

    assert statuses() == [("email", status, code)]


def test_given_no_mail_server_that_answers_then_it_is_tried_again(bellboy: Bellboy, mail: MailServer) -> None:
    runs_of(bellboy, a_telling_workflow(email=["ops@example.com"]), BROKEN)
    mail.stop()

    outgoing.send_due()

    assert statuses() == [("email", "pending", "notice.email_failed")]


def test_given_a_workflow_whose_notices_cannot_be_gathered_then_the_others_are(
    bellboy: Bellboy, receiver: Server
) -> None:
    broken, sound = a_telling_workflow(receiver.url), a_telling_workflow(receiver.url)
    runs_of(bellboy, broken, BROKEN)
    runs_of(bellboy, sound, BROKEN)
    sql.rows("ALTER TABLE workflows_workflowversion DISABLE TRIGGER USER", {})
    sql.rows(
        "UPDATE workflows_workflowversion SET definition = '{}' WHERE workflow_id = %(id)s::uuid",
        {"id": str(broken.pk)},
    )
    sql.rows("ALTER TABLE workflows_workflowversion ENABLE TRIGGER USER", {})

    outgoing.send_due()

    (request,) = receiver.requests
    assert json.loads(request.body)["data"]["workflow"]["id"] == str(sound.pk)


def test_a_forged_or_doubled_message_sends_nothing_twice(bellboy: Bellboy, receiver: Server) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)

    for _ in range(3):
        outgoing.send_due()

    assert len(receiver.requests) == 1


def test_given_a_mail_backend_that_is_not_there_then_it_is_tried_again_and_says_so(
    bellboy: Bellboy, mail: MailServer, settings: Any
) -> None:
    workflow = a_telling_workflow(None, email=["ops@example.com"])
    runs_of(bellboy, workflow, BROKEN)
    settings.EMAIL_BACKEND = "tests.nowhere.Backend"

    outgoing.send_due()

    assert statuses() == [("email", "pending", "notice.unexpected")]
