"""The harness can see what it looks for: planted deeds of zombies are found."""

from __future__ import annotations

import pytest

from tests.chaos.books import Arrival, Peer, Zombie
from tests.chaos.fences import Log, Write, seconds_to_reclaim, sent_after_waking

ZOMBIE, HEIR, WEB = 11, 22, 33
STEP = 7


def wrote(
    at: float, pid: int, fences: tuple[int | None, int], statuses: tuple[str | None, str], **more: object
) -> Write:
    told: dict[str, object] = {"tx": f"{at}", "what": "step", "lane": "http", "is_let_go": False, **more}
    return Write(
        at=at,
        pid=pid,
        step_run_id=STEP,
        fence_was=fences[0],
        fence=fences[1],
        status_was=statuses[0],
        status=statuses[1],
        **told,  # type: ignore[arg-type]
    )


CLAIM = wrote(1, ZOMBIE, (0, 1), ("queued", "running"))
RENEWAL = wrote(2, ZOMBIE, (1, 1), ("running", "running"))
TAKEN_OVER = wrote(10, HEIR, (1, 2), ("running", "running"))
SETTLED = wrote(12, HEIR, (2, 2), ("running", "completed"))


def test_given_a_step_that_changes_hands_by_its_fence_then_no_write_is_a_stray() -> None:
    retried = wrote(12, HEIR, (2, 2), ("running", "waiting"))
    admitted = wrote(13, WEB, (2, 2), ("waiting", "queued"))

    assert Log([CLAIM, RENEWAL, TAKEN_OVER, retried, admitted]).strays == []


@pytest.mark.parametrize("status", ["running", "failed"])
def test_given_a_step_taken_or_given_up_under_a_live_lease_then_it_is_a_stray(status: str) -> None:
    robbed = wrote(4, HEIR, (1, 2), ("running", status), is_taken_alive=True)

    assert Log([CLAIM, RENEWAL, robbed]).strays == [robbed]


@pytest.mark.parametrize("status", ["running", "completed", "waiting"])
def test_given_a_write_under_somebody_elses_fence_then_it_is_a_stray(status: str) -> None:
    late = wrote(14, ZOMBIE, (2, 2), ("running", status))

    assert Log([CLAIM, TAKEN_OVER, late]).strays == [late]


def test_given_a_write_to_a_step_that_has_ended_then_it_is_a_stray_even_of_its_last_holder() -> None:
    late = wrote(14, HEIR, (2, 2), ("completed", "running"))

    assert Log([CLAIM, TAKEN_OVER, SETTLED, late]).strays == [late]


def test_given_an_attempt_written_without_its_step_then_it_is_a_stray() -> None:
    late = wrote(14, ZOMBIE, (2, 1), ("running", "ok"), what="attempt")
    with_its_step = wrote(12, HEIR, (2, 2), ("completed", "ok"), what="attempt")

    assert Log([CLAIM, TAKEN_OVER, SETTLED, with_its_step, late]).strays == [late]


def test_given_an_ended_step_then_its_effect_may_be_decided_by_anybody_and_not_before() -> None:
    ended = wrote(12, WEB, (1, 2), ("running", "cancelled"))
    truth = wrote(14, ZOMBIE, (2, 1), ("cancelled", "done"), what="effect")
    too_soon = wrote(11, ZOMBIE, (1, 1), ("running", "done"), what="effect")

    assert Log([CLAIM, too_soon, ended, truth]).strays == [too_soon]


def test_given_the_lease_of_a_dead_cell_when_its_parent_ends_it_then_it_is_no_stray() -> None:
    assert Log([CLAIM, wrote(3, HEIR, (1, 1), ("running", "running"), is_let_go=True)]).strays == []


def test_given_a_death_then_the_time_until_others_had_its_steps_is_told() -> None:
    assert seconds_to_reclaim(Log([CLAIM, TAKEN_OVER]), [(ZOMBIE, 3.0)]) == [7.0]
    assert seconds_to_reclaim(Log([CLAIM, TAKEN_OVER]), [(ZOMBIE, 11.0), (HEIR, 3.0)]) == []


@pytest.mark.parametrize(
    ("at", "found"), [(4.0, 0), (13.5, 1), (99.0, 0)], ids=["before", "after", "other process"]
)
def test_given_a_request_of_a_woken_process_under_a_step_it_lost_then_it_is_found(
    at: float, found: int
) -> None:
    zombie = Zombie(ZOMBIE, stopped_at=3, woken_at=13, last_at=90)
    arrival = Arrival(at, "key", "digest", "1:once", honours_keys=True, peer=Peer(1, ZOMBIE))
    log = Log([CLAIM, TAKEN_OVER])

    mine = [held for held in log.holdings if held.pid == ZOMBIE]
    assert len(sent_after_waking(zombie, mine, [arrival], {"key": [STEP]})) == found
