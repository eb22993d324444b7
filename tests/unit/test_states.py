"""The tables of statuses agree with each other and with what the timeline may say."""

from __future__ import annotations

import pytest

from executions import timeline
from executions.states import (
    FINAL_RUN,
    FINAL_STEP,
    LIVE_RUN,
    LIVE_STEP,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    RunStatus,
    StepStatus,
)


def test_every_status_is_live_or_final() -> None:
    assert set(RunStatus) == LIVE_RUN | FINAL_RUN
    assert set(StepStatus) == LIVE_STEP | FINAL_STEP
    assert not LIVE_RUN & FINAL_RUN
    assert not LIVE_STEP & FINAL_STEP


def test_nothing_follows_a_final_status_and_something_every_live_one() -> None:
    assert {status for status, following in RUN_TRANSITIONS.items() if not following} == FINAL_RUN
    assert {status for status, following in STEP_TRANSITIONS.items() if not following} == FINAL_STEP
    assert set(RUN_TRANSITIONS) == set(RunStatus)
    assert set(STEP_TRANSITIONS) == set(StepStatus)


def test_a_person_can_cancel_whatever_lives() -> None:
    assert all(RunStatus.CANCELLED in RUN_TRANSITIONS[status] for status in LIVE_RUN)
    assert all(StepStatus.CANCELLED in STEP_TRANSITIONS[status] for status in LIVE_STEP)


def test_every_final_run_status_has_its_timeline_entry() -> None:
    assert {f"run.{status}" for status in FINAL_RUN} <= set(timeline.RUN_TYPES)
    assert {f"step.{status}" for status in FINAL_STEP} <= set(timeline.STEP_TYPES)


def test_an_entry_of_no_known_type_is_refused() -> None:
    with pytest.raises(ValueError, match="no timeline entry type"):
        timeline.entry("step.exploded")


def test_metadata_without_a_value_is_left_out() -> None:
    assert timeline.entry("run.created", metadata={"a": 1, "b": None})["metadata"] == {"a": 1}
