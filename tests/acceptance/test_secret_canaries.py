"""Forty canaries in every slot, through a real installation with faults: found nowhere, in any spelling, but where they are sealed."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from executions.secrets.hiding import spellings_of
from lightfield.local.calls import Api
from tests.acceptance import installation as installations
from tests.acceptance.installation import Installation
from tests.servers import Server, Visit, a_server, http

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NAMES = [f"canary_{n}" for n in range(20)]
ODD = ('q"', "a\\b", "/+=", "<é>", "%&", "ü w", "'", "+/", "{}")  # what encoders rewrite
OLD = {name: f"old-{name}-{ODD[n % 9]}-{n:04}-sk_live" for n, name in enumerate(NAMES)}
NEW = {name: f"new-{name}-{ODD[n % 7]}-{n:04}-sk_test" for n, name in enumerate(NAMES)}
PATHS = ("echo", "refused", "busy", "silent", "garbage", "cut", "gzip", "elsewhere")
LONGEST = 12  # characters of a spelling that is looked for, at least: "%2B-0001" proves nothing


def far_end(visit: Visit) -> None:
    """Says back whatever it was sent, in as many ways as there are to end badly."""
    while (request := visit.receive()) is not None:
        sent = json.dumps(request.headers)
        raw = "\n".join(request.headers.values())
        kind = request.path.split("/")[1].split("?")[0]
        echo = (
            f"{raw}\n{base64.b64encode(raw.encode('latin-1')).decode()}\n{urllib.parse.quote(raw)}".encode()
        )
        header = raw.replace("\n", " ").encode("latin-1").decode("latin-1")
        if kind == "echo":
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Echo: {header}\r\n"
            visit.send(f"{head}Content-Length: {len(sent)}\r\n\r\n{sent}".encode("latin-1"))
        elif kind == "refused":
            visit.send(http("500 Oops", echo))
        elif kind == "busy":
            visit.send(http("503 Busy", echo))
        elif kind == "silent":
            visit.stopped.wait(2)
            return
        elif kind == "garbage":
            visit.send(b"HTTP/1.1 " + echo)
            return
        elif kind == "cut":
            visit.send(http("200 OK", echo + b"x" * 50)[:-50])
            return
        elif kind == "gzip":
            visit.send(http("200 OK", echo, content_encoding="gzip"))
        else:
            visit.send(http("307 There", echo, location=f"http://127.0.0.1:{STRANGER[0]}/echo"))


STRANGER: list[int] = []


def slots(name: str, other: str) -> dict[str, dict[str, Any]]:
    """Every slot that takes a secret."""
    secret = f"{{{{ secret.{name} }}}}"
    return {
        "header": {"headers": {"X-Plain-Name": secret, "X-Two": f"a {secret} b {{{{ secret.{other} }}}}"}},
        "bearer": {"auth": {"type": "bearer", "token": secret}},
        "basic": {"auth": {"type": "basic", "username": "u", "password": secret}},
        "user": {"auth": {"type": "basic", "username": secret}},
        "own": {"auth": {"type": "header", "name": "X-Own", "value": f"v1 {secret}"}},
    }


def a_step(key: str, url: str, config: dict[str, Any]) -> dict[str, Any]:
    retry = {"max_attempts": 2, "base_seconds": 0.2, "cap_seconds": 0.2}
    more = {"method": "POST", "url": url, "timeout_seconds": 0.5, "allow_redirects": True}
    return {"key": key, "type": "http_request", "config": {**more, **config}, "retry": retry}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Installation, Server, Server]]:
    with ExitStack() as held:
        server, stranger = (held.enter_context(a_server(far_end)) for _ in range(2))
        STRANGER[:] = [stranger.port]
        allowed = f"{server.endpoint},{stranger.endpoint}"
        yield (
            held.enter_context(installations.running(tmp_path, LIGHTFIELD_EGRESS_ALLOW=allowed)),
            server,
            stranger,
        )


def test_no_canary_is_found_anywhere(house: tuple[Installation, Server, Server]) -> None:
    installation, server, stranger = house
    made = {
        name: installation.api.post(
            "/api/v1/credentials", {"name": name, "value": value, "hosts": [server.endpoint]}
        )
        for name, value in OLD.items()
    }
    workflows = []
    for number, name in enumerate(NAMES):
        for place, (slot, config) in enumerate(slots(name, NAMES[number - 1]).items()):
            path = PATHS[(number + place) % len(PATHS)]
            steps = [
                a_step("first", f"{server.url}/echo/{slot}", config),
                a_step("second", f"{server.url}/{path}", config),
            ]
            workflows.append(installation.publish(*steps, name=f"{name} {slot} {path}"))

    fire(installation, workflows)
    os.kill(int((installation.home / "run" / "worker-http.pid").read_text()), signal.SIGKILL)
    for name, row in made.items():
        installation.api.patch(f"/api/v1/credentials/{row['id']}", {"value": NEW[name]})
    fire(installation, workflows)
    installation.wait_for("the end of every run", lambda: all_ended(installation, 2 * len(workflows)))
    searched = everything_told(installation, workflows)

    values = [*OLD.values(), *NEW.values()]
    arrived = "\n".join(request.head.decode("utf-8", "replace") for request in server.requests)
    assert all(value in arrived for value in NEW.values()), "the far end got them"
    assert len(stranger.requests) > 10, "redirects were followed"
    needles = {one.text for value in values for one in spellings_of(value) if len(one.text) >= LONGEST}
    told_elsewhere = "\n".join(request.head.decode("utf-8", "replace") for request in stranger.requests)
    assert [needle for needle in needles if needle in told_elsewhere] == []
    assert sum(map(len, searched.values())) > 1_000_000
    assert "[redacted]" in "".join(searched.values())
    found = {(where, needle) for where, text in searched.items() for needle in needles if needle in text}
    assert found == set()


def fire(installation: Installation, workflows: list[dict[str, Any]]) -> None:
    hook = Api(installation.api.base)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda workflow: hook.post(workflow["webhook_url"], {"n": 1}), workflows))


def all_ended(installation: Installation, wanted: int) -> bool:
    with psycopg.connect(installation.url("DATABASE_URL"), autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE status IN ('completed', 'failed')) FROM executions_run"
        ).fetchone()
    return found == (wanted, wanted)


def everything_told(installation: Installation, workflows: list[dict[str, Any]]) -> dict[str, str]:
    """All tables (unescaped and as they are), Redis, logs, API, admin and Flower, each as one text."""
    told = {**tables(installation), "redis": redis_dump(installation)}
    for path in (installation.home / "logs").rglob("*"):
        if path.is_file():
            told[f"log {path.name}"] = path.read_text(errors="replace")
    api = installation.api
    paths = [
        "/api/v1/credentials?limit=100",
        "/api/v1/events?limit=100",
        "/api/v1/deliveries?limit=100",
        "/api/v1/workflows?limit=100",
    ]
    for run in [run for workflow in workflows[::3] for run in installation.runs(workflow)]:
        paths += [f"/api/v1/runs/{run['id']}", f"/api/v1/runs/{run['id']}/timeline"]
    paths += [f"/api/v1/workflows/{workflow['id']}" for workflow in workflows[::5]]
    told |= {f"api {path}": json.dumps(api.get(path), ensure_ascii=False) for path in paths}
    return told | pages(
        installation, [path for path in paths if re.fullmatch(r"/api/v1/runs/[0-9a-f-]+", path)]
    )


def tables(installation: Installation) -> dict[str, str]:
    told = {}
    with psycopg.connect(installation.url("DATABASE_URL"), autocommit=True) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            rows = connection.execute(f"SELECT to_jsonb(t) - 'ciphertext' FROM \"{name}\" t").fetchall()
            told[f"table {name}"] = "\n".join(
                json.dumps(row[0], ensure_ascii=False) + "\n".join(texts(row[0])) for row in rows
            )
    return told


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in [*value, *(value.values() if isinstance(value, dict) else ())]:
            yield from texts(item)


def redis_dump(installation: Installation) -> str:
    client: Any = redis.Redis.from_url(installation.url("REDIS_URL"))
    kinds = {
        b"string": client.get, b"hash": client.hgetall, b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1), b"zset": lambda key: client.zrange(key, 0, -1),
    }  # fmt: skip
    return "\n".join(f"{key!r} {kinds.get(client.type(key), str)(key)!r}" for key in client.scan_iter())


def pages(installation: Installation, runs: list[str]) -> dict[str, str]:
    """The admin's pages as its superuser sees them, and Flower's."""
    kept = json.loads((installation.home / "kept.json").read_text())
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
    )
    base = installation.api.base
    form = opener.open(f"{base}/admin/login/?next=/admin/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
    assert token
    fields = {"username": "admin", "password": kept["admin_password"], "csrfmiddlewaretoken": token[1]}
    opener.open(f"{base}/admin/login/?next=/admin/", urllib.parse.urlencode(fields).encode())
    ids = [path.rpartition("/")[2] for path in runs[:20]]
    paths = [
        "access/credential/",
        "access/auditentry/",
        "executions/run/",
        "workflows/workflow/",
        "triggers/delivery/",
    ]
    paths += [f"executions/run/{run_id}/change/" for run_id in ids]
    told = {f"admin {path}": opener.open(f"{base}/admin/{path}").read().decode() for path in paths}
    assert "canary_3" in told["admin access/credential/"]
    login = base64.b64encode(f"lightfield:{kept['flower_password']}".encode()).decode()
    port = installation.environ["LIGHTFIELD_FLOWER_PORT"]
    for path in ("/", "/tasks", "/api/tasks?limit=2000", "/workers", "/broker", "/metrics"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Basic {login}"}
        )
        told[f"flower {path}"] = opener.open(request).read().decode()
    return told
