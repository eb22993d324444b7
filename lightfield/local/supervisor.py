"""Runs a whole installation on one machine and keeps it running.

The parent of every process: it starts again what dies, with the same ports and passwords, and its children
die with it. One thread and no state beyond the children: a kill -9 of the supervisor loses nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from lightfield.local import processes
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.children import Child, end_all, has_ended, marked, spawn, stop
from lightfield.local.ending import ending
from lightfield.local.forks import Forks
from lightfield.local.home import Home
from lightfield.local.servers import Servers
from lightfield.local.supervised import Checkup, Supervised, stop_all

MARK = "LIGHTFIELD_SUPERVISED"  # in the environment of each child: the home it belongs to
LOOK_EVERY = 0.1  # seconds
STOP_SECONDS = 30.0  # for running steps to finish; a step that takes longer is taken over by its lease


class Supervisor:
    """The processes of one home. `servers` are running already, and are kept running too."""

    def __init__(
        self, home: Home, servers: Servers, environ: dict[str, str], *, workers: dict[str, int]
    ) -> None:
        self.home = home
        self.servers = servers
        self.environ = environ
        self.workers = workers  # how many of each lane
        self.processes: list[Supervised] = []
        self._checkups: list[Checkup] = []
        self._forks = Forks(home, self._told("command"))

    def migrate(self) -> None:
        """Bring the database to this version.

        Raises:
            CannotStart: it failed; the last line of the log says why.
        """
        log = self.home.open_log("migrate")
        child = spawn(
            self._command(processes.MIGRATE),
            cwd=ROOT,
            environ=self._told("command"),
            output=log,
            when_parent_dies=signal.SIGKILL,
        )
        try:
            while not has_ended(child):
                ending.check()
                time.sleep(0.02)
        finally:
            stop([(child, signal.SIGTERM)], grace=2)
        if child.returncode != 0:
            said = self.home.last_lines("migrate", 1)
            raise CannotStart(
                f"the database cannot be migrated: {said} (see {self.home.log_file('migrate')})"
            )

    def start(self) -> None:
        """Start every process of the table; returns at once."""
        table = processes.table(
            bind=self.environ["LIGHTFIELD_BIND"],
            port=self.environ["LIGHTFIELD_PORT"],
            flower_port=self.environ["LIGHTFIELD_FLOWER_PORT"],
            workers=self.workers,
        )
        for process in table:
            supervised = Supervised(self.home, process.name, partial(self._spawn, process))
            supervised.start()
            self.processes.append(supervised)
            self._checkups.append(Checkup(supervised, partial(self._ask, process)))

    def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Keep everything running until `until()` is true or we are told to end."""
        while not ending.is_requested() and not until():
            self.tend()
            time.sleep(LOOK_EVERY)

    def tend(self) -> None:
        """One look at everything: servers first, for the others need them."""
        all_of_it: list[Supervised | Checkup] = [*self.servers.running, *self.processes, *self._checkups]
        for one in all_of_it:
            if happened := one.tend():
                say(happened)

    def stop(self) -> None:
        """Stop the processes in order; the servers are stopped by whoever started them."""
        for checkup in self._checkups:
            checkup.close()
        self._forks.close()
        stop_all(self.processes, grace=STOP_SECONDS, is_urgent=ending.is_urgent)

    def pid_of(self, name: str) -> int:
        child = next(one.child for one in self.processes if one.name == name)
        assert child is not None
        return child.pid

    def _spawn(self, process: processes.Process) -> Child:
        command, told = self._command(process.command), self._told(process.role)
        return self._forks.spawn(process.name, command, told, log=process.name)

    def _ask(self, process: processes.Process) -> Child:
        command, told = self._command(process.health), self._told("command")
        return self._forks.spawn("health", command, told, log="health")

    def _told(self, role: str) -> dict[str, str]:
        return {**self.environ, "LIGHTFIELD_ROLE": role, MARK: str(self.home.path)}

    @staticmethod
    def _command(command: tuple[str, ...]) -> list[str]:
        return [sys.executable if part == processes.PYTHON else part for part in command]


def end_leftovers(home: Home) -> None:
    """End processes of this home that outlived an earlier supervisor (they were to die with it).

    Its pid files go too: by now their numbers may belong to anybody.
    """
    count = end_all(partial(marked, MARK, str(home.path)), first=signal.SIGKILL, grace=5)
    if count:
        say(f"ended {count} processes of an earlier start")
    for left in home.folder("run").glob("*.pid"):
        left.unlink()
