"""Whoever tells of failures dies by SIGKILL while at it: everything is told, nothing is paused twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from django.db import connection

from executions import sweeper
from executions.notices import gathering, outgoing
from executions.notices.models import Notice, NoticeMessage
from lightfield.access.models import AuditEntry
from tests.bellboy import Bellboy
from tests.concurrency import wait_until_alone
from tests.dying import BEFORE_COMMIT, Mortals, mortals
from tests.failing import BROKEN, a_telling_workflow, let_notices_be_due, runs_of, statuses
from tests.servers import Server
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


@pytest.mark.parametrize("point", ["CP-N1", BEFORE_COMMIT])
def test_given_a_death_before_a_message_is_committed_then_the_notice_is_open_as_before(
    bellboy: Bellboy, receiver: Server, mortal: Mortals, point: str
) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)

    assert mortal.do("tell", "", point=point) == KILLED
    wait_until_alone()

    assert (Notice.objects.get().handled_at, NoticeMessage.objects.count()) == (None, 0)
    assert sweeper.sweep().has_notices_due
    bellboy.answer_all()
    assert statuses() == [("webhook", "sent", None)]
    assert len(receiver.requests) == 1


def test_given_a_death_right_after_the_receiver_took_it_then_the_same_message_comes_again(
    bellboy: Bellboy, receiver: Server, mortal: Mortals
) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)

    assert mortal.do("tell", "", point="CP-N2") == KILLED

    assert not sweeper.sweep().has_notices_due, "its lease is not over"
    let_notices_be_due()
    assert sweeper.sweep().has_notices_due
    bellboy.answer_all()
    first, second = receiver.requests
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert statuses() == [("webhook", "sent", None)]


@pytest.mark.parametrize("point", ["CP-N3", BEFORE_COMMIT])
def test_given_a_death_while_it_pauses_then_the_workflow_is_paused_whole_and_once(
    bellboy: Bellboy, mortal: Mortals, point: str
) -> None:
    workflow = a_telling_workflow(pause_after_failures=1)
    runs_of(bellboy, workflow, BROKEN)

    assert mortal.do("tell", "", point=point) == KILLED
    wait_until_alone()
    assert Workflow.objects.get(pk=workflow.pk).status == "active"
    outgoing.send_due()
    outgoing.send_due()

    assert Workflow.objects.get(pk=workflow.pk).status == "paused"
    assert AuditEntry.objects.filter(action="workflow.paused").count() == 1


def test_given_a_sender_that_comes_back_after_its_lease_then_its_word_is_not_written(
    bellboy: Bellboy, receiver: Server
) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)
    gathering.gather()
    zombie = outgoing.take()
    assert zombie is not None
    let_notices_be_due()
    heir = outgoing.take()
    assert heir is not None
    outgoing.send(heir)

    assert not outgoing.settle(zombie, None, is_final=True)
    assert NoticeMessage.objects.get().attempts == 2


def test_given_a_message_that_kills_whoever_sends_it_then_it_is_given_up(
    bellboy: Bellboy, receiver: Server
) -> None:
    runs_of(bellboy, a_telling_workflow(receiver.url), BROKEN)
    gathering.gather()
    for _ in range(12):
        assert outgoing.take() is not None  # and never heard of again
        let_notices_be_due()

    outgoing.send_due()

    assert statuses() == [("webhook", "failed", "notice.given_up")]
    assert receiver.requests == []
