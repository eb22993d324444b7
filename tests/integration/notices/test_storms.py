"""A workflow that fails ten thousand times in a minute does not send ten thousand messages."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from executions import sweeper
from executions.notices import gathering, outgoing
from executions.notices.models import Notice, NoticeMessage
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.failing import BROKEN, FINE, a_telling_workflow, let_notices_be_due, runs_of, statuses
from tests.mail_server import MailServer
from tests.servers import Server, Visit, a_server, http

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


def told(server: Server) -> list[tuple[int, int]]:
    """Of each message: how many failed runs it tells of, and how many of them one by one."""
    bodies = [json.loads(request.body)["data"] for request in server.requests]
    return [(body["failed_runs"], len(body["runs"])) for body in bodies]


def test_the_first_failure_is_told_at_once_and_the_next_together(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url, every_seconds=600)
    runs_of(bellboy, workflow, BROKEN)
    outgoing.send_due()
    runs_of(bellboy, workflow, *[BROKEN] * 25)
    outgoing.send_due()
    assert not sweeper.sweep().has_notices_due
    assert told(receiver) == [(1, 1)]

    let_notices_be_due()
    assert sweeper.sweep().has_notices_due
    outgoing.send_due()

    assert told(receiver) == [(1, 1), (25, 20)]


def test_ten_thousand_failures_are_two_messages_by_each_channel(
    bellboy: Bellboy, receiver: Server, mail: MailServer
) -> None:
    workflow = a_telling_workflow(receiver.url, email=["ops@example.com"])
    (run,) = runs_of(bellboy, workflow, BROKEN)
    outgoing.send_due()
    sql.rows(  # rows as the failures would have left them
        """
        WITH e AS (
          INSERT INTO triggers_outboxevent (id, trigger_id, workflow_id, version_id, source, payload, shard, trace_id, depth,
            status, tries, decided_at)
          SELECT uuid_v7(), trigger_id, workflow_id, version_id, source, payload, shard, trace_id, 0, 'dispatched', 0,
            clock_timestamp()
          FROM triggers_outboxevent, generate_series(1, 10000) RETURNING id),
        r AS (
          INSERT INTO executions_run (id, event_id, generation, workflow_id, version_id, status, seq, last_at, trace_id,
            error_code, error, created_at, finished_at, in_streak)
          SELECT uuid_v7(), e.id, 1, r.workflow_id, r.version_id, 'failed', 0, r.last_at, r.trace_id, r.error_code, r.error,
            r.created_at, clock_timestamp(), true
          FROM e, executions_run r RETURNING id, workflow_id, version_id, finished_at)
        INSERT INTO executions_notice (run_id, workflow_id, version_id, channel, at)
        SELECT r.id, workflow_id, version_id, channel, finished_at FROM r, unnest(ARRAY['webhook', 'email']) channel""",
        {},
    )
    try:
        for _ in range(3):
            let_notices_be_due()
            outgoing.send_due()

        assert told(receiver) == [(1, 1), (10_000, 20)]
        assert json.loads(receiver.requests[1].body)["data"]["failures_in_a_row"] == 1000
        assert len(receiver.requests[1].body) < 20_000
        assert len(mail.taken) == 2
        assert "And 9,980 runs more." in str(mail.taken[1][1].get_payload())
        assert Notice.objects.filter(handled_at=None).count() == 0
    finally:  # such runs have no steps and no timeline, which no promise allows
        sql.rows("DELETE FROM executions_notice WHERE run_id <> %(id)s::uuid", {"id": str(run.pk)})
        sql.rows("DELETE FROM executions_run WHERE id <> %(id)s::uuid", {"id": str(run.pk)})
        sql.rows("DELETE FROM triggers_outboxevent WHERE id <> %(id)s::uuid", {"id": str(run.event_id)})


def test_given_eight_who_gather_at_once_then_there_is_one_message(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url)
    for _ in range(5):
        NoticeMessage.objects.update(created_at="2000-01-01T00:00:00Z")
        runs_of(bellboy, workflow, BROKEN, BROKEN)
        before = NoticeMessage.objects.count()

        assert sum(race(*[gathering.gather] * 8)) == 1

        assert NoticeMessage.objects.count() == before + 1
        assert list(NoticeMessage.objects.order_by("-id")[:1].values_list("runs", flat=True)) == [2]
        outgoing.send_due()


def test_given_eight_who_send_at_once_then_each_message_leaves_once(
    bellboy: Bellboy, receiver: Server
) -> None:
    for _ in range(6):
        runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)

    race(*[outgoing.send_due] * 8)
    outgoing.send_due()

    assert len(receiver.requests) == 6
    assert {status for _, status, _ in statuses()} == {"sent"}


def test_no_more_are_being_sent_at_once_than_the_setting_says(bellboy: Bellboy, settings: Any) -> None:
    """A receiver that does not answer holds so many threads of the http workers and no more."""
    settings.LIGHTFIELD_NOTICE_SENDERS = 2
    may_answer, all_there = threading.Event(), threading.Barrier(3)

    def script(visit: Visit) -> None:
        while visit.receive() is not None:
            all_there.wait(10)
            may_answer.wait(10)
            visit.send(http())

    with a_server(script) as slow:
        for _ in range(3):
            runs_of(bellboy, a_telling_workflow(slow.url), BROKEN)
        gathering.gather()

        def another() -> Any:
            all_there.wait(10)
            try:
                return outgoing.take()
            finally:
                NoticeMessage.objects.filter(attempts=0).update(due_at="9999-01-01T00:00:00Z")
                may_answer.set()

        def one() -> None:
            message = outgoing.take()
            assert message is not None
            outgoing.send(message)

        assert race(one, one, another) == [None, None, None]
        assert NoticeMessage.objects.filter(attempts=0).count() == 1


def test_given_a_message_that_is_being_tried_for_long_then_a_new_one_goes_first(
    bellboy: Bellboy, receiver: Server
) -> None:
    old, new = a_telling_workflow(receiver.url), a_telling_workflow(receiver.url)
    runs_of(bellboy, old, BROKEN)
    gathering.gather()
    NoticeMessage.objects.update(attempts=7, due_at="2000-01-01T00:00:00Z")
    runs_of(bellboy, new, BROKEN)

    outgoing.send_due()

    order = [json.loads(request.body)["data"]["workflow"]["id"] for request in receiver.requests]
    assert order == [str(new.pk), str(old.pk)]


def test_a_completed_run_ends_the_row_that_is_told(bellboy: Bellboy, receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url)
    runs_of(bellboy, workflow, BROKEN, BROKEN, FINE, BROKEN)

    outgoing.send_due()

    data = json.loads(receiver.requests[0].body)["data"]
    assert (data["failed_runs"], data["failures_in_a_row"]) == (3, 1)
