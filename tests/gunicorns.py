"""The real web server for tests: gunicorn with our worker, on a free port, with times of one's own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.db import connection

from tests.servers import _listen

THREADS = 8
# Servers of tests share an address and a Redis: what is sent in vain to one of them does not close the others.
UNTHROTTLED = {"LIGHTFIELD_REFUSED_RATE": "1000000", "LIGHTFIELD_SENDER_RATE": "1000000"}


@dataclass
class Gunicorn:
    """A running one, with one worker process."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def post(self, path: str, body: Any = b"{}", **headers: str) -> requests.Response:
        given = {"Content-Type": "application/json", **headers}
        return requests.post(f"http://127.0.0.1:{self.port}{path}", data=body, headers=given, timeout=30)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def told(self, raw: bytes) -> bytes:
        """All that comes back for these bytes, until the server ends the connection."""
        with self.connect() as sender:
            with contextlib.suppress(OSError):  # it may have heard enough
                sender.sendall(raw)
                sender.shutdown(socket.SHUT_WR)
            return read_all(sender)

    @property
    def worker(self) -> int:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    @property
    def memory_mb(self) -> float:
        """Resident memory of the worker process."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.worker}/status").read_text())
        assert found
        return int(found[1]) / 1024


def read_all(sender: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(OSError):
        while more := sender.recv(65536):
            answer += more
    return answer


def database_url() -> str:
    """The test database on the server that the tests were given."""
    return urlunsplit(
        urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    )


@contextlib.contextmanager
def a_gunicorn(
    folder: Path,
    *,
    config: str = "",
    options: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[Gunicorn]:
    """`config`: lines of `post_worker_init`, e.g. `web_worker.BODY_SECONDS = 1.0`."""
    lines = ["from lightfield import web_worker", "from triggers import intake", *config.splitlines()]
    (folder / "gunicorn.py").write_text("def post_worker_init(worker):\n    " + "\n    ".join(lines) + "\n")
    listener = _listen("127.0.0.1", None)
    port = listener.getsockname()[1]
    listener.close()
    command = [sys.executable, "-m", "gunicorn", "lightfield.wsgi", "--no-control-socket", "--preload"]
    command += ["--worker-class", "lightfield.web_worker.Worker", "--threads", str(THREADS)]
    command += ["--bind", f"127.0.0.1:{port}", "--config", str(folder / "gunicorn.py"), *options]
    given = {
        **os.environ,
        "LIGHTFIELD_ROLE": "web",
        "DATABASE_URL": database_url(),
        **UNTHROTTLED,
        **(environ or {}),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=given, stdout=log, stderr=log)
        try:
            _wait_until_it_listens(port, process, folder / "log")
            yield Gunicorn(port, folder / "log", process)
        finally:
            process.terminate()
            process.wait(40)


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError, requests.RequestException):
            requests.get(f"http://127.0.0.1:{port}/livez", timeout=5)
            return
        time.sleep(0.05)
    raise AssertionError(f"gunicorn did not start: {log.read_text()[-2000:]}")
