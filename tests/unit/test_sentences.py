"""Every kind of timeline entry has words of its own, whatever its metadata lacks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions.models import Run, StepRun, TimelineEntry
from executions.sentences import sentence_of, standing_of
from executions.timeline import RUN_TYPES, STEP_TYPES


def entry(kind: str, **metadata: Any) -> TimelineEntry:
    step = "call" if kind.startswith("step.") else None
    return TimelineEntry(type=kind, step_key=step, attempt=2 if step else None, metadata=metadata)


@pytest.mark.parametrize("kind", [*RUN_TYPES, *STEP_TYPES])
def test_no_entry_is_told_by_its_type(kind: str) -> None:
    sentence = sentence_of(entry(kind))

    assert "." not in sentence.text
    assert sentence.symbol != "circle"
    assert sentence.tone in ("good", "bad", "busy", "wait", "none")


def test_an_entry_of_another_release_is_told_by_its_type() -> None:
    assert sentence_of(entry("step.dreamt")).text == "step.dreamt"


@pytest.mark.parametrize(
    ("kind", "metadata", "words"),
    [
        ("run.created", {"replay_of": "x"}, "Run created to replay an earlier one"),
        ("run.cancelled", {"by": "ada"}, "Run cancelled by ada"),
        ("run.failed", {"failed_step": "call"}, "Run failed at call"),
        ("step.retrying", {"delay_seconds": 1.8}, "call, attempt 2 failed, again after 1.8 s"),
        ("step.waiting", {"seconds": 7200}, "call sleeps for 2 h"),
        (
            "step.lost",
            {"may_have_sent": True},
            "call, attempt 2 lost its worker, which may have sent its request",
        ),
        (
            "step.logged",
            {"error_code": "ai.permission_denied", "tool": "http_request", "message": "POST evil.example"},
            "call was refused the tool http_request",
        ),
        ("step.logged", {"error_code": "ai.permission_denied"}, "call was refused what it tried"),
        ("step.lost", {"may_have_sent": False}, "call, attempt 2 lost its worker before it sent anything"),
    ],
)
def test_what_the_metadata_tells_is_said_in_words(kind: str, metadata: dict[str, Any], words: str) -> None:
    sentence = sentence_of(entry(kind, **metadata))

    assert sentence.text == words
    assert sentence.facts == ()


def test_what_no_word_says_is_kept_as_a_fact() -> None:
    sentence = sentence_of(
        entry(
            "step.failed",
            error_code="http.timeout",
            message="late",
            retry_after="2026-11-03T12:00:00Z",
            odd=[1],
        )
    )

    assert (sentence.code, sentence.quote) == ("http.timeout", "late")
    assert sentence.facts == (("retry_after", "2026-11-03 12:00:00 UTC"), ("odd", "[1]"))


@pytest.mark.parametrize("value", ["9999-99-99T99:99:99Z", "Z", "2026Z", ""])
def test_what_only_looks_like_an_instant_stays_as_it_is(value: str) -> None:
    assert sentence_of(entry("step.failed", when=value)).facts == (("when", value),)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "ready", "lane": "fast"}, "About to run."),
        ({"status": "ready", "lane": "http"}, "Waits for a place in the http lane."),
        (
            {"status": "queued", "lane": "ai"},
            "Admitted to the ai lane; its message is on the way to a worker.",
        ),
        ({"status": "running", "owner": "http@a"}, "Running on http@a."),
        ({"status": "running"}, "Running."),
        ({"status": "completed"}, ""),
        ({"status": "completed", "reused": True}, "Taken over from the run that this one replays."),
    ],
)
def test_a_step_says_why_it_stands_where_it_stands(columns: dict[str, Any], words: str) -> None:
    assert standing_of(Run(status="running"), StepRun(**columns)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (24.6, "Running on http@a, under a lease for another 25 s."),
        (-3, "Running on http@a, whose lease is over: the sweep gives the step to another worker."),
    ],
)
def test_a_running_step_tells_its_lease(seconds: float, words: str) -> None:
    ends = timezone.now() + timedelta(seconds=seconds)

    assert (
        standing_of(Run(status="running"), StepRun(status="running", owner="http@a", lease_expires_at=ends))
        == words
    )


@pytest.mark.parametrize(
    ("seconds", "error", "words"),
    [
        (3605, None, "Wakes in 1 h."),
        (-5, None, "Wakes now."),
        (12.5, {"code": "http.timeout"}, "Tries again in 12 s."),
        (-1, {"code": "http.timeout"}, "Tries again now."),
    ],
)
def test_a_waiting_step_says_until_when(seconds: float, error: Any, words: str) -> None:
    step = StepRun(status="waiting", due_at=timezone.now() + timedelta(seconds=seconds), error=error)

    assert standing_of(Run(status="waiting"), step) == words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("completed", "Skipped: the condition before it did not hold."),
        ("cancelled", "Skipped: the run was cancelled before its turn came."),
        ("failed", "Skipped: a step before it failed."),
    ],
)
def test_a_skipped_step_says_why(status: str, words: str) -> None:
    assert standing_of(Run(status=status), StepRun(status="skipped")) == words


def test_a_step_without_a_row_waits_for_its_turn() -> None:
    assert standing_of(Run(status="running"), None) == "Its turn has not come."
