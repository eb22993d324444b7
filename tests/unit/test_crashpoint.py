"""Crash points in real processes: who dies, when, and that nothing happens unless it was ordered."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lightfield.kernel.crashpoint import POINTS, crashpoint

ROOT = Path(__file__).resolve().parents[2]
PASSING = """
import sys
from lightfield.kernel.crashpoint import crashpoint
for number in range(int(sys.argv[1])):
    crashpoint("CP-S4")
    print(number + 1, flush=True)
"""


def passing(folder: Path | None, passes: int = 3, role: str = "worker-http") -> subprocess.Popen[str]:
    environ = {"PYTHONPATH": str(ROOT), "LIGHTFIELD_ROLE": role}
    if folder is not None:
        environ["LIGHTFIELD_CRASHPOINTS"] = str(folder)
    return subprocess.Popen(
        [sys.executable, "-c", PASSING, str(passes)], env=environ, stdout=subprocess.PIPE, text=True
    )


def passed(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=20)
    return len(said.split())


@pytest.mark.parametrize(("count", "before"), [(1, 0), (3, 2)])
def test_the_nth_pass_is_killed_and_the_order_is_gone(tmp_path: Path, count: int, before: int) -> None:
    (tmp_path / "CP-S4").write_text(f"kill {count}")

    process = passing(tmp_path)

    assert passed(process) == before
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [f"CP-S4.{process.pid}"]


def test_given_an_order_to_stop_then_not_one_line_more_is_run_until_continued(tmp_path: Path) -> None:
    (tmp_path / "CP-S4").write_text("stop 2")

    process = passing(tmp_path)
    _, status = os.waitpid(process.pid, os.WUNTRACED)

    assert os.WIFSTOPPED(status)
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 100) == b"1\n"
    os.kill(process.pid, signal.SIGCONT)
    assert passed(process) == 2
    assert process.returncode == 0


def test_an_order_is_obeyed_by_one_process_only(tmp_path: Path) -> None:
    (tmp_path / "CP-S4").write_text("kill 1")

    processes = [passing(tmp_path) for _ in range(4)]

    assert sorted(passed(process) for process in processes) == [0, 3, 3, 3]


def test_an_order_for_another_role_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "CP-S4").write_text("kill 1 web worker-fast")

    assert passed(passing(tmp_path, role="worker-http")) == 3
    assert passed(passing(tmp_path, role="worker-fast")) == 0


@pytest.mark.parametrize("order", [None, "", "kill", "nonsense"])
def test_without_a_whole_order_nothing_happens(tmp_path: Path, order: str | None) -> None:
    if order is not None:
        (tmp_path / "CP-S4").write_text(order)

    assert passed(passing(tmp_path)) == 3


def test_without_a_folder_nothing_is_even_looked_at() -> None:
    crashpoint("no such point")  # would raise if it were
    assert passed(passing(None)) == 3


def test_every_point_is_passed_in_exactly_one_place_of_the_product() -> None:
    sources = [
        path.read_text()
        for package in ("crm", "executions", "triggers", "workflows", "lightfield")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "crashpoint.py"
    ]
    found = sorted(name for source in sources for name in re.findall(r'crashpoint\("([^"]+)"\)', source))

    assert found == sorted(POINTS)
