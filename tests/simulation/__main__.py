"""`python -m tests.simulation --seeds 10000 --first-seed 1`: many worlds, for a night. See docs/simulation.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="worlds to play")
    parser.add_argument("--first-seed", type=int, default=1, help="of that many seeds in a row")
    parser.add_argument(
        "--twins", type=int, default=0, help="seeds of operations to hold against PostgreSQL as well"
    )
    wanted = parser.parse_args()
    os.environ["SIMULATION_SEEDS"] = str(wanted.seeds)
    os.environ["SIMULATION_FIRST_SEED"] = str(wanted.first_seed)
    os.environ["SIMULATION_TWINS"] = str(wanted.twins)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    sys.stdout.write(
        f"seeds {wanted.first_seed} to {wanted.first_seed + wanted.seeds - 1} at commit {commit or 'unknown'}\n"
    )
    tests = ["tests/simulation/test_volume.py"]
    if wanted.twins:
        tests.append(
            "tests/simulation/test_agrees_with_postgresql.py::test_every_operation_leaves_the_same_rows"
        )
    return int(pytest.main([*tests, "--exitfirst", "--show-capture=no", "-o", "timeout=0"]))


if __name__ == "__main__":
    sys.exit(main())
