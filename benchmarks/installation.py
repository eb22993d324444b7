"""Lightfield as it is measured: all of `bin/up`, with its default settings, in a home of its own.

It runs as a child, as a person would run it, so that supervisor and health checks are counted with the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import counters, cpu, waiting
from benchmarks.far_end import HOST, Account, FarEnd
from benchmarks.load import Reply
from benchmarks.systems import LONGEST_RUN, LOOK_EVERY, Ends, System, begin_anew, refused
from lightfield.local import environment, ports
from lightfield.local.boot import ROOT, CannotStart
from lightfield.local.calls import Api
from lightfield.local.children import has_ended, spawn, stop
from lightfield.local.home import Home
from lightfield.local.servers import Servers

START_SECONDS = 120.0
# Of bin/up, besides supervisor, fork server and health checks.
PROCESSES = ("web", "worker-fast", "worker-http", "worker-ai", "beat", "flower", "postgres", "redis")
STOP_SECONDS = 60.0  # bin/up waits 30 for running steps

# What an engine does with a flood is measured with a flood; `senders` measures the limits.
UNTHROTTLED = dict.fromkeys(
    (
        *("LIGHTFIELD_WEBHOOK_RATE", "LIGHTFIELD_WEBHOOK_BURST"),
        *("LIGHTFIELD_SENDER_RATE", "LIGHTFIELD_SENDER_BURST"),
    ),
    "100000",
)

LIVE_RUNS = (
    "SELECT count(*) FROM executions_run WHERE status IN ('pending', 'running', 'waiting')"  # by run_live
)
PENDING_EVENTS = "SELECT count(*) FROM triggers_outboxevent WHERE status = 'pending'"  # by event_pending
ENDS = """
SELECT event_id::text, status, extract(epoch FROM finished_at)::float8 FROM executions_run
WHERE event_id = ANY (%s::uuid[])
"""


@dataclass(frozen=True)
class Workflow:
    """A published workflow: its id and the address of its webhook."""

    id: str
    hook: str


class Installation(System):
    """Calls go through HTTP and SQL; nothing of ours is imported into the bench but the local tools."""

    name = "lightfield"

    def __init__(self, home: Home, sink: FarEnd, *, pid: int, environ: dict[str, str]) -> None:
        super().__init__(sink)
        self.home, self.environ, self.roots = home, environ, [pid]
        self.api = Api(f"http://{HOST}:{environ['LIGHTFIELD_PORT']}")
        self.database_url, self.redis_url = environ["DATABASE_URL"], environ["REDIS_URL"]
        self.connection = psycopg.connect(self.database_url, autocommit=True)
        made = self.manage("create_api_key", "bench")
        if made.returncode != 0:
            raise CannotStart(f"no API key could be made: {made.stderr.strip()[-200:]}")
        self.api.key = made.stdout.strip()

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**self.environ, "LIGHTFIELD_ROLE": "command"}
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    def hook(self, steps: int) -> str:
        return self.publish_requests("Measured", steps).hook

    def publish_requests(self, name: str, steps: int, *, delay_ms: int = 1) -> Workflow:
        """A new workflow of so many requests, one after the other, each answered after `delay_ms`."""
        url = self.sink.url(delay_ms)
        return self.publish(name, [request_step(number, url) for number in range(steps)])

    def publish(
        self, name: str, steps: list[dict[str, Any]], *, signature: dict[str, str] | None = None
    ) -> Workflow:
        trigger = {"type": "webhook", "config": {"signature": signature or {"scheme": "none"}}}
        definition = {"schema": 1, "name": name, "trigger": trigger, "steps": steps}
        workflow = self.api.post("/api/v1/workflows", definition)
        self.api.post(f"/api/v1/workflows/{workflow['id']}/publish")
        return Workflow(workflow["id"], f"{self.api.base}{workflow['webhook_url']}")

    def wait_for(self, replies: list[Reply], *, also: int = 0) -> None:
        super().wait_for(replies, also=also)
        waiting.until("all runs to end", lambda: self.backlog() == 0, seconds=LONGEST_RUN, every=LOOK_EVERY)

    def backlog(self) -> int:
        """Events that are pending and runs that have not ended, over all workflows."""
        return int(self.one(PENDING_EVENTS)) + int(self.one(LIVE_RUNS))

    def ends_of(self, replies: list[Reply], account: Account) -> Ends:  # noqa: ARG002  as all systems
        """By the runs' own `finished_at`, which the database took from this machine's clock."""
        runs = {reply.event_id: reply.run for reply in replies if reply.status == 202}
        found = self.connection.execute(ENDS, [list(runs)]).fetchall()
        at = {runs[event]: ended for event, status, ended in found if status == "completed"}
        problems = refused(replies)
        if len(at) != len(runs) or len(found) != len(runs):
            problems.append(f"{len(at)} of {len(runs)} runs completed, {len(found)} runs there")
        return Ends(at, problems)

    def counts(self) -> counters.Counts:
        return counters.Counts(
            {**counters.of_postgres(self.connection), **counters.of_valkey(self.redis_url)}
        )

    def backlog_of(self, workflow: Workflow) -> int:
        """The same of one workflow."""
        conditions = {"id": workflow.id}
        events = self.one(f"{PENDING_EVENTS} AND workflow_id = %(id)s", conditions)
        return int(events) + int(self.one(f"{LIVE_RUNS} AND workflow_id = %(id)s", conditions))

    def pids(self) -> dict[str, int]:
        """Each process of the installation by its name. Supervisor, fork server and health checks are the rest."""
        return {path.stem: int(path.read_text()) for path in sorted((self.home.path / "run").glob("*.pid"))}

    def spent(self) -> dict[str, float]:
        """CPU seconds of each process until now, by its name."""
        return {name: cpu.seconds_of([pid]) for name, pid in self.pids().items()}

    def one(self, query: str, params: dict[str, Any] | None = None) -> Any:
        row = self.connection.execute(query, params).fetchone()
        assert row is not None
        return row[0]

    def as_superuser(self) -> psycopg.Connection[Any]:
        return psycopg.connect(_superusers(self.database_url), autocommit=True)


def request_step(number: int, url: str) -> dict[str, Any]:
    """A POST that says whose and which it is, so that the sink can keep books."""
    body = {"run": "{{ trigger.id }}", "step": number}
    config = {"method": "POST", "url": url, "json": body, "timeout_seconds": 60}
    return {"key": f"step{number}", "type": "http_request", "config": config}


@contextlib.contextmanager
def running(
    home: Home, sink: FarEnd, *, settings: dict[str, str], statements: bool = False
) -> Iterator[Installation]:
    """A new installation with empty tables, until the block ends.

    `statements` loads pg_stat_statements, which costs a little itself.
    """
    begin_anew(home)
    if statements:
        _load_statements(home)
    environ = environment.basis(home) | {
        "LIGHTFIELD_PORT": str(ports.any_free(HOST)),
        "LIGHTFIELD_FLOWER_PORT": str(ports.any_free(HOST)),
        "LIGHTFIELD_EGRESS_ALLOW": sink.address,
        **UNTHROTTLED,
        **settings,
    }
    child = spawn(
        [sys.executable, "-m", "lightfield.local.up"],
        cwd=ROOT,
        environ=environ,
        output=home.open_log("up"),
        when_parent_dies=signal.SIGTERM,
    )
    try:
        waiting.until("the installation", lambda: _is_up(home, child), seconds=START_SECONDS, every=0.1)
        known = json.loads((home.path / "run" / "environment.json").read_text())
        installation = Installation(home, sink, pid=child.pid, environ={**environ, **known})
        if statements:
            with installation.as_superuser() as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
                connection.execute("GRANT pg_read_all_stats TO lightfield")
                connection.execute("GRANT EXECUTE ON FUNCTION pg_stat_statements_reset TO lightfield")
        with installation.connection:
            yield installation
    finally:
        stop([(child, signal.SIGTERM)], grace=STOP_SECONDS)


def _is_up(home: Home, child: subprocess.Popen[bytes]) -> bool:
    if has_ended(child):
        raise CannotStart(f"bin/up ended: {home.last_lines('up')}")
    return "Lightfield is running" in home.log_file("up").read_text()


def _load_statements(home: Home) -> None:
    """It must be loaded when PostgreSQL starts: said to the cluster before `bin/up` runs on it."""
    with home.exclusively("bin/bench"), Servers(home, redis=False) as servers:
        url = _superusers(servers.urls["DATABASE_URL"])
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")


def _superusers(url: str) -> str:
    """The same database as PostgreSQL's own superuser, whom the embedded server trusts on its socket."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.replace("lightfield@", "postgres@", 1)))


def forget_other_settings() -> None:
    """What was set for another installation does not reach these; they are measured as they come.

    Raises:
        CannotStart: servers were given. Here they are filled and emptied: only our own are.
    """
    for name in ("DATABASE_URL", "REDIS_URL"):
        if environment.given(name):
            raise CannotStart(f"{name} is set; bin/bench fills servers and so uses only its own. Unset it")
    if environment.is_production():
        raise CannotStart("bin/bench is not for production; unset LIGHTFIELD_ENV")
    for name in [*os.environ]:
        if name.startswith(("LIGHTFIELD_", "FLOWER_")) and name != "LIGHTFIELD_HOME":
            del os.environ[name]
