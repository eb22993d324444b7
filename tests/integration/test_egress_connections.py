"""Connections: kept only while that is safe, never shared between origins, at most one request per attempt."""

import contextlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core import checks

from executions import egress
from executions.egress import current, headers, wires
from executions.egress.client import Client
from executions.egress.policy import Policy, parse_allow
from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.servers import a_server, answering, http

POLICY = Policy(parse_allow("127.0.0.0/8 ::1"))


@pytest.fixture
def client():
    made = Client(POLICY)
    yield made
    made.close()


def get(client, url, **more):
    return client.request(method="GET", url=url, timeout_seconds=2, **more)


def test_requests_to_one_origin_share_a_connection(client):
    with a_server(answering(http(body=b"a"))) as server:
        for _ in range(5):
            assert get(client, server.url).body == b"a"
        assert (server.connections, len(server.requests)) == (1, 5)


def test_another_name_for_the_same_server_is_another_connection(client, monkeypatch):
    loopback = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: loopback)
    with a_server(answering(http())) as server:
        for host in ("one.test", "two.test", "ONE.test.", "127.0.0.1"):
            get(client, f"http://{host}:{server.port}/")
        assert [request.connection for request in server.requests] == [1, 2, 1, 3]
        assert server.requests[1].headers["host"] == f"two.test:{server.port}"


@pytest.mark.parametrize(
    "answer",
    [
        http(connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        http(keep_alive="timeout=1"),
        http(keep_alive="timeout=0, max=5"),
        http(body=b"ok") + b"surplus",
        http(body=b"ok") + http(body=b"an answer nobody asked for"),
        http("503 Busy", b"x" * 70_000),
        b"HTTP/1.1 204 No Content\r\n\r\n" + b"body that must not be",
    ],
)
def test_a_connection_that_is_not_clean_is_not_used_again(client, answer):
    with a_server(answering(answer)) as server:
        first, second = get(client, server.url), get(client, server.url)
        assert (first.status_code, first.body) == (second.status_code, second.body)
        assert [request.connection for request in server.requests] == [1, 2]


def test_given_bytes_that_come_after_the_answer_then_nobody_reads_them_for_an_answer(client):
    # Given a server that pushes a second answer a moment after the first
    pushed = threading.Event()

    def script(visit):
        while visit.receive() is not None:
            visit.send(http(body=b"first"))
            visit.send(http(body=b"poison"))
            pushed.set()

    with a_server(script) as server:
        assert get(client, server.url).body == b"first"
        pushed.wait(2)
        # When another request goes to the same origin
        assert get(client, server.url).body == b"first"
        # Then it went by a fresh connection
        assert server.connections == 2


def test_given_a_connection_closed_by_the_server_meanwhile_then_a_new_one_is_made(client):
    closed = threading.Event()

    def script(visit):
        visit.receive()
        visit.send(http(body=b"a"))
        visit.sock.shutdown(socket.SHUT_RDWR)
        closed.set()

    with a_server(script) as server:
        for _ in range(3):
            assert get(client, server.url).body == b"a"
            assert closed.wait(2)
            closed.clear()
        assert (server.connections, len(server.requests)) == (3, 3)


def test_given_a_kept_connection_that_dies_under_the_next_request_then_nothing_is_sent_again(client):
    # Given a server that answers once and resets the connection when the second request arrives
    def script(visit):
        visit.receive()
        visit.send(http())
        if visit.receive() is not None:
            visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with a_server(script) as server:
        get(client, server.url)
        # When
        with pytest.raises(TransientStepError) as caught:
            client.request(method="POST", url=server.url, body=b"{}", timeout_seconds=2)
        # Then the engine is told that the outcome is unknown; one request per attempt has left
        assert (caught.value.code, caught.value.sent) == ("http.connection_lost", True)
        assert (server.connections, len(server.requests)) == (1, 2)


def test_connections_are_given_up_before_servers_close_them(client, monkeypatch):
    clock = time.monotonic()
    monkeypatch.setattr("executions.egress.wires.time.monotonic", lambda: clock)
    with a_server(answering(http())) as server:
        get(client, server.url)
        clock += wires.IDLE_SECONDS - 0.1
        get(client, server.url)
        assert server.connections == 1
        clock += wires.IDLE_SECONDS + 0.1
        get(client, server.url)
        assert server.connections == 2


def test_a_busy_connection_is_given_up_in_the_end(client, monkeypatch):
    clock = time.monotonic()
    monkeypatch.setattr("executions.egress.wires.time.monotonic", lambda: clock)
    with a_server(answering(http())) as server:
        for _ in range(110):
            get(client, server.url)
            clock += wires.IDLE_SECONDS - 0.5
        assert server.connections == 2  # 110 times 3.5 s is more than 300 s


def test_expired_connections_of_other_origins_are_closed_in_passing(client, monkeypatch):
    clock = time.monotonic()
    monkeypatch.setattr("executions.egress.wires.time.monotonic", lambda: clock)
    gone = threading.Event()

    def script(visit):
        visit.receive()
        visit.send(http())
        if visit.receive() is None:
            gone.set()

    with a_server(script) as once_used, a_server(answering(http())) as busy:
        get(client, once_used.url)
        clock += wires.IDLE_SECONDS + 2
        get(client, busy.url)
        assert gone.wait(2)


def test_no_more_than_the_limit_is_kept(client, monkeypatch):
    monkeypatch.setattr(wires, "MAX_IDLE", 2)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(a_server(answering(http()))) for _ in range(3)]
        for server in servers * 2:
            get(client, server.url)
        assert [server.connections for server in servers] == [1, 1, 2]


def a_connection_for_each(server, client, *requests):
    """Which connection each of these requests went by: numbers from 1."""
    for more in requests:
        get(client, server.url, **more)
    return [request.connection for request in server.requests]


ADA, BOB = {"Authorization": "Bearer ada"}, {"Authorization": "Bearer bob"}


@pytest.mark.parametrize(
    ("requests", "connections"),
    [
        ([{"headers": ADA}, {"headers": ADA}], [1, 1]),
        ([{"headers": ADA}, {"headers": BOB}, {"headers": ADA}], [1, 2, 1]),
        ([{"headers": ADA}, {}, {"headers": ADA}, {}], [1, 2, 1, 2]),
        ([{"headers": {"Cookie": "a=1"}}, {"headers": {"Cookie": "a=2"}}], [1, 2]),
        ([{"headers": {"X-Api-Key": "a"}}, {"headers": {"x-api-key": "a"}}], [1, 1]),
        ([{"headers": {"X-Api-Key": "a"}}, {"headers": {"X-Api-Token": "a"}}], [1, 2]),
        ([{"credentials_key": "7"}, {"credentials_key": "8"}, {"credentials_key": "7"}], [1, 2, 1]),
        ([{"headers": ADA, "credentials_key": "7"}, {"headers": ADA}], [1, 2]),
        # what tells nothing of who asks is no reason for another connection
        (
            [{"headers": {"Idempotency-Key": "a"}}, {"headers": {"Idempotency-Key": "b", "X-Kind": "c"}}],
            [1, 1],
        ),
    ],
)
def test_a_connection_serves_those_who_speak_for_the_same_and_nobody_else(client, requests, connections):
    with a_server(answering(http())) as server:
        assert a_connection_for_each(server, client, *requests) == connections


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({}, http("401 Who", www_authenticate="NTLM")),
        ({}, http("401 Who", www_authenticate='Basic realm="x", Negotiate')),
        ({}, http(persistent_auth="true")),
        ({"Authorization": "NTLM TlRMTVNTUAAB"}, http()),
        ({"Authorization": "negotiate YII"}, http()),
    ],
)
def test_given_an_identity_that_is_tied_to_the_connection_then_it_serves_nobody_again(
    client, headers, answer
):
    with a_server(answering(answer)) as server:
        assert a_connection_for_each(server, client, {"headers": headers}, {"headers": headers}) == [1, 2]


def test_given_a_redirect_to_another_origin_then_its_connection_is_that_of_nobody(client):
    with a_server(answering(http())) as other:
        with a_server(answering(http("302 There", location=other.url))) as server:
            for headers in (ADA, BOB):
                get(client, server.url, headers=headers, allow_redirects=True)
            assert [request.connection for request in server.requests] == [1, 2]
        assert [request.connection for request in other.requests] == [1, 1]
        assert all("authorization" not in request.headers for request in other.requests)


def test_what_is_kept_of_a_secret_tells_nothing_of_it():
    fields = [(b"Authorization", b"Bearer s3cret"), (b"X", b"y")]
    kept = headers.identity_of(fields)
    assert len(kept) == 16
    assert b"s3cret" not in kept
    assert kept == headers.identity_of([(b"authorization", b"Bearer s3cret")])
    assert headers.identity_of([(b"X", b"y")]) == b""
    late = [headers.identity_of([], late=[(b"X-Plain", value)]) for value in (b"one", b"two")]
    assert len({*late, b""}) == 3  # whatever the name: only secrets come late


def test_cookies_are_not_carried_from_one_request_to_the_next(client):
    with a_server(answering(http(set_cookie="session=s3cret; Path=/"))) as server:
        get(client, server.url)
        get(client, server.url)
        assert "cookie" not in server.requests[1].headers


def test_what_is_sent(client):
    with a_server(answering(http())) as server:
        client.request(
            method="POST",
            url=server.url + "/a",
            params={"b": 1},
            headers={"X-Kind": "signup", "User-Agent": "mine", "Accept": "text/csv"},
            body="é".encode(),
            timeout_seconds=2,
        )
        client.request(method="DELETE", url=server.url, timeout_seconds=2)
        client.request(method="PUT", url=server.url, timeout_seconds=2)
    post, delete, put = server.requests
    assert (post.method, post.path, post.body) == ("POST", "/a?b=1", "é".encode())
    assert post.headers == {
        "host": server.endpoint,
        "accept": "text/csv",
        "accept-encoding": "gzip, deflate",
        "content-length": "2",
        "x-kind": "signup",
        "user-agent": "mine",
    }
    assert "content-length" not in delete.headers
    assert delete.headers["user-agent"].startswith("Lightfield/")
    assert delete.headers["accept"] == "*/*"
    assert put.headers["content-length"] == "0"


# --- many at once ---------------------------------------------------------------------------------


def test_300_threads_get_their_own_answers(client):
    def echo(visit):
        while (request := visit.receive()) is not None:
            visit.send(http(body=request.body))

    def ask(number):
        body = b"%d" % number * 50
        answer = client.request(method="POST", url=server.url, body=body, timeout_seconds=20)
        return answer.body == body

    with a_server(echo) as server, ThreadPoolExecutor(300) as pool:
        assert all(pool.map(ask, range(3_000)))
        assert len(server.requests) == 3_000


def test_300_requests_wait_side_by_side(client):
    everybody = threading.Barrier(300, timeout=20)

    def script(visit):
        visit.receive()
        everybody.wait()  # passes only when all 300 are here at once
        visit.send(http())

    with a_server(script) as server, ThreadPoolExecutor(300) as pool:
        answers = pool.map(
            lambda _: client.request(method="GET", url=server.url, timeout_seconds=20), range(300)
        )
        assert [answer.status_code for answer in answers] == [200] * 300


class CountingLock:
    """A lock that tells when it was let go of for the n-th time."""

    def __init__(self, number):
        self._lock, self._left = threading.Lock(), number
        self.enough = threading.Event()

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        self._left -= 1
        if self._left == 0:
            self.enough.set()
        self._lock.release()


def test_threads_that_want_one_name_share_a_lookup(client, monkeypatch):
    # Given a name server that answers when twenty are waiting
    lookups = []
    asked = CountingLock(20)
    client._adapter._connector._resolver._lock = asked

    def slow(name, port, *args, **kwargs):
        lookups.append(name)
        assert asked.enough.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with a_server(answering(http())) as server, ThreadPoolExecutor(20) as pool:
        url = f"http://shared.test:{server.port}/"
        answers = pool.map(lambda _: get(client, url).status_code, range(20))
        assert list(answers) == [200] * 20
    assert lookups == ["shared.test"]


def test_lookups_are_bounded(client, monkeypatch):
    monkeypatch.setattr("executions.egress.resolver.MAX_LOOKUPS", 2)
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: never.wait(5) and [])
    codes = []
    for number in range(3):
        with pytest.raises(TransientStepError) as caught:
            client.request(method="GET", url=f"http://h{number}.test/", timeout_seconds=0.1)
        codes.append(caught.value.code)
    never.set()
    assert codes == ["http.timeout", "http.timeout", "http.dns_failed"]


def test_every_address_is_tried(client, monkeypatch):
    found = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]  # nobody listens on the first two
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda name, port, **kwargs: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found
        ],
    )
    with a_server(answering(http(body=b"here"))) as server:
        assert get(client, f"http://several.test:{server.port}/").body == b"here"


def test_given_no_more_threads_then_another_attempt_may_help(client, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    with a_server(answering(http())) as server:
        url = f"http://localhost:{server.port}/"
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(TransientStepError) as caught:
            get(client, url)
        monkeypatch.undo()
        assert (caught.value.code, caught.value.sent) == ("http.dns_failed", False)


@pytest.mark.parametrize(
    "failure", [socket.gaierror(socket.EAI_AGAIN, "try again"), UnicodeError(), ValueError()]
)
def test_a_lookup_that_fails_is_worth_another_attempt(client, monkeypatch, failure):
    def fail(*args, **kwargs):
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(TransientStepError) as caught:
        get(client, "http://nowhere.test/")
    assert (caught.value.code, caught.value.sent) == ("http.dns_failed", False)


# --- the process's own client ---------------------------------------------------------------------


@pytest.fixture
def no_client():
    current.close()
    yield
    current.close()


def test_the_settings_decide(settings, no_client):
    with a_server(answering(http(body=b"in"))) as server:

        def ask():
            return egress.request(method="GET", url=server.url, timeout_seconds=2)

        settings.LIGHTFIELD_OWN_SERVERS = []
        settings.LIGHTFIELD_EGRESS_ALLOW = ""
        with pytest.raises(PermanentStepError, match="denied_port"):
            ask()
        settings.LIGHTFIELD_EGRESS_ALLOW = server.endpoint
        assert ask().body == b"in"
        assert ask().body == b"in"
        assert server.connections == 1
        # A kept connection does not outlive the rules it was made under
        settings.LIGHTFIELD_OWN_SERVERS = [("127.0.0.1", server.port)]
        with pytest.raises(PermanentStepError, match="denied_address"):
            ask()
        settings.LIGHTFIELD_EGRESS_ALLOW = "nonsense"
        with pytest.raises(InvalidSetting, match="nonsense"):
            ask()


def test_a_setting_that_cannot_be_read_stops_the_start(settings):
    def problems():
        return [found.msg for found in checks.run_checks() if found.id == "executions.E001"]

    settings.LIGHTFIELD_EGRESS_ALLOW = "10.0.0.0/8"
    assert problems() == []
    settings.LIGHTFIELD_EGRESS_ALLOW = "10.0.0.0/8, internal"
    assert "'internal'" in problems()[0]


def test_a_forked_child_makes_its_own_connections(settings, no_client):
    settings.LIGHTFIELD_OWN_SERVERS = []
    with a_server(answering(http())) as server:
        settings.LIGHTFIELD_EGRESS_ALLOW = server.endpoint
        egress.request(method="GET", url=server.url, timeout_seconds=2)
        child = os.fork()
        if child == 0:
            try:
                egress.request(method="GET", url=server.url, timeout_seconds=2)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        egress.request(method="GET", url=server.url, timeout_seconds=2)
        assert [request.connection for request in server.requests] == [1, 2, 1]
