"""Outcomes as settlements: which entries each tells and what follows it in the plan."""

from __future__ import annotations

from typing import Any

import pytest

from executions import published, reports
from executions.claims import StepInHand
from executions.outcomes import Fail, Retry
from executions.published import Published
from executions.states import AttemptOutcome, RunStatus, StepStatus
from tests.factories import a_definition
from workflows.definitions import parse_definition

ERROR = {"code": "http.timeout", "message": "too slow", "retryable": True, "metadata": {"attempt": 2}}
PLAN = [
    {"key": key, "type": "log", "lane": "fast", "max_attempts": 5} for key in ("first", "second", "third")
]


@pytest.fixture(autouse=True)
def plan(monkeypatch: pytest.MonkeyPatch) -> None:
    version = Published(parse_definition(a_definition()), PLAN)
    monkeypatch.setattr(published, "load", lambda version_id: version)


def in_hand(position: int = 1, **more: Any) -> StepInHand:
    given: dict[str, Any] = {
        "step_run_id": 7,
        "run_id": "r",
        "workflow_id": "w",
        "version_id": 1,
        "position": position,
        "key": PLAN[position - 1]["key"],
        "type": "log",
        "lane": "fast",
        "status": "running",
        "fence": 3,
        "attempt": 2,
        "lost": 0,
        "max_attempts": 5,
        "trace_id": "",
        "run_status": "running",
        "payload": {},
        "workflow_name": "",
        "version_number": 1,
    }
    return StepInHand(**{**given, **more})


def told(settlement: Any) -> list[tuple[str, str | None, str | None]]:
    return [(entry["type"], entry["from"], entry["to"]) for entry in settlement.entries]


def test_success_is_followed_by_the_next_step() -> None:
    settlement = reports.completed(in_hand(), {"a": 1})

    assert (settlement.status, settlement.run_status) == (StepStatus.COMPLETED, RunStatus.RUNNING)
    assert settlement.next_step == PLAN[1]
    assert settlement.outcome == AttemptOutcome.OK
    assert told(settlement) == [("step.completed", "running", "completed")]


def test_success_of_the_last_step_completes_the_run() -> None:
    settlement = reports.completed(in_hand(3), {})

    assert (settlement.run_status, settlement.next_step) == (RunStatus.COMPLETED, None)
    assert told(settlement)[-1] == ("run.completed", "running", "completed")


def test_a_condition_that_is_false_skips_the_rest_and_completes_the_run() -> None:
    settlement = reports.completed(in_hand(), {}, skip_rest=True)

    assert settlement.run_status == RunStatus.COMPLETED
    assert [(later["key"], later["position"]) for later in settlement.skipped] == [
        ("second", 2),
        ("third", 3),
    ]
    assert [entry[0] for entry in told(settlement)] == [
        *["step.completed", "step.skipped", "step.skipped", "run.completed"],
    ]


def test_a_sleeper_that_wakes_closes_no_attempt() -> None:
    settlement = reports.completed(in_hand(status="waiting"), {})

    assert settlement.outcome is None
    assert told(settlement) == [("step.completed", "waiting", "completed")]


def test_failure_skips_the_rest_and_fails_the_run_with_the_steps_code() -> None:
    settlement = reports.failed(in_hand(2), Fail(ERROR, AttemptOutcome.UNKNOWN, "by_attempts"))

    assert (settlement.status, settlement.run_status) == (StepStatus.FAILED, RunStatus.FAILED)
    assert settlement.may_have_happened
    assert [entry[0] for entry in told(settlement)] == ["step.failed", "step.skipped", "run.failed"]
    assert settlement.entries[0]["metadata"] == {
        "attempt": 2,
        "error_code": "http.timeout",
        "message": "too slow",
    }
    assert settlement.entries[-1]["metadata"] == {"error_code": "http.timeout", "failed_step": "second"}


@pytest.mark.parametrize("outcome", [AttemptOutcome.REFUSED, AttemptOutcome.UNKNOWN])
def test_a_retry_waits_and_leaves_the_effect_open(outcome: AttemptOutcome) -> None:
    settlement = reports.retried(in_hand(), Retry(1.23456, ERROR, outcome))

    assert (settlement.status, settlement.run_status) == (StepStatus.WAITING, RunStatus.WAITING)
    assert (settlement.effect, settlement.delay_seconds) == (None, 1.23456)
    assert settlement.may_have_happened is (outcome == AttemptOutcome.UNKNOWN)
    assert settlement.entries[0]["metadata"]["delay_seconds"] == 1.235


@pytest.mark.parametrize(("opens", "attempt"), [(True, 3), (False, 2)])
def test_an_attempt_that_is_opened_here_is_the_next_one(opens: bool, attempt: int) -> None:
    step = in_hand()
    settlements = [
        reports.completed(step, {}, opens=opens),
        reports.retried(step, Retry(1.0, ERROR, AttemptOutcome.REFUSED), opens=opens),
        reports.failed(step, Fail(ERROR, AttemptOutcome.PERMANENT, "by_attempts"), opens=opens),
        reports.asleep(step, 5.0, told=[], opens=opens),
    ]

    assert {settlement.entries[0]["attempt"] for settlement in settlements} == {attempt}


@pytest.mark.parametrize(
    ("attempt", "run_status", "types", "before"),
    [
        (0, "pending", ["run.started", "step.started"], "ready"),
        (0, "running", ["step.started"], "ready"),
        (1, "waiting", ["step.started"], "waiting"),
    ],
)
def test_the_start_of_a_fast_step_is_told_with_its_end(
    attempt: int, run_status: str, types: list[str], before: str
) -> None:
    entries = reports.started_entries(in_hand(attempt=attempt, run_status=run_status))

    assert [entry["type"] for entry in entries] == types
    assert (entries[-1]["from"], entries[-1]["attempt"]) == (before, attempt + 1)


def test_the_guard_of_every_settlement_is_the_step_as_it_was_found() -> None:
    settlement = reports.asleep(in_hand(status="ready", fence=9), 5.0, told=[], opens=True)

    assert (settlement.fence, settlement.was) == (9, StepStatus.READY)
