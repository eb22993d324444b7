"""What counts as caught: a test that failed while it ran, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.tree import ROOT
from tests.mutants.trial import Verdict, judge
from tests.mutants.watcher import REPORT

MUTANT = Mutant("m", "breaks", "promise", ("t",), ())
PASSES = "def test_passes(): pass\n"
BREAKS_AFTERWARDS = """
import pytest
@pytest.fixture
def afterwards():
    yield
    assert 1 == 2
def test_passes(afterwards): pass
"""


@pytest.mark.parametrize(
    ("source", "verdict", "why"),
    [
        (PASSES, Verdict.SURVIVED, "1 tests passed"),
        (PASSES + "def test_fails(): assert 1 == 2\n", Verdict.CAUGHT, "assert 1 == 2"),
        (PASSES + "def test_raises(): raise RuntimeError('no')\n", Verdict.CAUGHT, "RuntimeError: no"),
        (BREAKS_AFTERWARDS, Verdict.BROKEN, "teardown"),
        (PASSES + "def test_fails(unknown): pass\n", Verdict.BROKEN, "setup"),
        ("import no_such_module\n" + PASSES, Verdict.BROKEN, "cannot be collected"),
        ("def test_passes(: pass\n", Verdict.BROKEN, "cannot be collected"),
        ("def test_fails(): no_such_name()\n", Verdict.BROKEN, "NameError"),
        ("import pytest\ndef test_skips(): pytest.skip('not here')\n", Verdict.BROKEN, "no test ran"),
    ],
)
def test_what_counts_as_caught(tmp_path: Path, source: str, verdict: Verdict, why: str) -> None:
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    report = tmp_path / "report"
    report.touch()
    environ = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.watcher", "test_it.py"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT), REPORT: str(report)},
        capture_output=True,
        check=False,
    )

    notes = [json.loads(line) for line in report.read_text().splitlines()]
    trial = judge(MUTANT, notes, "", 1.0)
    assert (trial.verdict, why in trial.why) == (verdict, True), trial


def test_a_statement_that_postgresql_cannot_read_is_no_catch() -> None:
    notes = [
        {"kind": "nonsense", "why": "PostgreSQL: syntax error at or near"},
        {"kind": "caught", "test": "t", "why": "ProgrammingError"},
    ]

    assert judge(MUTANT, notes, "", 1.0).verdict == Verdict.BROKEN
