"""F24: every hostile server at once, from a process of its own: each ends in time with its code, and memory stays bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile_answers import HOSTILE, TIMEOUT, TIMEOUT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
MOST_MB = 20


@pytest.fixture(scope="module")
def measured() -> Any:
    command = [sys.executable, "-m", "tests.hostile_answers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_ends_in_time_and_says_what_was_wrong(measured: dict[str, Any], name: str) -> None:
    came, seconds = measured["answers"][name]
    expected = HOSTILE[name][1]
    assert came == expected
    assert seconds < TIMEOUT_SECONDS + 1
    if expected == TIMEOUT:
        assert seconds >= TIMEOUT_SECONDS


def test_all_of_them_together_take_no_more_than_20_mb(measured: dict[str, Any]) -> None:
    assert len(measured["answers"]) == len(HOSTILE) >= 50
    assert measured["growth_mb"] <= MOST_MB
