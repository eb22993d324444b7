"""The whole installation as `bin/up` runs it, with short leases and our proxies in front of its servers."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg
import redis

from lightfield.local import environment, ports, processes, valkey
from lightfield.local.boot import ROOT, CannotStart
from lightfield.local.calls import Api
from lightfield.local.children import end_all, spawn, working_in
from lightfield.local.ending import ending
from lightfield.local.home import Home
from lightfield.local.scripted_model import ScriptedModel
from lightfield.local.servers import Servers
from lightfield.local.supervised import End, Supervised, stop_all
from lightfield.local.supervisor import MARK, Supervisor, end_leftovers
from lightfield.local.up import wait_for_web
from tests.chaos.outside import Outside
from tests.chaos.pace import own_time
from tests.chaos.proxy import HOST, Proxy, to_port, to_socket
from tests.chaos.sink import Sink

LEASE_SECONDS = 6.0
SWEEP_SECONDS = 1.0
START_SECONDS = 60.0  # for web to answer the first time
RECLAIM_BOUND = (
    LEASE_SECONDS * 7 / 6 + SWEEP_SECONDS
)  # from a death: the lease, its margin, and until the sweep comes
STOPPED_SECONDS = 2 * LEASE_SECONDS


def forget_other_settings(*, with_agents: bool) -> None:
    """What was set for another installation does not reach this one. With agents there are two workers for them.

    Raises:
        CannotStart: servers were given. Here they are killed, frozen and emptied: only our own are.
    """
    for name in ("DATABASE_URL", "REDIS_URL"):
        if environment.given(name):
            raise CannotStart(f"{name} is set; bin/chaos breaks servers and so uses only its own. Unset it")
    if environment.is_production():
        raise CannotStart("bin/chaos is not for production; unset LIGHTFIELD_ENV")
    for name in [*os.environ]:
        if name.startswith(("LIGHTFIELD_", "FLOWER_")) and name != "LIGHTFIELD_HOME":
            del os.environ[name]
    for name in ("LIGHTFIELD_PORT", "LIGHTFIELD_FLOWER_PORT"):
        os.environ[name] = str(ports.any_free(HOST))
    for name in (
        "WEBHOOK_RATE",
        "WEBHOOK_BURST",
        "ADDRESS_RATE",
        "ADDRESS_BURST",
    ):  # one sender is all senders here
        os.environ[f"LIGHTFIELD_{name}"] = "100000"
    for lane in ("HTTP", "FAST", *(["AI"] if with_agents else [])):
        os.environ[f"LIGHTFIELD_{lane}_WORKERS"] = "2"


def _begin_anew(home: Home) -> None:
    """The books begin empty, so the rows must too. The logs of the last walk stay until now."""
    end_all(partial(working_in, home.path / "postgres", ["postgres"]), first=signal.SIGQUIT, grace=1)
    end_all(partial(working_in, home.path / "redis", valkey.PROGRAM_NAMES), first=signal.SIGTERM, grace=1)
    for name in ("postgres", "redis", "crashpoints", "logs"):
        shutil.rmtree(home.path / name, ignore_errors=True)


class Stack:
    """Start it in the main thread and keep calling `supervisor.run` there; everything else is for any thread."""

    def __init__(
        self,
        home: Home,
        held: contextlib.ExitStack,
        outside: Outside,
        sink: Sink,
        model: ScriptedModel | None = None,
    ) -> None:
        self.home = home
        self.sink = sink
        self.model = model  # of the agents in the workload
        self.books = sink.books
        end_leftovers(home)
        _begin_anew(home)
        self.orders = home.folder("crashpoints")
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._more: list[Supervised] = []
        self.servers = held.enter_context(Servers(home))
        self.database_url = self.servers.urls["DATABASE_URL"]
        self.redis_url = self.servers.urls["REDIS_URL"]
        folder = parse_qs(urlsplit(self.database_url).query)["host"][0]
        self.postgres_line = Proxy(
            outside,
            to_socket(f"{folder}/.s.PGSQL.5432"),
            listens_in=True,
            on_fault=partial(self.books.disturb, "postgres"),
        )
        self.redis_line = Proxy(
            outside,
            to_port(urlsplit(self.redis_url).port or 6379),
            listens_in=False,
            on_fault=partial(self.books.disturb, "redis"),
        )
        self.supervisor = self._start(held)
        self.api = Api(f"http://{HOST}:{self.supervisor.environ['LIGHTFIELD_PORT']}")

    def _start(self, held: contextlib.ExitStack) -> Supervisor:
        redis_parts = urlsplit(self.redis_url)
        netloc = f":{redis_parts.password}@{HOST}:{self.redis_line.port}"
        environ = {
            **environment.basis(self.home),
            **environment.keys(self.home),
            **environment.addresses(self.home),
            **environment.flower_login(self.home),
            "DJANGO_SETTINGS_MODULE": "tests.settings_killer",  # the product's, and steps that kill their process
            "LIGHTFIELD_CELL_MEMORY_MB": "256",
            "LIGHTFIELD_LEASE_SECONDS": str(LEASE_SECONDS),
            "LIGHTFIELD_SWEEP_SECONDS": str(SWEEP_SECONDS),
            "LIGHTFIELD_EGRESS_ALLOW": ",".join(
                [f"{HOST}:{self.sink.port}", *([self.model.endpoint] if self.model else [])]
            ),
            "LIGHTFIELD_CRASHPOINTS": str(self.orders),
            "DATABASE_URL": f"postgresql://lightfield@{HOST}:{self.postgres_line.port}/lightfield"
            "?sslmode=disable&gssencmode=disable",
            "REDIS_URL": urlunsplit(redis_parts._replace(netloc=netloc)),
        }
        supervisor = Supervisor(self.home, self.servers, environ, workers=environment.worker_numbers())
        supervisor.migrate()
        held.callback(supervisor.stop)
        supervisor.start()
        for one in [*self.servers.running, *supervisor.processes]:
            one.on_end = self._note_end
        return supervisor

    def _note_end(self, end: End) -> None:
        self.books.note_end(end.name, end.pid, end.returncode, was_silent=end.was_silent)

    def begin(self) -> None:
        """Wait until web answers; then calls are allowed."""
        made = self.manage("create_api_key", "chaos")
        if made.returncode != 0:
            raise CannotStart(f"no API key could be made: {made.stderr}")
        self.api.key = made.stdout.strip()
        give_up = own_time.now() + START_SECONDS
        while not wait_for_web(self.supervisor) and not ending.is_requested():
            if own_time.now() > give_up:
                raise CannotStart(f"web did not answer; see {self.home.log_file('web')}")

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of manage.py, around the proxies."""
        around = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "LIGHTFIELD_ROLE": "command",
        }
        environ = {**self.supervisor.environ, **around, "LIGHTFIELD_CRASHPOINTS": ""}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    def ask(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows, around the proxies; it waits for a server that is being restarted."""
        give_up = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(self.database_url, autocommit=True) as connection:
                    return connection.execute(statement, params or None).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.1)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url)

    def kill(self, name: str) -> int:
        """SIGKILL to a process or server by its name; the supervisor starts it again. Returns its pid."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid_of(self, name: str) -> int:
        child = next(
            one.child for one in [*self.servers.running, *self.supervisor.processes] if one.name == name
        )
        assert child is not None
        return child.pid

    def run_errands(self) -> None:
        """For the main thread: children die with the thread that started them, so only it starts any."""
        while not self._errands.empty():
            self._errands.get()()

    def begin_more(self, role: str, number: int) -> list[str]:
        """More processes of a role, each started as the process table starts those it has. Their names."""
        wanted = len(self._more) + number
        there = sum(one.name.startswith(role) for one in self.supervisor.processes)
        names = [f"{role}-{there + count + 1}" for count in range(number)]
        lane = role.removeprefix("worker-")
        table = processes.table(
            bind=HOST,
            port="0",
            flower_port="0",
            workers={**environment.worker_numbers(), lane: there + number},
        )
        found = {one.name: one for one in table}
        chosen = [(name, found.get(name) or found[role]) for name in names]  # beats are not numbered there

        def begin() -> None:
            for name, process in chosen:
                one = Supervised(self.home, name, partial(self._spawn, process, name))
                one.on_end = self._note_end
                one.start()
                self._more.append(one)
                self.supervisor.processes.append(one)

        self._errands.put(begin)
        wait_until(lambda: len(self._more) == wanted, 30)
        return names

    def _spawn(self, process: processes.Process, name: str) -> subprocess.Popen[bytes]:
        return spawn(
            [sys.executable if part == processes.PYTHON else part for part in process.command],
            cwd=ROOT,
            environ={**self.supervisor.environ, "LIGHTFIELD_ROLE": process.role, MARK: str(self.home.path)},
            output=self.home.open_log(name),
            when_parent_dies=signal.SIGKILL,
        )

    def end_more(self) -> None:
        def end() -> None:
            for one in self._more:
                self.supervisor.processes.remove(one)
            stop_all(self._more, grace=10)
            self._more.clear()

        self._errands.put(end)
        wait_until(lambda: not self._more, 30)

    def obeyed(self, point: str = "CP-*") -> list[tuple[str, int]]:
        """Orders that were obeyed since somebody asked last: what was ordered, and the process that did it."""
        found = []
        for path in self.orders.glob(f"{point}.*"):
            found.append((path.read_text().split()[0], int(path.suffix[1:])))
            path.unlink(missing_ok=True)
        return found

    def recall(self, point: str = "CP-*") -> list[tuple[str, int]]:
        """Take orders back; those that somebody obeyed first."""
        for order in self.orders.glob(point):
            if not order.suffix:
                order.unlink(missing_ok=True)
        return self.obeyed(point)

    def mend(self) -> None:
        """Take every fault away that lasts: orders, and what the proxies do."""
        for action, pid in self.recall():
            self.books.note_obeyed(action, pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.postgres_line.mend()
        self.redis_line.mend()


def wait_until(condition: Callable[[], object], seconds: float, *, every: float = 0.05) -> bool:
    """Whether it became true in time, by the clock that goes slower where others use the machine."""
    give_up = own_time.now() + seconds
    while not condition():
        if own_time.now() > give_up:
            return False
        time.sleep(every)
    return True
