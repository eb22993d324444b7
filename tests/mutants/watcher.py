"""pytest plugin for a trial: writes down what failed in which phase and why, and stops at the first catch.

Only a test that fails while it runs is a catch. A file that cannot be imported, a fixture that breaks or a
statement that PostgreSQL cannot even read says that the mutant is nonsense, not that a test is good.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

REPORT = "LIGHTFIELD_MUTANT_REPORT"  # the variable that names the file
NONSENSE = (SyntaxError, NameError, ImportError)
UNREADABLE = (
    "42"  # the class of SQLSTATEs of statements that make no sense: syntax, unknown names, wrong types
)
SENSIBLE = {"42P04", "42501"}  # in that class as well: a database that is there already, a missing right

_execute = psycopg.Cursor.execute


def note(**facts: Any) -> None:
    with Path(os.environ[REPORT]).open("a") as report:
        report.write(json.dumps(facts) + "\n")


def _watched(self: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return _execute(self, *args, **kwargs)
    except psycopg.Error as error:
        if (error.sqlstate or "").startswith(UNREADABLE) and error.sqlstate not in SENSIBLE:
            note(kind="nonsense", why=f"PostgreSQL: {error}")
        raise


def pytest_configure() -> None:
    psycopg.Cursor.execute = _watched  # type: ignore[method-assign]


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        note(kind="nonsense", why=f"cannot be collected: {report.nodeid}: {report.longrepr}"[:2000])


@pytest.hookimpl(tryfirst=True)  # the first hook that returns a report ends the call; this one returns none
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.excinfo is None:
        if call.when == "call":
            note(kind="passed", test=item.nodeid)
        return
    if call.excinfo.errisinstance((pytest.skip.Exception,)):
        return
    why = call.excinfo.exconly(tryshort=True)[:500]
    if call.excinfo.errisinstance(NONSENSE):
        note(kind="nonsense", why=f"{item.nodeid}: {why}")
    elif call.when == "call":
        note(kind="caught", test=item.nodeid, why=why)
        item.session.shouldstop = "caught"
    else:
        note(kind="broken", test=item.nodeid, why=f"in its {call.when}: {why}")
