"""Addresses of webhooks and secrets of senders are in no log line, whatever goes wrong, and in nothing that is kept."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from lightfield import web_log
from lightfield.kernel import logs
from lightfield.kernel.secret_paths import without_addresses
from tests.factories import a_published_workflow
from tests.gunicorns import Gunicorn, a_gunicorn
from triggers import services as triggers
from triggers.models import Trigger

CANARY = "canary-7f3a"  # in whatever else a sender may write
EVERYTHING = " ".join(
    f"%({atom})s"
    for atom in (
        *"hlutrsmUqHbBfaTDMLp",
        *("{referer}i", "{authorization}i", "{cookie}i", "{stripe-signature}i", "{user-agent}i", "{host}i"),
        *("{raw_uri}e", "{path_info}e", "{query_string}e", "{http_referer}e", "{http_authorization}e"),
        *("{set-cookie}o", "{content-type}o", "{location}o"),
    )
)
UNKNOWN = "unknown-token-of-a-guesser-0123456789abcdef01"
SECRETS = f"Authorization: Bearer {CANARY}\r\nCookie: a={CANARY}\r\nStripe-Signature: t=1,v1={CANARY}\r\n"


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[Gunicorn]:
    options = ["--access-logfile", "-", "--access-logformat", EVERYTHING, "--log-level", "debug"]
    times = "intake.BODY_SECONDS = web_worker.BODY_SECONDS = 0.3; web_worker.READ_SECONDS = 0.6"
    with a_gunicorn(tmp_path, config=times, options=options) as server:
        yield server


def requests_with(token: str) -> list[bytes]:
    """Right and wrong ones, each with the token where a sender or a proxy may put it."""
    lines = [
        f"POST /hooks/{token} HTTP/1.1",
        f"POST /hooks/{token}?wait=x&secret={CANARY} HTTP/1.1",
        f"GET /hooks/{token} HTTP/1.1",
        f"POST //hooks/{token} HTTP/1.1",
        f"POST /hooks//{token}/ HTTP/1.1",
        f"POST /Hooks/{token} HTTP/1.1",
        f"POST /api/v1/hooks/{token} HTTP/1.1",
        f"POST /%68ook%73/{token} HTTP/1.1",
        f"POST /hooks%2F{token} HTTP/1.1",
        f"POST /hooks%252F{token} HTTP/1.1",
        f"POST http://example.com/hooks/{token} HTTP/1.1",
        f"POST /hooks/{token} {CANARY} HTTP/1.1",
        f"POST /hooks/{token}",
        f"POST /hooks/{token} HTTP/7.3",
        f"P(ST /hooks/{token} HTTP/1.1",
        f"POST /hooks/{token}{'x' * 5000} HTTP/1.1",
        f"GET /livez HTTP/1.1\r\nReferer: https://example.com/hooks/{token}?a={CANARY}",
        f"GET /admin/?next=/hooks/{token} HTTP/1.1",
        f"POST /hooks/{token} HTTP/1.1\r\nbroken {CANARY}",
        f"POST /hooks/{token} HTTP/1.1\r\nX-{CANARY}\x01: {CANARY}",
        f"POST /hooks/{token} HTTP/1.1\r\nTransfer-Encoding: {CANARY}",
        f"POST /hooks/{token} HTTP/1.1\r\nIdempotency-Key: {CANARY} with blanks",
        f"POST /hooks/{token} HTTP/1.1\r\nX-Long: {CANARY}{'x' * 9000}",
    ]
    return [
        *(f"{line}\r\nHost: x\r\n{SECRETS}Content-Length: 2\r\n\r\n{{}}".encode() for line in lines),
        f"POST /hooks/{token} HTTP/1.1\r\nHost: x\r\n{SECRETS}Content-Length: 9\r\n\r\n{CANARY}".encode(),
        f"POST /hooks/{token} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
        f"POST /hooks/{token} HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n".encode() + b" " * 1_048_577,
    ]


def send(server: Gunicorn, raw: bytes, *, slowly: bool = False) -> None:
    with server.connect() as sender, contextlib.suppress(OSError):
        sender.sendall(raw)
        if not slowly:
            sender.shutdown(socket.SHUT_WR)
        while sender.recv(65536):
            pass


@pytest.mark.slow
def test_whatever_is_sent_no_log_line_no_table_and_no_key_holds_a_token_or_a_secret(server):
    hook = triggers.webhook_path(Trigger.objects.get(workflow=a_published_workflow()))
    token = hook.removeprefix("/hooks/")

    for raw in requests_with(token) + requests_with(UNKNOWN):
        send(server, raw)
    for half in (b"", b"Content-Length: 9\r\n\r\n{"):
        send(server, f"POST {hook} HTTP/1.1\r\nHost: x\r\n".encode() + half, slowly=True)
    server.post(hook)

    written = server.log.read_text()
    assert written.count("/hooks/…") > 20, "the access log was on"
    assert "Invalid request from ip=127.0.0.1" in written
    for secret in (token, UNKNOWN, CANARY):
        assert [line for line in written.splitlines() if secret in line] == []
    assert list(tables_with(token, UNKNOWN)) == []
    assert [key for key in everything_in_redis() if token in key or UNKNOWN in key] == []


def tables_with(*secrets: str) -> Iterator[str]:
    for name in connection.introspection.table_names():
        with connection.cursor() as cursor:
            for secret in secrets:
                cursor.execute(f'SELECT count(*) FROM "{name}" t WHERE t::text LIKE %s', [f"%{secret}%"])
                if cursor.fetchone()[0]:
                    yield name


def everything_in_redis() -> Iterator[str]:
    client: Any = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter():
        kind = client.type(key).decode()
        value: Any = {
            "string": lambda: client.get(key),  # noqa: B023
            "list": lambda: client.lrange(key, 0, -1),  # noqa: B023
            "hash": lambda: client.hgetall(key),  # noqa: B023
            "zset": lambda: client.zrange(key, 0, -1),  # noqa: B023
            "set": lambda: client.smembers(key),  # noqa: B023
        }.get(kind, lambda: "")()
        yield f"{key!r} {value!r}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("POST /hooks/abc HTTP/1.1", "POST /hooks/… HTTP/1.1"),
        ("/hooks/abc?wait=5", "/hooks/…?wait=5"),
        ("/HOOKS%2fabc%41/x", "/HOOKS%2f…"),
        ("/%68%6Fok%73/abc", "/%68%6Fok%73/…"),
        ("/hooks%252Fabc", "/hooks%252F…"),
        ('{"path": "\\/hooks\\/abc", "a": 1}', '{"path": "\\/hooks\\/…", "a": 1}'),
        ("workflows/hooks.py and hooks", "workflows/hooks.py and hooks"),
    ],
)
def test_an_address_is_cut_out_however_it_is_spelled(text, shown):
    assert without_addresses(text) == shown


def test_a_log_line_of_anybodys_holds_no_address(capfd):
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    try:
        logs.configure()
        try:
            raise ValueError("cannot send to https://x/hooks/abc-token")
        except ValueError:
            logging.getLogger("a.library").exception(
                "Not Found: %s", "//hooks/abc-token", extra={"u": "/hooks/abc-token"}
            )
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert "abc-token" not in line
    assert json.loads(line)["event"] == "Not Found: //hooks/…"


def test_gunicorns_own_lines_are_filtered_too_with_their_tracebacks():
    written = io.StringIO()
    logger = logging.Logger("gunicorn.error")
    logger.addHandler(logging.StreamHandler(written))
    log = type("Log", (), {"error_log": logger, "access_log": logging.Logger("gunicorn.access")})
    web_log.keep_secrets_out(log)
    web_log.keep_secrets_out(log)
    try:
        raise ValueError("/hooks/abc-token")
    except ValueError:
        logger.exception("Error handling request %s", "/hooks/abc-token")

    assert len(logger.filters) == 1
    assert "abc-token" not in written.getvalue()
    assert "ValueError: /hooks/…" in written.getvalue()
