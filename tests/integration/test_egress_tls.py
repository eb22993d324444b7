"""TLS under the same rules: the certificate is for the URL's name, and nothing leaves before it is accepted."""

import socket
import struct
import time

import pytest

from executions.egress.client import Client
from executions.egress.conversation import HEAD_READ_BYTES
from executions.egress.policy import Policy, parse_allow
from lightfield.kernel.errors import PermanentStepError, StepError, TransientStepError
from tests.certificates import Authority
from tests.servers import Visit, a_server, answering, http

POLICY = Policy(parse_allow("127.0.0.0/8"))


@pytest.fixture
def client():
    made = Client(POLICY)
    yield made
    made.close()


def get(client, url, **more):
    return client.request(method="GET", url=url, timeout_seconds=2, **more)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_client(authority, monkeypatch):
    loopback = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: loopback)
    made = Client(POLICY, tls=authority.client_context())
    yield made
    made.close()


def test_the_certificate_is_checked_for_the_name_in_the_url(tls_client, authority):
    names = []
    context = authority.server_context("api.test", "127.0.0.1")
    context.sni_callback = lambda sock, name, context: names.append(name)
    with a_server(answering(http(body=b"private")), tls=context) as server:
        for host in ("api.test", "127.0.0.1", "api.test."):
            assert get(tls_client, f"https://{host}:{server.port}/").body == b"private"
        assert server.requests[0].headers["host"] == f"api.test:{server.port}"
        assert [request.connection for request in server.requests] == [1, 2, 1]
    assert names == ["api.test", None]


@pytest.mark.parametrize(
    ("hosts", "days"), [(["other.test"], 10), (["127.0.0.1"], 10), (["api.test"], -1), (["*.api.test"], 10)]
)
def test_given_a_wrong_certificate_then_nothing_is_sent(tls_client, authority, hosts, days):
    with a_server(answering(http()), tls=authority.server_context(*hosts, days=days)) as server:
        with pytest.raises(PermanentStepError) as caught:
            tls_client.request(
                method="POST", url=f"https://api.test:{server.port}/", body=b"secret", timeout_seconds=2
            )
        assert (caught.value.code, caught.value.sent) == ("http.tls_failed", False)
        assert server.requests == []


def test_given_an_authority_nobody_knows_then_nothing_is_sent(client, authority):
    with a_server(answering(http()), tls=authority.server_context("127.0.0.1")) as server:
        with pytest.raises(PermanentStepError) as caught:
            get(client, server.url)
        assert (caught.value.code, caught.value.sent, server.requests) == ("http.tls_failed", False, [])


def test_given_a_server_without_tls_then_nothing_is_sent(tls_client):
    with a_server(lambda visit: visit.send(http())) as server:
        with pytest.raises(StepError) as caught:
            get(tls_client, f"https://127.0.0.1:{server.port}/")
        assert caught.value.code in ("http.tls_failed", "http.connect_failed")
        assert caught.value.sent is False


@pytest.mark.parametrize("end", ["close", "reset"])
def test_given_a_handshake_that_breaks_off_then_another_attempt_may_help(tls_client, end):
    def script(visit):
        visit.sock.recv(100)
        if end == "reset":
            visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with a_server(script) as server:
        with pytest.raises(TransientStepError) as caught:
            get(tls_client, f"https://api.test:{server.port}/")
        assert (caught.value.code, caught.value.sent) == ("http.connect_failed", False)


def hanging(visit: Visit) -> None:
    visit.stopped.wait(10)


def test_the_deadline_holds_for_a_handshake_that_hangs(tls_client):
    started = time.monotonic()
    with (
        a_server(hanging) as server,
        pytest.raises(TransientStepError) as caught,
    ):
        tls_client.request(method="GET", url=f"https://api.test:{server.port}/", timeout_seconds=0.3)
    assert (caught.value.code, caught.value.sent, caught.value.metadata["phase"]) == (
        "http.timeout",
        False,
        "tls",
    )
    assert 0.3 <= time.monotonic() - started < 1.3


def test_the_deadline_holds_for_a_body_that_drips_through_tls(tls_client, authority):
    def script(visit):
        visit.receive()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        visit.drip(b"x" * 500)

    started = time.monotonic()
    with (
        a_server(script, tls=authority.server_context("api.test")) as server,
        pytest.raises(TransientStepError) as caught,
    ):
        tls_client.request(method="GET", url=f"https://api.test:{server.port}/", timeout_seconds=0.4)
    assert (caught.value.code, caught.value.sent, caught.value.metadata["phase"]) == (
        "http.timeout",
        True,
        "read",
    )
    assert 0.4 <= time.monotonic() - started < 1.4


def test_given_surplus_in_the_record_of_the_answer_then_the_connection_is_not_used_again(
    tls_client, authority
):
    # Given an answer that fills the first read, and more in the same TLS record: no socket shows that as readable
    answer = http(body=b"x" * HEAD_READ_BYTES)
    answer = http(body=b"x" * (2 * HEAD_READ_BYTES - len(answer)))
    assert len(answer) == HEAD_READ_BYTES
    with a_server(answering(answer + b"poison"), tls=authority.server_context("api.test")) as server:
        for _ in range(2):
            assert set(get(tls_client, f"https://api.test:{server.port}/").body) == {ord("x")}
        assert [request.connection for request in server.requests] == [1, 2]


def test_large_bodies_pass_through_tls(tls_client, authority):
    with a_server(answering(http(body=b"x" * 1_000_000)), tls=authority.server_context("api.test")) as server:
        answer = tls_client.request(
            method="POST", url=f"https://api.test:{server.port}/", body=b"y" * 1_000_000, timeout_seconds=10
        )
        assert len(answer.body) == len(server.requests[0].body) == 1_000_000


def test_a_redirect_from_https_to_http_is_not_followed(tls_client, authority):
    with a_server(answering(http())) as plain:
        script = answering(http("302 Found", location=plain.url))
        with (
            a_server(script, tls=authority.server_context("api.test")) as server,
            pytest.raises(PermanentStepError) as caught,
        ):
            get(tls_client, f"https://api.test:{server.port}/", allow_redirects=True)
        assert caught.value.code == "http.redirect"
        assert plain.connections == 0
