"""A few deaths and every line of the harness, at each run of the test suite. `bin/chaos` walks all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lightfield.local.boot import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OWN = ("LIGHTFIELD_", "FLOWER_", "DATABASE_URL", "REDIS_URL", "COV_", "PYTEST")


def chaos(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    with tempfile.TemporaryDirectory(prefix="lf-chaos-") as home:
        return subprocess.run(
            [sys.executable, "-m", "tests.chaos", *arguments],
            cwd=ROOT,
            env={**inherited, "PYTHONPATH": str(ROOT), "LIGHTFIELD_HOME": home, **environ},
            capture_output=True,
            text=True,
            check=False,
        )


def test_deaths_at_seven_points_lose_nothing_and_double_nothing() -> None:
    played = chaos("--quick", "--seed", "20261123")

    assert played.returncode == 0, played.stdout + played.stderr
    assert "books and rows agree" in played.stdout
    assert "7 of 7 hits" in played.stdout
    assert "seed 20261123" in played.stdout


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_servers_that_were_given_are_never_broken(name: str) -> None:
    refused = chaos("--quick", **{name: "postgresql://somebody@precious/database"})

    assert refused.returncode == 1
    assert name in refused.stderr


def test_a_point_that_does_not_exist_is_refused() -> None:
    refused = chaos("--points", "CP-S4,CP-S44")

    assert refused.returncode == 2
    assert "CP-S44" in refused.stderr


def test_help_names_every_point() -> None:
    said = " ".join(chaos("--help").stdout.split())

    assert all(f"CP-{point}" in said for point in ("W1", "D5", "A1", "S9", "X2"))


def test_the_command_is_there() -> None:
    assert os.access(Path(ROOT, "bin", "chaos"), os.X_OK)
