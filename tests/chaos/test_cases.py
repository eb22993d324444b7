"""The harness sees a walk that was none: stops without zombies, hits that are missing or late, unknown senders."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.chaos import cases
from tests.chaos.books import Books
from tests.chaos.cases import Case, Hit
from tests.chaos.fences import Told
from tests.chaos.judging import are_too_many_unknown
from tests.chaos.sink import HOST, Sink

ZOMBIE = 11


def case(*hits: Hit, point: str = "CP-S4", action: str = "stop") -> Case:
    return Case(point, action, wanted=1, patience=30.0, hits=[*hits])


def stop(*, is_woken: bool | None = True, seconds: float | None = 12.0, own: float = 12.0) -> Hit:
    return Hit("CP-S4", "stop", ZOMBIE, 100.0, seconds, own, is_woken)


TAKEN = Told(taken={(ZOMBIE, 100.0): 3})


def test_given_a_stopped_process_that_lost_its_steps_and_was_woken_then_all_is_well() -> None:
    assert case(stop()).problem(TAKEN) == ""
    assert case(stop()).taken_over(TAKEN) == 3


def test_given_a_stopped_process_that_was_gone_when_it_was_to_be_woken_then_the_hit_does_not_count() -> None:
    gone = case(stop(is_woken=False))

    assert gone.to_repeat == 1
    assert gone.problem(TAKEN) == "hit 0 of 1 times, 1 more were gone before they could be woken"

    gone.hits.append(stop())
    assert gone.to_repeat == 0
    assert gone.problem(TAKEN) == ""


@pytest.mark.parametrize("point", cases.HOLDING)
def test_given_steps_that_nobody_took_from_a_stopped_process_then_it_was_no_zombie(point: str) -> None:
    elsewhere = Told(taken={(ZOMBIE, 50.0): 3})

    assert "no zombies" in case(stop(), point=point).problem(elsewhere)
    assert case(stop(), point="CP-W1").problem(elsewhere) == ""


def test_given_a_death_then_nobody_is_waited_for_to_wake() -> None:
    assert case(Hit("CP-S4", "kill", ZOMBIE, 100.0, 3.0, 3.0), action="kill").problem(Told()) == ""
    assert case(action="kill").problem(Told()) == "hit 0 of 1 times"


def test_given_what_was_over_in_time_only_by_our_own_clock_then_it_is_called_late() -> None:
    assert case(stop(seconds=31.0, own=12.0)).late
    assert not case(stop(seconds=29.0, own=12.0)).late
    assert case(stop(seconds=None)).problem(TAKEN) == "1 not over in 30 s"


def test_the_report_tells_of_each_point_how_many_were_stopped_woken_and_robbed() -> None:
    gone = Hit("CP-S4", "stop", ZOMBIE, 200.0, 1.0, 1.0, is_woken=False)
    (_, line) = cases.zombies([case(stop(), gone), case(action="kill")], TAKEN)

    assert line.split() == ["CP-S4", "2", "1", "3"]


@pytest.mark.parametrize(
    ("unknown", "requests", "too_many"),
    [(20, 30, False), (21, 30, True), (50, 1000, False), (51, 1000, True)],
)
def test_given_requests_of_unknown_senders_then_only_a_few_are_let_pass(
    unknown: int, requests: int, *, too_many: bool
) -> None:
    assert are_too_many_unknown(unknown, requests) is too_many


def test_given_many_connections_at_once_then_each_request_is_answered_once_its_sender_is_known() -> None:
    books = Books()
    sink = Sink(books, seed=1)
    request = b'POST /plain/ok HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 26\r\n\r\n{"number": 1, "step": "x"}'

    async def call() -> None:
        reader, writer = await asyncio.open_connection(HOST, sink.port)
        writer.write(request)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()

    async def play() -> None:
        async with await sink.listen():
            await asyncio.gather(*[call() for _ in range(40)])

    asyncio.run(play())

    peers = [arrival.peer for arrival in books.arrivals]
    assert len(peers) == 40
    assert {peer.pid for peer in peers if peer} == {os.getpid()}
