"""Webhooks through a real gunicorn: slow and oversized bodies, and a database that is away, frozen or forgetful.

Between gunicorn and PostgreSQL stands a proxy, so that the line can fail while the tests look at the rows.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import requests
from django.db import connection

from tests.factories import a_published_workflow
from tests.gunicorns import UNTHROTTLED
from tests.proxy import Proxy, a_proxy, dial_postgresql
from tests.servers import _listen
from triggers import services as triggers
from triggers.models import OutboxEvent, Trigger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

BODY_SECONDS, READ_SECONDS = 1.0, 2.0  # instead of 10 and 15, so that the tests need not wait
THREADS = 8
GUNICORN_CONFIG = f"""
def post_worker_init(worker):
    from lightfield import web_worker
    from triggers import intake
    intake.BODY_SECONDS = web_worker.BODY_SECONDS = {BODY_SECONDS}
    web_worker.READ_SECONDS = {READ_SECONDS}
"""


@dataclass
class Web:
    """A running gunicorn."""

    port: int
    database: Proxy
    log: Path

    def post(self, hook: str, body: Any = b"{}", **headers: str) -> requests.Response:
        given = {"Content-Type": "application/json", **headers}
        return requests.post(f"http://127.0.0.1:{self.port}{hook}", data=body, headers=given, timeout=30)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def database_url(port: int) -> str:
    given = connection.settings_dict
    user = quote(str(given["USER"]), safe="")
    password = quote(str(given["PASSWORD"]), safe="")
    name = quote(str(given["NAME"]), safe="")
    return f"postgresql://{user}:{password}@127.0.0.1:{port}/{name}?{urlencode({'sslmode': 'disable'})}"


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "gunicorn.py").write_text(GUNICORN_CONFIG)
    listener = _listen("127.0.0.1", None)
    port = listener.getsockname()[1]
    listener.close()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "lightfield.wsgi",
        "--worker-class",
        "lightfield.web_worker.Worker",
        "--threads",
        str(THREADS),
    ]
    options = ["--bind", f"127.0.0.1:{port}", "--config", str(folder / "gunicorn.py"), "--no-control-socket"]
    with a_proxy(dial_postgresql) as proxy, (folder / "log").open("wb") as log:
        environment = {**os.environ, **UNTHROTTLED, "LIGHTFIELD_ROLE": "web"}
        environment["DATABASE_URL"] = database_url(proxy.port)
        process = subprocess.Popen(command + options, env=environment, stdout=log, stderr=log)
        try:
            wait_until_it_listens(port, process)
            yield Web(port, proxy, folder / "log")
        finally:
            process.terminate()
            process.wait(10)


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 20
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(OSError, requests.RequestException):
            requests.get(f"http://127.0.0.1:{port}/hooks/x", timeout=5)
            return
        time.sleep(0.05)
    raise AssertionError("gunicorn did not start")


@pytest.fixture
def hook(web: Web) -> Iterator[str]:
    path = triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))
    yield path
    web.database.mend()
    assert path.removeprefix("/hooks/") not in web.log.read_text()


def accepted_again_after(web: Web, hook: str) -> float:
    """Seconds until a webhook is accepted; 10 at most."""
    began = time.monotonic()
    while web.post(hook).status_code != 202:
        assert time.monotonic() - began < 10
        time.sleep(0.1)
    return time.monotonic() - began


def assert_unavailable(answer: requests.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["code"] == "engine.database_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert (
        answer.elapsed.total_seconds() < 10
    )  # bounded by us; without the deadline it hangs until the server is back


def test_given_postgresql_is_down_then_the_sender_is_told_within_two_seconds_and_later_accepted(web, hook):
    assert web.post(hook).status_code == 202
    web.database.refuse()

    with ThreadPoolExecutor(40) as senders:
        for answer in senders.map(web.post, [hook] * 200):
            assert_unavailable(answer)
    assert OutboxEvent.objects.count() == 1

    web.database.mend()
    assert accepted_again_after(web, hook) < 5


def test_given_postgresql_is_frozen_then_the_sender_is_told_within_two_seconds_and_later_accepted(web, hook):
    assert web.post(hook).status_code == 202
    web.database.freeze()

    with ThreadPoolExecutor(40) as senders:  # more than there are threads: nobody waits for the others' time
        for answer in senders.map(web.post, [hook] * 200):
            assert_unavailable(answer)

    web.database.mend()
    assert accepted_again_after(web, hook) < 5


def test_given_its_connection_was_cut_then_a_webhook_is_accepted_all_the_same(web, hook):
    assert web.post(hook).status_code == 202
    with connection.cursor() as cursor:
        cursor.execute(
            # And wait until they have ended: one that ends in the middle of the next request may cost it its answer.
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'lightfield-web:%'"
        )
        assert cursor.fetchone()[0] >= 1

    assert web.post(hook).status_code == 202
    assert OutboxEvent.objects.count() == 2


@pytest.mark.parametrize("key", [None, "k-1"])
def test_given_the_answer_to_the_commit_is_lost_then_the_event_is_stored_once_and_told_as_new(web, hook, key):
    headers = {"Idempotency-Key": key} if key else {}
    web.database.lose_the_answer_to(b"the lost one")

    answer = web.post(hook, b'"the lost one"', **headers)

    assert answer.status_code == 202
    assert answer.json() == {"event_id": str(OutboxEvent.objects.get().pk), "duplicate": False}


def test_a_hundred_identical_webhooks_at_once_are_one_event(web, hook):
    def deliver(_: int) -> tuple[int, str]:
        answer = web.post(hook, b'{"a": 1}', **{"Idempotency-Key": "k-1"})
        return answer.status_code, answer.json()["event_id"]

    with ThreadPoolExecutor(100) as senders:
        answers = sorted(senders.map(deliver, range(100)))

    event_id = str(OutboxEvent.objects.get().pk)
    assert answers == [(200, event_id)] * 99 + [(202, event_id)]


@pytest.mark.parametrize("size", [(1 << 20) + 1, 5 << 20])
def test_a_sender_of_a_body_that_is_too_large_can_read_the_answer(web, hook, size):
    answer = web.post(hook, b" " * size)

    assert (answer.status_code, answer.json()["code"]) == (413, "payload.too_large")
    assert web.post(hook, b" " * (1 << 20)).json()["code"] == "payload.invalid_json"


def test_a_chunked_body_is_accepted_and_bounded(web, hook):
    assert web.post(hook, iter([b'{"a"', b": 1}"])).status_code == 202
    assert OutboxEvent.objects.get().payload == {"a": 1}
    assert web.post(hook, iter([b" " * 65536] * 17)).status_code == 413


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nfff\r\n"]
)
def test_a_body_that_trickles_in_is_refused_in_time(web, hook, framing):
    with web.connect() as sender:
        sender.sendall(f"POST {hook} HTTP/1.1\r\nHost: x\r\n".encode() + framing)
        began = time.monotonic()
        answer = b""
        sender.settimeout(0.1)
        while b"}" not in answer and time.monotonic() - began < 5 * BODY_SECONDS:
            sender.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer += sender.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"payload.too_slow" in answer
    assert BODY_SECONDS <= time.monotonic() - began < 10 * BODY_SECONDS
    assert web.post(hook).status_code == 202


def test_a_sender_that_hangs_up_in_the_middle_leaves_nothing(web, hook):
    with web.connect() as sender:
        sender.sendall(f"POST {hook} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{}}".encode())
        sender.shutdown(socket.SHUT_WR)
        answer = sender.recv(4096)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not OutboxEvent.objects.exists()


def test_a_kept_alive_connection_serves_webhook_after_webhook(web, hook):
    with requests.Session() as session:
        url = f"http://127.0.0.1:{web.port}{hook}"
        statuses = [session.post(url, json={"n": n}, timeout=30).status_code for n in range(20)]

    assert statuses == [202] * 20
    assert OutboxEvent.objects.count() == 20


@pytest.mark.parametrize(
    "chunks", [b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"2\r\n{}XX0\r\n\r\n", b"2;a\rb\r\n{}\r\n0\r\n\r\n"]
)
def test_broken_chunks_are_the_senders_fault(web, hook, chunks):
    with web.connect() as sender:
        sender.sendall(
            f"POST {hook} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks
        )
        answer = b""
        while b"}" not in answer and (more := sender.recv(4096)):
            answer += more

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"payload.incomplete" in answer
    assert not OutboxEvent.objects.exists()


@pytest.mark.parametrize("half", [b"", b"GET /livez HTT", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
def test_half_heads_take_no_thread(web, hook, half):
    with contextlib.ExitStack() as senders:
        for _ in range(10 * THREADS):
            senders.enter_context(web.connect()).sendall(half)
        began = time.monotonic()

        assert web.post(hook).status_code == 202
        assert time.monotonic() - began < READ_SECONDS


def test_a_head_that_comes_in_pieces_is_served(web, hook):
    with web.connect() as sender:
        for piece in (
            b"POST ",
            hook.encode(),
            b" HTTP/1.1\r\nHost: x\r\n",
            b"Content-Length: 2\r\n\r",
            b"\n{",
            b"}",
        ):
            sender.sendall(piece)
            time.sleep(0.1)  # so that each is a packet of its own

        assert sender.recv(4096).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("beginning", [b"", b"POST /hooks/x HTTP/1.1\r\n"])
def test_a_head_that_breaks_off_ends_the_connection(web, hook, beginning):
    with web.connect() as sender:
        sender.sendall(beginning)
        sender.shutdown(socket.SHUT_WR)

        assert sender.recv(4096) == b""
    assert web.post(hook).status_code == 202


def test_a_head_that_trickles_in_is_cut_off(web, hook):
    with web.connect() as sender:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 5 * READ_SECONDS:
                sender.sendall(b"G")
                time.sleep(0.1)

    assert time.monotonic() - began < 10 * READ_SECONDS


def test_pipelined_requests_are_all_answered(web, hook):
    one = f"POST {hook} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    answer = b""
    with web.connect() as sender:
        sender.sendall(one * 3 + one[:20])
        while answer.count(b"event_id") < 3 and (more := sender.recv(4096)):
            answer += more

    assert answer.count(b"HTTP/1.1 202 ") == 3
