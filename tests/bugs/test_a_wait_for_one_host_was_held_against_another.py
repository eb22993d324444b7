"""What a step had waited was counted from its first attempt, whomever it waited for: an agent that had waited long for its model's host
failed with `http.circuit_open` as soon as a host of its tools was failing, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from executions.egress.breaker import CIRCUIT_OPEN
from executions.models import Run
from lightfield.kernel import sql
from lightfield.kernel.errors import TransientStepError
from tests.agents import Model, agents_installed, an_agent, asked_of, play
from tests.staging import a_run, long_ago

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

MODEL, TOOL = "https://model.test:443", "https://tool.test:443"


@pytest.fixture(autouse=True)
def an_hour(settings: Any) -> Iterator[None]:
    settings.LIGHTFIELD_CIRCUIT_HOLD_SECONDS = 3600
    with agents_installed():
        yield


def put_back(run: Run, host: str) -> Any:
    """One attempt that meets this host's open circuit; its step run."""
    sql.rows("UPDATE executions_steprun SET held_host = NULL", {})
    with asked_of(Model(TransientStepError(CIRCUIT_OPEN, "It waits.", circuit=host))):
        return play(run)


def sent(run: Run) -> Any:
    sql.rows("UPDATE executions_steprun SET held_host = NULL", {})
    with asked_of(Model(TransientStepError("ai.overloaded", sent=True, answered=True))):
        return play(run)


def minutes_pass(minutes: int) -> None:
    long_ago(60 * minutes)


def test_given_a_step_that_waited_for_one_host_when_another_fails_then_it_waits_for_that_one_too() -> None:
    run = a_run(an_agent())
    assert put_back(run, MODEL).status == "waiting"
    minutes_pass(59)
    assert put_back(run, TOOL).status == "waiting"
    minutes_pass(59)
    assert put_back(run, MODEL).status == "waiting"  # 59 minutes for each of them
    minutes_pass(2)

    step = put_back(run, MODEL)
    assert (step.status, step.error_code) == ("failed", CIRCUIT_OPEN)


def test_given_a_step_that_waited_for_too_long_for_the_same_host_then_it_fails() -> None:
    run = a_run(an_agent())
    put_back(run, MODEL)
    minutes_pass(61)

    assert put_back(run, MODEL).status == "failed"


def test_given_a_step_that_was_sent_in_between_then_its_time_begins_anew() -> None:
    run = a_run(an_agent(retry={"max_attempts": 9}))
    put_back(run, MODEL)
    minutes_pass(59)
    assert sent(run).status == "waiting"
    minutes_pass(300)
    assert put_back(run, MODEL).status == "waiting"
    minutes_pass(59)
    assert put_back(run, MODEL).status == "waiting"
