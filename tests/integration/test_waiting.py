"""`?wait=SECONDS`: the result of a run for whoever stays, without a connection, and never in the way of others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.test import RequestFactory

from executions import awaited
from executions import services as executions
from executions.models import Run
from lightfield.kernel import sql, stopping
from tests.api_client import ApiCaller, code_of
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.integration.test_webhook import address_of, answered, assert_problem, told
from triggers import waiting
from triggers.models import OutboxEvent
from triggers.waiting import Ended
from workflows import services

pytestmark = pytest.mark.django_db(transaction=True)

SAYS = {"key": "said", "type": "log", "config": {"message": "{{ trigger.name }}"}}
FAILS = {"key": "failed", "type": "log", "config": {"message": "{{ trigger.missing }}"}}


def post(address: str, wait: str = "20", body: Any = b'{"name": "Ada"}', **headers: Any) -> Any:
    query = f"?wait={wait}" if wait else ""
    return answered(
        RequestFactory().post(f"{address}{query}", body, content_type="application/json", headers=headers)
    )


@pytest.fixture
def hook() -> str:
    return address_of(a_published_workflow(steps=[SAYS]))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Each look of a waiter at the rows."""
    made: list[UUID] = []
    real = waiting._looks[0]

    def look(event_id: UUID) -> Ended | None:
        made.append(event_id)
        return real(event_id)

    monkeypatch.setattr(waiting, "_looks", [look])
    return made


@pytest.fixture
def at_the_first_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Do something when the first waiter has looked once and found nothing."""

    def arrange(deed: Callable[[], None]) -> None:
        real, done = waiting._looks[0], threading.Event()

        def look(event_id: UUID) -> Ended | None:
            ended = real(event_id)
            if ended is None and not done.is_set():
                done.set()
                deed()
            return ended

        monkeypatch.setattr(waiting, "_looks", [look])

    return arrange


def test_given_a_run_that_ends_meanwhile_then_its_result_is_the_answer(hook, bellboy, at_the_first_look):
    at_the_first_look(bellboy.answer_all)

    answer = post(hook)

    run = Run.objects.get()
    assert answer.status_code == 200
    assert told(answer) == {
        "event_id": str(run.event_id),
        "duplicate": False,
        "run_id": str(run.pk),
        "status": "completed",
        "output": {"message": "Ada"},
        "error": None,
    }


def test_given_a_run_that_fails_then_code_and_message_and_the_last_output_are_told(
    bellboy, at_the_first_look
):
    hook = address_of(a_published_workflow(steps=[SAYS, FAILS]))
    at_the_first_look(bellboy.answer_all)

    answer = told(post(hook))

    assert (answer["status"], answer["output"]) == ("failed", {"message": "Ada"})
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["code"] == "template.unresolved"


def test_given_a_run_that_is_cancelled_then_it_has_ended(bellboy, at_the_first_look):
    hook = address_of(a_published_workflow(steps=[{"key": "s", "type": "sleep", "config": {"seconds": 900}}]))

    def cancel() -> None:
        bellboy.answer_all()
        executions.cancel_run(run_id=Run.objects.get().pk, by=BY)

    at_the_first_look(cancel)

    answer = told(post(hook))

    assert (answer["status"], answer["output"]) == ("cancelled", None)


def test_given_an_event_that_gets_no_run_then_nobody_waits_for_one(bellboy, at_the_first_look):
    workflow = a_published_workflow(steps=[SAYS])

    def archive() -> None:
        services.archive(workflow_id=workflow.pk, by=BY)
        bellboy.answer_all()

    at_the_first_look(archive)

    answer = told(post(address_of(workflow)))

    assert (answer["status"], answer["run_id"]) == ("ignored", None)
    assert answer["error"]["code"] == "workflow.archived"


def test_given_a_run_that_does_not_end_in_time_then_the_usual_answer(hook, looks):
    answer = post(hook, "0.05")

    assert answer.status_code == 202
    assert told(answer) == {"event_id": str(OutboxEvent.objects.get().pk), "duplicate": False}
    assert looks


def test_whoever_waits_costs_the_engine_no_message(hook, bellboy, at_the_first_look):
    post(hook, "")
    bellboy.answer_all()
    unawaited = bellboy.names()
    bellboy.rung.clear()
    at_the_first_look(bellboy.answer_all)

    assert post(hook).status_code == 200
    assert bellboy.names() == unawaited


def test_without_wait_and_with_none_nobody_looks(hook, looks):
    assert [post(hook, "").status_code, post(hook, "0").status_code] == [202, 202]
    assert looks == []


def test_a_repetition_waits_for_the_first_events_run(hook, bellboy):
    key = {"Idempotency-Key": "k-1"}
    first = told(post(hook, "", **key))
    bellboy.answer_all()

    again = post(hook, **key)

    assert again.status_code == 200
    assert (told(again)["event_id"], told(again)["duplicate"]) == (first["event_id"], True)
    assert told(again)["output"] == {"message": "Ada"}
    assert_problem(post(hook, body=b"[]", **key), 409, "idempotency.body_mismatch")


def test_of_a_replayed_event_the_newest_run_is_told(bellboy):
    hook = address_of(a_published_workflow(steps=[FAILS]))
    key = {"Idempotency-Key": "k-1"}
    post(hook, "", **key)
    bellboy.answer_all()
    replay = executions.replay_run(run_id=Run.objects.get().pk, by=BY)
    bellboy.answer_all()

    assert told(post(hook, **key))["run_id"] == str(replay.pk)


@pytest.mark.parametrize(
    "wait", ["-1", "26", "25.1", "1e1", "nan", "inf", " 5", "5s", "", "0x1", "5&wait=5", "٥", "1.2345"]
)
def test_a_wait_that_is_no_number_of_seconds_is_refused_everywhere_and_leaves_nothing(hook, wait):
    query = wait or " "
    answers = [post(address, query) for address in (hook, "/hooks/unknown")]

    for answer in answers:
        assert_problem(answer, 400, "request.invalid")
        assert told(answer)["errors"][0]["pointer"] == "/wait"
    assert answers[0].content == answers[1].content
    assert not OutboxEvent.objects.exists()


def test_other_parameters_are_the_senders_business(hook, looks):
    many = "&".join(["a"] * 1500)
    request = RequestFactory().post(f"{hook}?{many}", b"{}", content_type="application/json")

    assert answered(request).status_code == 202
    assert looks == []


def test_a_waiter_holds_no_connection_between_its_looks(hook, monkeypatch):
    held: list[bool] = []
    monkeypatch.setattr(
        waiting, "has_hung_up", lambda client, seconds: held.append(connection.connection is not None)
    )

    assert post(hook, "0.05").status_code == 202
    assert held
    assert not any(held)


def test_inside_a_transaction_nobody_waits(hook):
    event_id = UUID(told(post(hook, ""))["event_id"])

    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        waiting.until_ended(event_id, 1)


def test_given_all_places_taken_then_the_next_is_answered_at_once(hook, settings, bellboy, looks):
    settings.LIGHTFIELD_WAITERS = 2
    entered, leave = threading.Barrier(3), threading.Event()
    real = waiting._looks[0]

    def stay(event_id: UUID) -> Ended | None:
        if not leave.is_set():
            entered.wait(10)
            leave.wait(10)
        return real(event_id)

    waiting._looks[0] = stay

    def come_third() -> Any:
        entered.wait(10)
        bellboy.answer_all()
        answer = post(hook)
        leave.set()
        return answer.status_code

    first, second, third = race(
        lambda: post(hook).status_code, lambda: post(hook, body=b'{"name": "Bo"}').status_code, come_third
    )

    assert third == 202
    assert {first, second} <= {200}
    assert waiting.places.taken == 0


def test_given_a_process_that_is_told_to_end_then_waits_end_with_the_usual_answer(
    hook, monkeypatch, at_the_first_look
):
    monkeypatch.setattr(stopping, "_is_requested", False)
    at_the_first_look(stopping.request)

    began = time.monotonic()
    assert post(hook, "25").status_code == 202
    assert time.monotonic() - began < 20  # far from the 25 s it would have stayed


@pytest.mark.parametrize("how", [socket.SHUT_WR, socket.SHUT_RDWR])
def test_given_a_caller_that_hangs_up_then_its_thread_is_free_again(hook, at_the_first_look, how):
    client, server = socket.socketpair()
    with client, server:
        at_the_first_look(lambda: client.shutdown(how))
        request = RequestFactory().post(f"{hook}?wait=25", b"{}", content_type="application/json")
        request.META["gunicorn.socket"] = server

        began = time.monotonic()
        assert answered(request).status_code == 202
        assert time.monotonic() - began < 20
    assert waiting.places.taken == 0


def test_what_a_caller_sends_meanwhile_is_not_taken_for_hanging_up_nor_read():
    client, server = socket.socketpair()
    with client, server:
        client.sendall(b"POST /next")
        assert not waiting.has_hung_up(server, 0.01)
        assert server.recv(100) == b"POST /next"


@pytest.mark.parametrize("error", [OperationalError, ProgrammingError, OSError])
def test_given_a_look_that_fails_then_the_event_is_accepted_all_the_same(hook, monkeypatch, error):
    def fails(_: UUID) -> Ended | None:
        raise error("gone")

    monkeypatch.setattr(waiting, "_looks", [fails])

    assert post(hook, "0.05").status_code == 202


def test_a_look_is_one_statement_until_the_run_has_ended(hook, monkeypatch):
    asked: list[str] = []
    rows = sql.rows

    def counted(statement: str, params: Any) -> Any:
        asked.append(statement)
        return rows(statement, params)

    monkeypatch.setattr(sql, "rows", counted)
    event_id = UUID(told(post(hook, ""))["event_id"])
    asked.clear()

    assert awaited.ended(event_id) is None
    assert len(asked) == 1


def test_a_run_by_hand_can_be_waited_for(bellboy, at_the_first_look):
    path = f"/workflows/{a_published_workflow(steps=[SAYS]).pk}/run?wait=20"
    api = ApiCaller()
    at_the_first_look(bellboy.answer_all)

    first = api.post(path, {"name": "Ada"}, idempotency_key="k-1")
    again = api.post(path, {"name": "Ada"}, idempotency_key="k-1")

    assert first.status_code == again.status_code == 200
    assert first.json()["output"] == {"message": "Ada"}
    assert again.json() == {**first.json(), "duplicate": True}


@pytest.mark.parametrize("wait", ["x", "26"])
def test_a_run_by_hand_refuses_a_wait_that_is_no_number(wait):
    workflow = a_published_workflow(steps=[SAYS])

    answer = ApiCaller().post(f"/workflows/{workflow.pk}/run?wait={wait}", {})

    assert code_of(answer) == (400, "request.invalid")
    assert not OutboxEvent.objects.exists()
