"""bin/demo named its secret and its person alike each time: a second demo was refused as a duplicate, and its contact was no new one.

The home of the demo keeps its database. Worst is what an interrupted one leaves: a secret, and workflows that still listen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightfield.local.boot import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

OURS = ("LIGHTFIELD_", "FLOWER_", "DATABASE_URL", "REDIS_URL", "COV_", "PYTEST")


def a_demo(home: Path) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.Popen(
        [sys.executable, "-m", "lightfield.local.demo", "--json"],
        cwd=ROOT,
        env={**environ, "LIGHTFIELD_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_given_a_demo_that_was_interrupted_then_the_next_tells_its_story(tmp_path: Path) -> None:
    with a_demo(tmp_path) as first:
        assert first.stderr is not None
        assert any("worker-ai runs again" in line for line in first.stderr)
        first.send_signal(signal.SIGINT)
        first.communicate()

    with a_demo(tmp_path) as second:
        out, errors = second.communicate()

    assert (first.returncode, second.returncode) == (130, 0), errors
    assert json.loads(out)["status"] == "completed"
