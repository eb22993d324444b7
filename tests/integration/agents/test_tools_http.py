"""`http`: requests of an agent leave for the permitted hosts only, under the key of their call, and are told within bounds."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from executions import egress
from executions.agents.tools import Tool
from executions.egress import current
from executions.egress.breaker import Breaker
from executions.egress.client import Client
from executions.egress.policy import Policy, parse_allow
from lightfield.kernel import traceparent
from lightfield.kernel.errors import LostRace, PermanentStepError, TransientStepError
from tests.certificates import Authority
from tests.servers import Server, a_server, answering, http, once
from tests.tool_calls import TRACE, a_context, call, granted, sends, teller

HOST = "api.example.com"
KEY = "run:agent:call_3"


@pytest.fixture(autouse=True)
def a_process_of_its_own(settings: Any) -> Iterator[None]:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    before = current.use_breaker(Breaker())
    yield
    current.use_breaker(before)


@pytest.fixture
def named(settings: Any) -> Any:
    """Let the operator name a server as host:port, so that it may be reached in clear."""

    def name(server: Server) -> str:
        settings.LIGHTFIELD_EGRESS_ALLOW = server.endpoint
        return server.endpoint

    return name


def tool_for(*hosts: str, **more: Any) -> Tool:
    return granted(sends(*hosts, **more))["http_request"]


def told(endpoint: str, method: str = "GET", path: str = "/", **arguments: Any) -> Any:
    return teller(sends(endpoint), key=KEY)(
        "http_request", {"method": method, "url": f"http://{endpoint}{path}", **arguments}
    )


# --- where it may go ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/",
        f"https://{HOST}:443/a/../b?c=d#e",
        f"HTTPS://{HOST.upper()}",
        f"https://{HOST}./",
        "https://\uff41pi.example.com/",
        "https://api\u3002example\u3002com/",
    ],
)
def test_what_egress_reads_as_the_permitted_host_is_that_host(url: str):
    request = tool_for(HOST).freeze({"method": "GET", "url": url}, a_context())
    assert request["url"].startswith(f"https://{HOST}/")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"http://{HOST}/", "ai.permission_denied"),
        (f"http://{HOST}:443/", "ai.permission_denied"),
        (f"https://{HOST}:8443/", "ai.permission_denied"),
        (f"https://{HOST}.evil.example/", "ai.permission_denied"),
        (f"https://evil.example/{HOST}", "ai.permission_denied"),
        (f"https://evil.example#@{HOST}", "ai.permission_denied"),
        (f"https://evil.example?{HOST}", "ai.permission_denied"),
        (f"https://sub.{HOST}/", "ai.permission_denied"),
        ("https://example.com/", "ai.permission_denied"),
        ("https://\u0430pi.example.com/", "ai.permission_denied"),
        ("https://xn--pi-7kc.example.com/", "ai.permission_denied"),
        ("https://127.0.0.1/", "ai.permission_denied"),
        ("https://[::1]/", "ai.permission_denied"),
        (f"https://{HOST}@evil.example/", "egress.invalid_url"),
        (f"https://user@{HOST}/", "egress.invalid_url"),
        (f"https://evil.example\\@{HOST}/", "egress.invalid_url"),
        (f"https:\\\\{HOST}/", "egress.invalid_url"),
        (f"https://{HOST}%2f@evil.example/", "egress.invalid_url"),
        ("https://%61pi.example.com/", "egress.invalid_url"),
        (f"https://{HOST}:/x\r\nHost: evil", "egress.invalid_url"),
        ("https://2130706433/", "egress.invalid_url"),
        (f"//{HOST}/", "egress.invalid_url"),
        (f"ftp://{HOST}/", "egress.denied_scheme"),
        ("{{ secret.token }}", "egress.invalid_url"),
        (None, "config.invalid"),
        ([f"https://{HOST}/"], "config.invalid"),
    ],
)
def test_any_other_place_is_refused_before_anything_is_looked_up(url: Any, code: str):
    with pytest.raises(PermanentStepError) as caught:
        tool_for(HOST).freeze({"method": "GET", "url": url}, a_context())
    assert (caught.value.code, caught.value.sent) == (code, False)


def test_each_grant_is_judged_by_itself():
    grants = (sends("one.example", methods=["GET"]), sends("two.example", methods=["POST"]))
    tool = granted(*grants)["http_request"]

    def code_of(method: str, host: str) -> str:
        try:
            tool.freeze({"method": method, "url": f"https://{host}/"}, a_context())
        except PermanentStepError as error:
            return error.code
        return ""

    assert code_of("GET", "one.example") == code_of("POST", "two.example") == ""
    assert code_of("POST", "one.example") == code_of("GET", "two.example") == "ai.permission_denied"
    for method in ("get", "TRACE", "HEAD", "GET ", ""):
        assert code_of(method, "one.example") == "ai.permission_denied"


def test_a_frozen_request_is_judged_again_when_it_is_sent(named: Any):
    """A row that somebody changed, or one of a version with other permissions, sends nothing."""
    with a_server(answering(http())) as server, a_server(answering(http())) as other:
        endpoint = named(server)
        frozen: dict[str, Any] = {"method": "GET", "url": other.url, "headers": {}, "body": None}
        with pytest.raises(PermanentStepError, match=r"ai\.permission_denied"):
            tool_for(endpoint).call(frozen, a_context())
        assert other.requests == server.requests == []


def test_by_name_it_goes_by_https_and_the_certificate_is_looked_at(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    authority = Authority(tmp_path)
    loopback = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    with (
        a_server(answering(http("200 OK", b"yes")), tls=authority.server_context(HOST)) as right,
        a_server(answering(http("200 OK", b"no")), tls=authority.server_context("evil.example")) as wrong,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: loopback)
        client = Client(Policy(parse_allow("127.0.0.0/8")), tls=authority.client_context())
        before = egress.use(client)
        try:
            tell = teller(sends(f"{HOST}:{right.port}", f"{HOST}:{wrong.port}"))
            answers = [
                tell("http_request", {"method": "GET", "url": f"https://{HOST}:{server.port}/"})
                for server in (right, wrong)
            ]
        finally:
            egress.use(before)
            client.close()
    assert answers[0]["body"] == "yes"
    assert answers[1]["error"] == "http.tls_failed"
    assert wrong.requests == []


def test_a_redirect_is_told_and_not_followed(named: Any):
    with a_server(answering(http())) as other:
        with a_server(answering(http("302 Found", location=f"{other.url}/x"))) as server:
            answer = told(named(server))
        assert other.requests == []
    assert answer["status_code"] == 302
    assert answer["headers"] == {"location": f"{other.url}/x"}


# --- what goes out ------------------------------------------------------------------------------------


def test_a_call_goes_out_under_its_own_key_and_the_runs_trace(named: Any):
    with a_server(
        answering(
            http("201 Created", b'{"id": 7}', content_type="application/json", set_cookie="a=b", x_more="1")
        )
    ) as server:
        endpoint = named(server)
        answer = told(
            endpoint,
            "POST",
            "/hook?a=1",
            json={"name": "Zo\u00eb"},
            query={"b": [2, True]},
            headers={"Accept": "application/json"},
        )
        (request,) = server.requests
    assert answer == {"status_code": 201, "headers": {"content-type": "application/json"}, "body": {"id": 7}}
    assert (request.method, request.path) == ("POST", "/hook?a=1&b=2&b=true")
    assert json.loads(request.body) == {"name": "Zo\u00eb"}
    assert request.headers["idempotency-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    parent = traceparent.parse(request.headers["traceparent"])
    assert parent is not None
    assert parent.trace_id == TRACE


def test_every_attempt_sends_the_same_under_the_same_key(named: Any):
    with a_server(answering(http())) as server:
        tool = tool_for(named(server))
        frozen = tool.freeze({"method": "PUT", "url": server.url, "body": "x"}, a_context(key=KEY))
        for attempt in (1, 2):
            tool.call(
                frozen, a_context(key=KEY, attempt=attempt, is_repeat=attempt == 2, is_retry=attempt == 2)
            )
        first, second = server.requests
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == KEY


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Cookie", "X-Api-Key", "Host", "Idempotency-Key", "traceparent", "tracestate"),
        *("Transfer-Encoding", "Content-Length", "Connection", "X-HTTP-Method-Override", "X-Forwarded-Host"),
        *("User-Agent", "Accept\r\nX-Evil", "", "\u0410ccept", "X-Anything"),
    ],
)
def test_a_header_that_is_not_on_the_list_is_refused(name: str):
    with pytest.raises(PermanentStepError) as caught:
        tool_for(HOST).freeze(
            {"method": "GET", "url": f"https://{HOST}/", "headers": {name: "x"}}, a_context()
        )
    assert caught.value.code == "ai.permission_denied"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"headers": {"Accept": "x\r\nX-Evil: 1"}}, "egress.invalid_header"),
        ({"headers": {"Accept": ["x"]}}, "config.invalid"),
        ({"headers": "Accept: x"}, "config.invalid"),
        ({"json": {}, "body": "x"}, "config.invalid"),
        ({"form": {"a": 1}}, "config.invalid"),
        ({"auth": {"type": "bearer", "token": "x"}}, "config.invalid"),
        ({"allow_redirects": True}, "config.invalid"),
        ({"timeout_seconds": 300}, "config.invalid"),
        ({"body": "x" * 300_000}, "config.invalid"),
        ({"query": {"a": {"b": "c"}}}, "config.invalid"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_kept(arguments: dict[str, Any], code: str):
    with pytest.raises(PermanentStepError) as caught:
        tool_for(HOST).freeze({"method": "POST", "url": f"https://{HOST}/", **arguments}, a_context())
    assert caught.value.code == code


# --- what comes back ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["400 Bad", "401 Who", "404 None", "409 Twice", "429 Slow", "500 Oops", "503 Busy"]
)
def test_a_status_is_told_and_is_no_error(status: str, named: Any):
    with a_server(answering(http(status, b"because", retry_after="7"))) as server:
        answer = told(named(server))
    assert answer == {"status_code": int(status[:3]), "headers": {"retry-after": "7"}, "body": "because"}


def test_given_no_answer_then_the_attempt_ends_and_says_whether_it_was_sent(named: Any):
    with a_server(once(b"")) as server:
        tool = tool_for(named(server))
        asked = {"method": "POST", "url": server.url, "body": "x"}
        with pytest.raises(TransientStepError) as lost:
            call(tool, asked)
    with pytest.raises(TransientStepError) as refused:
        call(tool, asked)
    assert (lost.value.code, lost.value.sent, lost.value.answered) == ("http.connection_lost", True, False)
    assert (refused.value.code, refused.value.sent) == ("http.connect_failed", False)


def test_given_no_time_then_nothing_is_sent(named: Any):
    with a_server(answering(http())) as server:
        tool = tool_for(named(server))
        with pytest.raises(TransientStepError, match=r"step\.timeout"):
            call(tool, {"method": "GET", "url": server.url}, a_context(deadline=0.0))
        assert server.requests == []


def test_given_a_step_that_is_somebody_elses_by_now_then_nothing_is_sent(named: Any):
    def lost() -> None:
        raise LostRace

    with a_server(answering(http())) as server:
        tool = tool_for(named(server))
        with pytest.raises(LostRace):
            call(tool, {"method": "GET", "url": server.url}, a_context(before_sending=lost))
        assert server.requests == []


def test_a_call_that_is_sent_again_pays_from_the_hosts_budget_and_waits_once(named: Any, settings: Any):
    settings.LIGHTFIELD_RETRY_SHARE, settings.LIGHTFIELD_RETRY_FLOOR = 0.0, 0.1
    with a_server(answering(http())) as server:
        tool = tool_for(named(server))
        asked = {"method": "GET", "url": server.url}
        call(tool, asked, a_context(is_repeat=True, is_retry=True))
        with pytest.raises(TransientStepError) as held:
            call(tool, asked, a_context(is_repeat=True, is_retry=True))
        assert len(server.requests) == 1
        call(tool, asked, a_context(is_repeat=True, is_retry=True, held_for="http.retry_budget"))
        assert len(server.requests) == 2
    assert (held.value.code, held.value.sent) == ("http.retry_budget", False)


@pytest.mark.parametrize(
    "body",
    [
        b"word " * 100_000,
        json.dumps([{"text": "x" * 1000}] * 500).encode(),
        json.dumps({"a": "\u00e9" * 90_000}).encode(),
    ],
)
def test_a_long_body_is_cut_and_says_so(body: bytes, named: Any):
    with a_server(answering(http("200 OK", body))) as server:
        answer = told(named(server))
        short = teller(sends(server.endpoint, max_bytes=1024))(
            "http_request", {"method": "GET", "url": server.url}
        )
    assert len(json.dumps(answer["body"], ensure_ascii=False).encode()) < 33_500
    assert answer["cut"] == f"The body was cut; it has {len(body):,} bytes."
    assert len(json.dumps(short["body"], ensure_ascii=False).encode()) < 1200


def test_what_is_no_text_is_left_out(named: Any):
    with a_server(answering(http("200 OK", b"\x89PNG\xff\x00" * 100, content_type="image/png"))) as server:
        answer = told(named(server))
    assert answer["body"] is None
    assert answer["cut"] == "600 bytes that are no text were left out."


def test_a_body_beyond_all_bounds_is_told_as_such(named: Any):
    with a_server(answering(http("200 OK", b"x" * ((1 << 20) + 1)))) as server:
        answer = told(named(server))
    assert answer["error"] == "http.too_large"
