"""`http_request` against real servers: what is sent, and what each ending becomes."""

import json
import time

import pytest

from executions.egress import current
from executions.steps.http_request import HttpRequest
from lightfield.kernel import strict_json, traceparent
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.servers import a_server, answering, http, once
from workflows import step_types
from workflows.step_types import StepContext

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def loopback_allowed(settings):
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


def freeze(url, **config):
    step = step_types.get("http_request")
    assert isinstance(step, HttpRequest)
    return step, step.freeze(step_types.load_config(step, {"method": "POST", "url": url, **config}))


def send(url, *, attempt=1, seconds=5.0, **config):
    step, request = freeze(url, **config)
    stored = strict_json.from_storage(json.dumps(request))
    return step.execute(stored, a_context(attempt, seconds))


def a_context(attempt=1, seconds=5.0):
    return StepContext(
        run_id="run",
        step_key="notify",
        attempt=attempt,
        trace_id=TRACE,
        idempotency_key="run:notify",
        deadline=time.monotonic() + seconds,
    )


def test_an_author_finds_the_answer_in_the_output():
    with a_server(answering(http("201 Created", b'{"id":7}', content_type="application/json"))) as server:
        output = send(server.url + "/hook", json={"name": "Zoë"}, headers={"X-Kind": "signup"})
        (request,) = server.requests
    assert output == {
        "status_code": 201,
        "headers": {"content-length": "8", "content-type": "application/json"},
        "body": {"id": 7},
    }
    assert json.loads(request.body) == {"name": "Zoë"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-kind"] == "signup"


def test_every_attempt_has_the_same_key_and_its_own_span():
    with a_server(answering(http())) as server:
        for attempt in (1, 2):
            send(server.url, attempt=attempt, headers={"Idempotency-Key": "mine", "traceparent": "00-x"})
        first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "run:notify"
    parents = [traceparent.parse(request.headers["traceparent"]) for request in (first, second)]
    assert [parent and parent.trace_id for parent in parents] == [TRACE, TRACE]
    assert parents[0] != parents[1]


def test_the_key_is_ours_even_in_a_frozen_request_that_has_one():
    with a_server(answering(http())) as server:
        step, request = freeze(server.url)
        step.execute({**request, "headers": {"Idempotency-Key": "mine", "traceparent": "x"}}, a_context())
        assert server.requests[0].headers["idempotency-key"] == "run:notify"
        assert TRACE in server.requests[0].headers["traceparent"]


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        ("408 Late", "http.request_timeout", TransientStepError),
        ("425 Early", "http.too_early", TransientStepError),
        ("429 Slow", "http.throttled", TransientStepError),
        ("502 Bad", "http.unavailable", TransientStepError),
        ("503 Busy", "http.unavailable", TransientStepError),
        ("504 Late", "http.unavailable", TransientStepError),
        ("301 Moved", "http.redirect", PermanentStepError),
        ("304 Same", "http.redirect", PermanentStepError),
        ("400 Bad", "http.client_error", PermanentStepError),
        ("401 Who", "http.client_error", PermanentStepError),
        ("404 None", "http.client_error", PermanentStepError),
        ("500 Oops", "http.server_error", PermanentStepError),
        ("999 Denied", "http.unexpected_status", PermanentStepError),
    ],
)
def test_a_refusal_says_all_that_is_known(status, code, error_class):
    answer = http(status, b"echo: Bearer s3cret-value", retry_after="7", location="/elsewhere")
    with a_server(answering(answer)) as server:
        with pytest.raises(error_class) as caught:
            send(server.url, attempt=3, headers={"Authorization": "Bearer s3cret-value"})
        assert len(server.requests) == 1
    error = caught.value
    assert (error.code, error.sent, error.answered) == (code, True, True)
    assert {key: error.metadata[key] for key in ("url_host", "status_code", "attempt", "retry_after")} == {
        "url_host": "127.0.0.1",
        "status_code": int(status[:3]),
        "attempt": 3,
        "retry_after": 7.0,
    }
    if error_class is TransientStepError:
        assert error.retry_after == 7.0
    if not status.startswith("304"):
        assert error.metadata["body_excerpt"] == "echo: [redacted]"
    assert "s3cret" not in str(error.metadata) + str(error)
    strict_json.check(error.metadata)


def test_a_lost_answer_says_that_the_request_was_sent():
    def mute(visit):
        visit.receive()

    with a_server(mute) as server, pytest.raises(TransientStepError) as caught:
        send(server.url, attempt=2)
    error = caught.value
    assert (error.code, error.sent, error.answered) == ("http.connection_lost", True, False)
    assert (error.metadata["url_host"], error.metadata["attempt"]) == ("127.0.0.1", 2)


def test_a_refused_connection_says_that_nothing_was_sent():
    with a_server(once(http())) as server:
        url = server.url
    with pytest.raises(TransientStepError) as caught:
        send(url)
    assert (caught.value.code, caught.value.sent) == ("http.connect_failed", False)


def test_egress_rules_hold_for_steps():
    with pytest.raises(PermanentStepError) as caught:
        send("http://169.254.169.254/latest/meta-data/")
    assert (caught.value.code, caught.value.sent) == ("egress.denied_address", False)
    assert caught.value.metadata["attempt"] == 1


@pytest.mark.parametrize(("seconds", "timeout_seconds"), [(0.3, 30), (30, 0.3)])
def test_the_shorter_of_timeout_and_deadline_counts(seconds, timeout_seconds):
    def silent(visit):
        visit.receive()
        visit.stopped.wait(10)

    started = time.monotonic()
    with a_server(silent) as server, pytest.raises(TransientStepError) as caught:
        send(server.url, seconds=seconds, timeout_seconds=timeout_seconds)
    assert (caught.value.code, caught.value.sent) == ("http.timeout", True)
    assert 0.25 <= time.monotonic() - started < 1.3


def test_given_no_time_left_then_nothing_is_sent():
    with a_server(answering(http())) as server:
        with pytest.raises(TransientStepError) as caught:
            send(server.url, seconds=-1)
        assert (caught.value.code, caught.value.sent, server.connections) == ("http.timeout", False, 0)


def test_redirects_are_followed_when_the_author_wants_it():
    def script(visit):
        while (request := visit.receive()) is not None:
            visit.send(http("307 There", location="/b") if request.path == "/a" else http(body=request.body))

    with a_server(script) as server:
        output = send(server.url + "/a", body="hello", allow_redirects=True)
        assert (output["status_code"], output["body"]) == (200, "hello")
        assert [request.headers["idempotency-key"] for request in server.requests] == ["run:notify"] * 2
