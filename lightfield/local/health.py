"""Whether one process of the installation does its work: `python -m lightfield.local.health worker-http`.

Ends with 0, or with 1 and one line. bin/up asks every 30 seconds and replaces a process that is silent;
docker-compose.yml asks with the same commands. A server that is away (PostgreSQL, Redis) is never held
against a process: ending it would not bring the server back.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from collections.abc import Mapping

from lightfield.local.processes import node_of

PATIENCE = 5.0  # seconds
LONGEST_SILENCE_OF_BEAT = 120.0  # seconds; it rings every 10


def problem_of(process: str, environ: Mapping[str, str], *, patience: float = PATIENCE) -> str:
    """'' when all is well, else what is wrong. `patience` in seconds, for one answer."""
    if process == "web":
        return _page_problem(environ, environ.get("LIGHTFIELD_PORT", "8000"), "/livez", patience)
    if process == "flower":
        return _page_problem(environ, environ.get("LIGHTFIELD_FLOWER_PORT", "5555"), "/healthcheck", patience)
    if process == "beat":
        return _beat_problem(environ["DATABASE_URL"], patience)
    return _worker_problem(environ["REDIS_URL"], node_of(process), patience)


def reachable_host(environ: Mapping[str, str]) -> str:
    """Where to reach what listens on LIGHTFIELD_BIND from this machine."""
    bind = environ.get("LIGHTFIELD_BIND") or "127.0.0.1"
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)


def _page_problem(environ: Mapping[str, str], port: str, path: str, patience: float) -> str:
    host = reachable_host(environ)
    known = environ.get("LIGHTFIELD_ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".")
    headers = {"Host": known if known not in ("", "*") else host, "X-Forwarded-Proto": "https"}
    connection = http.client.HTTPConnection(host, int(port), timeout=patience)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except OSError as error:
        return f"{host}:{port} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == 200 else f"{host}:{port}{path} answers {status}"


def _worker_problem(redis_url: str, node: str, patience: float) -> str:
    """Ask the node by name through Redis."""
    from celery import Celery
    from kombu.exceptions import OperationalError
    from redis.exceptions import RedisError

    app = Celery(broker=redis_url, set_as_current=False)
    app.conf.broker_transport_options = {"socket_timeout": patience, "socket_connect_timeout": patience}
    name = f"{node}@{socket.gethostname()}"
    try:
        answers = app.control.ping(destination=[name], timeout=patience, limit=1)
    except (OperationalError, RedisError, OSError):
        return ""
    return "" if answers else f"{name} does not answer"


def _beat_problem(database_url: str, patience: float) -> str:
    """Beat sends a heartbeat through every queue; workers write its arrival to the database."""
    import psycopg

    try:
        with psycopg.connect(database_url, connect_timeout=int(patience)) as connection:
            row = connection.execute(
                "SELECT extract(epoch FROM clock_timestamp() - max(at))::float FROM executions_heartbeat"
            ).fetchone()
    except psycopg.Error:
        return ""
    silence = row[0] if row and row[0] is not None else 0.0
    return "" if silence < LONGEST_SILENCE_OF_BEAT else f"no heartbeat for {silence:.0f} s"


def main() -> int:
    problem = problem_of(sys.argv[1], os.environ)
    if problem:
        print(problem)
    return 1 if problem else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # to take down what a forked process shares costs more than the question
