"""Senders that mean harm, through the real web server: what they are told, and that nobody else notices them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.factories import a_published_workflow
from tests.gunicorns import THREADS, Gunicorn, a_gunicorn, read_all
from triggers import services as triggers
from triggers.models import OutboxEvent, Trigger

pytestmark = pytest.mark.slow

MANY = 10 * THREADS
# Times that no test waits for: whoever stood behind a slow sender would be given up (30 s) long before
PATIENT = "intake.BODY_SECONDS = web_worker.BODY_SECONDS = web_worker.READ_SECONDS = 300.0"
IMPATIENT = "intake.BODY_SECONDS = web_worker.BODY_SECONDS = 0.5; web_worker.READ_SECONDS = 1.0"


@pytest.fixture(scope="module")
def patient(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker
) -> Iterator[Gunicorn]:
    with (
        django_db_blocker.unblock(),
        a_gunicorn(tmp_path_factory.mktemp("patient"), config=PATIENT) as server,
    ):
        yield server
        server.process.kill()  # it would wait for the half bodies


@pytest.fixture(scope="module")
def impatient(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker
) -> Iterator[Gunicorn]:
    with (
        django_db_blocker.unblock(),
        a_gunicorn(tmp_path_factory.mktemp("impatient"), config=IMPATIENT) as server,
    ):
        yield server


@pytest.fixture
def hook(transactional_db: None) -> str:
    return triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: x", *lines, "", "")).encode()


def problem(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer that must be one problem document."""
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in top, answer
    return int(top.split()[1]), json.loads(body)["code"]


HALVES = {
    "headers": lambda path: head(path)[:-2],
    "small body": lambda path: head(path, "Content-Length: 900") + b"{",
    "large body": lambda path: head(path, "Content-Length: 1000000") + b"{",
    "too large a body": lambda path: head(path, "Content-Length: 7000000") + b"{",
    "long headers": lambda path: head(path, *[f"X-{n}: {'x' * 4000}" for n in range(5)])[:-2],
    "chunks": lambda path: head(path, "Transfer-Encoding: chunked") + b"5\r\n{",
    "chunks that end in their midst": lambda path: (
        head(path, "Transfer-Encoding: chunked") + b"fff\r\n" + b" " * 9 + b"\r\n0\r\n\r\n"
    ),
    "a length with many zeros": lambda path: head(path, f"Content-Length: {'0' * 500}900") + b"{",
    "a body that nobody asked for": lambda path: head(path, "Expect: 100-continue", "Content-Length: 900"),
    "a second request": lambda path: (
        head(path, "Content-Length: 2") + b"{}" + head(path, "Content-Length: 9")
    ),
}


@pytest.mark.parametrize("half", HALVES)
def test_given_ten_times_as_many_half_requests_as_threads_then_others_are_served(patient, hook, half):
    with contextlib.ExitStack() as senders:
        for _ in range(MANY):
            senders.enter_context(patient.connect()).sendall(HALVES[half](hook))

        with ThreadPoolExecutor(4) as others:
            statuses = list(others.map(lambda _: patient.post(hook).status_code, range(20)))

    assert statuses == [202] * 20


@pytest.mark.parametrize("half", ["headers", "small body", "large body", "chunks"])
def test_whoever_is_too_slow_is_told_408(impatient, hook, half):
    with impatient.connect() as sender:
        sender.sendall(HALVES[half](hook))
        answer = read_all(sender)

    assert problem(answer) == (408, "request.too_slow" if "headers" in half else "payload.too_slow")
    assert impatient.post(hook).status_code == 202


def test_given_more_slow_chunked_bodies_than_may_be_read_then_all_are_told_408(impatient, hook):
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(impatient.connect()) for _ in range(MANY)]
        for sender in senders:
            sender.sendall(HALVES["chunks"](hook))
        statuses = {problem(read_all(sender))[0] for sender in senders}

    assert statuses == {408}


def test_a_connection_that_never_sends_is_closed_without_a_word(impatient):
    with impatient.connect() as sender:
        assert read_all(sender) == b""


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (lambda path: head(path + "x" * 5000), (414, "request.line_too_long")),
        (lambda path: head(path, *[f"X-{n}: 1" for n in range(101)]), (431, "request.headers_too_large")),
        (lambda path: head(path, "X-Long: " + "x" * 9000), (431, "request.headers_too_large")),
        (lambda path: f"POST {path} canary HTTP/1.1\r\n\r\n".encode(), (400, "request.malformed")),
        (lambda path: f"POST {path}\r\n\r\n".encode(), (400, "request.malformed")),
        (lambda path: f"PO(ST {path} HTTP/1.1\r\n\r\n".encode(), (400, "request.malformed")),
        (lambda path: f"POST {path} HTTP/9.9\r\n\r\n".encode(), (400, "request.malformed")),
        (lambda path: head(path, "canary header"), (400, "request.malformed")),
        (lambda path: head(path, "X: canary\0"), (400, "request.malformed")),
        (lambda path: head(path, " X: folded"), (400, "request.malformed")),
        (lambda path: head(path, "Content-Length: 2", "Content-Length: 3") + b"{}", (400, "request.malformed")),
        (lambda path: head(path, "Content-Length: -1"), (400, "request.malformed")),
        (
            lambda path: head(path, "Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
            (400, "request.malformed"),
        ),
        (lambda path: head(path, "Transfer-Encoding: canary"), (501, "request.unsupported_transfer_coding")),
        (lambda path: head(path, "Content-Encoding: gzip", "Content-Length: 2") + b"\x1f\x8b", (415, "payload.unsupported_encoding")),
        (lambda path: head(path, "Content-Type: text/html", "Content-Length: 2") + b"{}", (415, "payload.unsupported_type")),
        (lambda path: head(path, "Content-Length: 100000") + b"[" * 100_000, (400, "payload.too_deep")),
        (lambda path: head(path, "Content-Length: 1048577") + b" " * 1_048_577, (413, "payload.too_large")),
        (
            lambda path: head(path, "Transfer-Encoding: chunked") + b"100001\r\n" + b" " * 0x100001 + b"\r\n0\r\n\r\n",
            (413, "payload.too_large"),
        ),
        (lambda path: head(path, "Content-Length: 99999999999"), (413, "payload.too_large")),
        (lambda path: head(path, "Content-Length: 9") + b"{}", (400, "payload.incomplete")),
    ],
)  # fmt: skip
def test_what_is_no_request_of_ours_gets_its_code_and_none_of_it_back(patient, hook, raw, told):
    answer = patient.told(raw(hook))

    assert problem(answer) == told
    assert b"canary" not in answer
    assert hook.encode() not in answer
    assert patient.post(hook).status_code == 202


def test_a_body_that_comes_right_after_its_headers_is_served(patient, hook):
    for size in (2, 20_000, 120_000, 500_000):
        body = b'"' + b"x" * (size - 2) + b'"'
        with patient.connect() as sender:
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sender.sendall(head(hook, f"Content-Length: {size}", "Connection: close"))
            for start in range(0, size, 7_000):
                sender.sendall(body[start : start + 7_000])
            assert read_all(sender).startswith(b"HTTP/1.1 202 ")

    assert OutboxEvent.objects.count() == 4


def test_a_sender_that_waits_to_be_asked_for_its_body_is_asked(patient, hook):
    with patient.connect() as sender:
        sender.sendall(head(hook, "Expect: 100-continue", "Content-Length: 2", "Connection: close"))
        assert sender.recv(4096).startswith(b"HTTP/1.1 100 ")
        sender.sendall(b"{}")
        assert read_all(sender).startswith(b"HTTP/1.1 202 ")


def test_small_chunks_that_are_all_there_wait_for_nobody(patient, hook):
    whole = head(hook, "Transfer-Encoding: chunked", "Connection: close") + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with contextlib.ExitStack() as senders:
        for _ in range(MANY):
            senders.enter_context(patient.connect()).sendall(HALVES["chunks"](hook))

        assert patient.told(whole).startswith(b"HTTP/1.1 202 ")


def test_given_two_hundred_hostile_requests_then_memory_is_what_it_was(impatient, hook):
    def hostile(number: int) -> None:
        impatient.told(head(hook, "Content-Length: 1048577") + b" " * 1_048_577)
        impatient.told(head(hook, "Content-Length: 100000") + b"[" * 100_000)
        impatient.told(head(f"/hooks/guess-{number}", *[f"X-{n}: {'x' * 8000}" for n in range(100)]))

    with ThreadPoolExecutor(8) as senders:
        list(senders.map(hostile, range(20)))
        before = impatient.memory_mb
        list(senders.map(hostile, range(67)))

    assert impatient.memory_mb - before < 32


def test_given_more_waiters_than_threads_then_others_are_served_and_a_stop_answers_all(hook, tmp_path):
    with a_gunicorn(tmp_path) as server, ThreadPoolExecutor(2 * THREADS) as callers:
        waiting = [callers.submit(server.post, f"{hook}?wait=25") for _ in range(2 * THREADS)]
        assert [server.post(hook).status_code for _ in range(20)] == [202] * 20

        server.process.send_signal(signal.SIGTERM)

        assert [one.result(20).status_code for one in waiting] == [202] * len(waiting)
        assert server.process.wait(20) == 0
    assert OutboxEvent.objects.count() == 20 + len(waiting)


def test_given_one_endpoint_at_its_limit_then_it_is_told_429_and_another_is_served(hook, tmp_path):
    other = triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))
    limits = {"LIGHTFIELD_WEBHOOK_RATE": "0.05", "LIGHTFIELD_WEBHOOK_BURST": "20"}
    with (
        a_gunicorn(tmp_path, environ=limits, options=["--workers", "2"]) as server,
        ThreadPoolExecutor(8) as senders,
    ):
        flood = [answer.status_code for answer in senders.map(server.post, [hook] * 200)]
        beside = [answer.status_code for answer in senders.map(server.post, [other] * 10)]

    # Each process may let its burst through before it has heard of the other's
    assert 20 <= flood.count(202) <= 40
    assert flood.count(202) + flood.count(429) == 200
    assert beside == [202] * 10
