"""The keeper renews what this process holds, and knows when it holds it no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from executions import leases, renewals, services
from executions.leases import Hold, Keeper
from executions.models import StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.concurrency import race
from tests.database import no_database
from tests.factories import BY
from tests.staging import a_claimed_step, claim, end_lease

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """One whose thread does not get a turn before the test is over: the tests beat themselves."""
    keeper = Keeper()
    yield keeper
    for held in list(keeper._held.values()):
        keeper.let_go(held)


def hold(keeper: Keeper, step: Any, **more: float) -> Hold:
    given = {"claimed_at": time.monotonic(), "limit_seconds": 60.0, **more}
    return keeper.hold(step.step_run_id, step.fence, **given)


def lease_left(step: Any) -> float:
    row = sql.row(
        "SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 FROM executions_steprun "
        "WHERE id = %(id)s::bigint",
        {"id": step.step_run_id},
    )
    assert row is not None
    return float(row[0])


def test_a_beat_extends_the_lease_in_the_database_and_here(bellboy: Bellboy, keeper: Keeper) -> None:
    step = a_claimed_step()
    held = hold(keeper, step, claimed_at=time.monotonic() - 29)
    end_lease(step.step_run_id)  # over, and nobody has taken it: still ours
    assert not held.may_send()

    keeper.beat()

    assert lease_left(step) > 20
    assert held.may_send()
    assert held.lease_until <= time.monotonic() + 30


def test_given_a_step_taken_over_when_the_keeper_beats_then_its_old_owner_knows(
    bellboy: Bellboy, keeper: Keeper
) -> None:
    step = a_claimed_step()
    held = hold(keeper, step)
    end_lease(step.step_run_id)
    claim(step.step_run_id, worker="heir", in_cell=True)
    end_lease(step.step_run_id)

    keeper.beat()

    assert held.is_lost
    assert not held.may_send()
    assert lease_left(step) < 0  # the heir's lease is not ours to extend


def test_given_a_cancelled_run_when_the_keeper_beats_then_its_owner_knows(
    bellboy: Bellboy, keeper: Keeper
) -> None:
    step = a_claimed_step()
    held = hold(keeper, step)
    services.cancel_run(run_id=step.run_id, by=BY)  # type: ignore[arg-type]

    keeper.beat()

    assert held.is_lost


def test_a_row_that_is_locked_for_a_moment_is_not_lost(bellboy: Bellboy, keeper: Keeper) -> None:
    step, other = a_claimed_step(), a_claimed_step()
    held, free = hold(keeper, step), hold(keeper, other)
    end_lease(other.step_run_id)
    is_locked, may_end = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            StepRun.objects.select_for_update().get(pk=step.step_run_id)
            is_locked.set()
            assert may_end.wait(10)

    def beat() -> None:
        assert is_locked.wait(10)
        keeper.beat()
        may_end.set()

    assert race(holder, beat) == [None, None]
    assert not held.is_lost
    assert not free.is_lost
    assert lease_left(other) > 20


def test_given_no_database_when_the_keeper_beats_then_it_goes_on_and_the_lease_runs_out(
    bellboy: Bellboy, keeper: Keeper
) -> None:
    held = hold(keeper, a_claimed_step(), claimed_at=time.monotonic() - 29)

    with no_database():
        keeper.beat()

    assert not held.is_lost
    assert not held.may_send()
    keeper.beat()
    assert held.may_send()


@pytest.mark.parametrize(("seconds_left", "may_send"), [(4, False), (6, True)])
def test_nothing_is_sent_on_the_last_sixth_of_a_lease(
    bellboy: Bellboy, keeper: Keeper, seconds_left: int, may_send: bool
) -> None:
    """Of 30 s, 5: a request needs a moment to leave, and the lease must not be over before it has."""
    held = hold(keeper, a_claimed_step(), claimed_at=time.monotonic() - 30 + seconds_left)

    assert held.may_send() is may_send


def test_what_was_let_go_is_not_renewed(bellboy: Bellboy, keeper: Keeper) -> None:
    step = a_claimed_step()
    held = hold(keeper, step)
    end_lease(step.step_run_id)

    keeper.let_go(held)
    keeper.beat()

    assert lease_left(step) < 0


def test_letting_go_of_an_earlier_hold_leaves_the_later_one(bellboy: Bellboy, keeper: Keeper) -> None:
    step = a_claimed_step()
    earlier = hold(keeper, step)
    hold(keeper, step)
    end_lease(step.step_run_id)

    keeper.let_go(earlier)
    keeper.beat()

    assert lease_left(step) > 20


def test_the_keeper_beats_by_itself(bellboy: Bellboy, keeper: Keeper, settings: Any) -> None:
    settings.LIGHTFIELD_LEASE_SECONDS = 0.3
    step = a_claimed_step()
    held = hold(keeper, step)
    first = held.lease_until

    wait_for(lambda: held.lease_until > first)

    assert not held.is_lost


def test_given_a_beat_that_fails_for_whatever_reason_then_the_keeper_lives_on(
    bellboy: Bellboy, keeper: Keeper, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LIGHTFIELD_LEASE_SECONDS = 0.3
    nonsense: Any = object()
    held = keeper.hold(nonsense, 1, claimed_at=time.monotonic(), limit_seconds=60)
    wait_for(lambda: "leases_not_renewed" in caplog.text)
    keeper.let_go(held)

    step = a_claimed_step()
    held = hold(keeper, step)
    first = held.lease_until
    wait_for(lambda: held.lease_until > first)


def wait_for(condition: Callable[[], bool]) -> None:
    """For another thread's work: over as soon as that is done, given up after far longer than it takes."""
    pause = threading.Event()
    assert any(condition() or pause.wait(0.05) for _ in range(400))


def test_many_leases_are_renewed_in_one_statement(bellboy: Bellboy) -> None:
    steps = [a_claimed_step() for _ in range(5)]
    for step in steps:
        end_lease(step.step_run_id)
    pairs = [(step.step_run_id, step.fence) for step in steps]

    assert renewals.renew([*pairs, (2**60, 1)]) == ({pair[0] for pair in pairs}, {2**60})


def test_each_process_signs_with_a_name_of_its_own() -> None:
    before = leases.worker_name()
    try:
        leases.rename("somebody else")
        assert leases.worker_name() == "somebody else"
        leases.rename()
        assert leases.worker_name() not in ("somebody else", before)
        assert len(leases.worker_name()) <= 80  # a cell's name adds to it
    finally:
        leases.rename(before)
