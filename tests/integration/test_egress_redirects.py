"""S17: redirects, for those who ask for them."""

import pytest

from executions.egress.client import Client
from executions.egress.policy import Policy, parse_allow
from lightfield.kernel.errors import PermanentStepError
from tests.servers import a_server, answering, http

POLICY = Policy(parse_allow("127.0.0.0/8"))


@pytest.fixture
def client():
    made = Client(POLICY)
    yield made
    made.close()


def get(client, url, **more):
    return client.request(method="GET", url=url, timeout_seconds=2, **more)


def redirecting(status, location, end=b"end"):
    """`/start` redirects, everything else answers."""

    def script(visit):
        while (request := visit.receive()) is not None:
            visit.send(http(status, location=location) if request.path == "/start" else http(body=end))

    return script


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        ("301 Moved", "GET", "GET", b""),
        ("302 Found", "HEAD", "HEAD", b""),
        ("303 See Other", "POST", "GET", b""),
        ("303 See Other", "DELETE", "GET", b""),
        ("303 See Other", "HEAD", "HEAD", b""),
        ("307 Temporary", "POST", "POST", b"{}"),
        ("308 Permanent", "PUT", "PUT", b"{}"),
    ],
)
def test_a_redirect_is_followed_with_the_right_method(client, status, method, then, body):
    with a_server(redirecting(status, "/next")) as server:
        answer = client.request(
            method=method,
            url=server.url + "/start",
            headers={"Content-Type": "application/json", "Authorization": "Bearer x"},
            body=b"{}" if method in ("POST", "PUT") else None,
            timeout_seconds=2,
            allow_redirects=True,
        )
    assert answer.status_code == 200
    last = server.requests[-1]
    assert (last.method, last.path, last.body) == (then, "/next", body)
    assert last.headers["authorization"] == "Bearer x"  # the same origin
    assert ("content-type" in last.headers) == (not status.startswith("303"))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found"])
def test_a_post_is_never_turned_into_a_get(client, status):
    with a_server(redirecting(status, "/next")) as server:
        with pytest.raises(PermanentStepError) as caught:
            client.request(
                method="POST", url=server.url + "/start", body=b"{}", timeout_seconds=2, allow_redirects=True
            )
        assert len(server.requests) == 1
    assert (caught.value.code, caught.value.sent, caught.value.answered) == ("http.redirect", True, True)
    assert caught.value.metadata["status_code"] == int(status[:3])


def test_secrets_do_not_cross_to_another_origin(client):
    with (
        a_server(answering(http(body=b"other"))) as other,
        a_server(redirecting("307 Temporary", other.url)) as first,
    ):
        client.request(
            method="POST",
            url=first.url + "/start",
            headers={
                "Authorization": "Bearer x",
                "Cookie": "a=b",
                "X-Api-Key": "k",
                "X-Kind": "signup",
                "Idempotency-Key": "i",
            },
            body=b"{}",
            timeout_seconds=2,
            allow_redirects=True,
        )
        (arrived,) = other.requests
    assert arrived.headers["x-kind"] == "signup"
    assert arrived.headers["idempotency-key"] == "i"
    assert arrived.headers["host"] == other.endpoint
    assert not {"authorization", "cookie", "x-api-key"} & set(arrived.headers)


@pytest.mark.parametrize("location", ["/start", ""])
def test_redirects_end_somewhere(client, location):
    with a_server(redirecting("302 Found", location)) as server:
        with pytest.raises(PermanentStepError) as caught:
            get(client, server.url + "/start", allow_redirects=True)
        assert caught.value.code == "http.redirect"
        assert len(server.requests) == (6 if location else 1)
