"""One mutant against the tests that must notice it, in a pytest process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import psycopg.sql

from lightfield.local.ending import ending
from tests.mutants.mutant import DoesNotFit, Mutant
from tests.mutants.tree import Tree
from tests.mutants.watcher import REPORT

TEST_SECONDS = 60  # for one test: a mutant may well make it hang
TRIAL_SECONDS = 600.0


class Verdict(StrEnum):
    CAUGHT = "caught"  # a test failed while it ran
    SURVIVED = "survived"  # all its tests passed: one is missing
    BROKEN = "broken"  # no test failed while it ran, but there were errors, or it makes no sense
    MISFIT = "misfit"  # its text is not in the code exactly once


@dataclass(frozen=True)
class Trial:
    """What came of a mutant. `test` is the one that noticed it; `why` is how, or what went wrong."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    test: str = ""
    why: str = ""


class Bench:
    """A tree with a database and a Redis database that no other bench uses.

    Migrating takes longer than most trials, so the test database is kept from one to the next, except around a
    mutant of a migration and after a trial that was killed.
    """

    def __init__(self, tree: Tree, number: int) -> None:
        self.tree = tree
        self.number = number
        self._has_database = False

    def _database(self) -> str:
        return f"{urlsplit(os.environ['DATABASE_URL']).path.strip('/')}_mutants_{self.number}"

    def environ(self, report: Path) -> dict[str, str]:
        database, redis = urlsplit(os.environ["DATABASE_URL"]), urlsplit(os.environ["REDIS_URL"])
        return {
            **os.environ,
            "DATABASE_URL": urlunsplit(database._replace(path=f"/{self._database()}")),
            "REDIS_URL": urlunsplit(redis._replace(path=f"/{self.number + 1}")),
            "PYTHONPATH": str(self.tree.folder),
            REPORT: str(report),
        }

    def run(self, tests: list[str]) -> tuple[list[dict[str, Any]], str]:
        """What the watcher noted, and the last lines that pytest said."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.watcher", "--reuse-db"]
        if not self._has_database:
            command.append("--create-db")
        self._has_database = True
        options = ["-p", "no:cacheprovider", f"--timeout={TEST_SECONDS}", "--no-header", "--tb=no", *tests]
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report")
            report.touch()
            process = subprocess.Popen(
                command + options,
                cwd=self.tree.folder,
                env=self.environ(report),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            said = self._said_by(process)
            notes = [json.loads(line) for line in report.read_text().splitlines()]
        return notes, "\n".join(said.splitlines()[-15:])

    def _said_by(self, process: subprocess.Popen[str]) -> str:
        """Wait for its end. Raises Ended."""
        give_up = time.monotonic() + TRIAL_SECONDS
        while True:
            try:
                return process.communicate(timeout=0.5)[0]
            except subprocess.TimeoutExpired:
                if time.monotonic() < give_up and not ending.is_requested():
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                self._has_database = False  # nobody knows what is in it
                said = process.communicate()[0]
                ending.check()
                return f"{said}\nended after {TRIAL_SECONDS:.0f} s"

    def try_out(self, mutant: Mutant) -> Trial:
        began = time.monotonic()
        is_of_a_migration = any("/migrations/" in edit.file for edit in mutant.edits)
        self._has_database = self._has_database and not is_of_a_migration
        try:
            with self.tree.having(mutant):
                notes, said = self.run(list(mutant.tests))
        except DoesNotFit as problem:
            return Trial(mutant, Verdict.MISFIT, 0.0, why=str(problem))
        self._has_database = self._has_database and not is_of_a_migration
        return judge(mutant, notes, said, time.monotonic() - began)

    def clear(self) -> None:
        """Drop the test database: the server may be somebody's own."""
        server = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres"))
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                    psycopg.sql.Identifier(f"test_{self._database()}")
                )
            )


def judge(mutant: Mutant, notes: list[dict[str, Any]], said: str, seconds: float) -> Trial:
    """The verdict over what a trial noted. Pure."""
    of_kind = {
        kind: [found for found in notes if found["kind"] == kind]
        for kind in ("nonsense", "caught", "broken", "passed")
    }
    if of_kind["nonsense"]:
        return Trial(mutant, Verdict.BROKEN, seconds, why=of_kind["nonsense"][0]["why"])
    if of_kind["caught"]:
        first = of_kind["caught"][0]
        return Trial(mutant, Verdict.CAUGHT, seconds, first["test"], first["why"])
    if of_kind["broken"]:
        first = of_kind["broken"][0]
        return Trial(mutant, Verdict.BROKEN, seconds, first["test"], first["why"])
    if not of_kind["passed"]:
        return Trial(mutant, Verdict.BROKEN, seconds, why=f"no test ran: {said}")
    return Trial(mutant, Verdict.SURVIVED, seconds, why=f"{len(of_kind['passed'])} tests passed")
