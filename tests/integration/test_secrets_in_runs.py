"""Secrets through real runs: sent to bound hosts, read at each attempt, and in nothing that is kept, however it ends."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client

from executions import admission, dispatcher
from executions.egress import current
from executions.egress.wires import Wire
from executions.models import Attempt, Effect, Run
from executions.redaction import shown_request
from executions.secrets.opening import SecretHeaders
from lightfield.access import credentials
from lightfield.access.models import Credential
from lightfield.kernel import sql
from tests.api_client import ApiCaller
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow, an_event
from tests.integration.test_credentials import VALUE
from tests.integration.test_secrets_in_logs import tables_with
from tests.servers import Server, Visit, a_server, answering, http

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

OTHER = "another-canary-of-the-same-house"
HEADERS = {"X-Mixed": "k {{ secret.api }} {{ trigger.n }}"}
BEARER = {"type": "bearer", "token": "{{ secret.api }}"}


@pytest.fixture(autouse=True)
def no_own_servers(settings: Any) -> Iterator[None]:
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


@pytest.fixture
def far_end(settings: Any) -> Iterator[Server]:
    """Echoes what it was sent: in its body, in a header, and raw."""

    def echo(visit: Visit) -> None:
        while (request := visit.receive()) is not None:
            sent = request.headers.get("authorization", "")
            body = json.dumps({"headers": request.headers, "again": [sent], sent or "x": 1}).encode()
            visit.send(http("200 OK", body, content_type="application/json", x_echo=sent or "nothing"))

    with a_server(echo) as server:
        bind(settings, server)
        yield server


def bind(settings: Any, *servers: Server, **parts: Any) -> Credential:
    settings.LIGHTFIELD_EGRESS_ALLOW = ",".join(server.endpoint for server in servers)
    sent = {"name": "api", "value": VALUE, "hosts": [servers[0].endpoint], **parts}
    return credentials.create(sent=sent, by=BY)


def calling(url: str, **config: Any) -> dict[str, Any]:
    retry = {"max_attempts": 2, "base_seconds": 0, "cap_seconds": 0}
    return {
        "key": "call",
        "type": "http_request",
        "config": {"method": "POST", "url": url, **config},
        "retry": retry,
    }


def run_of(bellboy: Bellboy, *steps: dict[str, Any], payload: Any = None) -> Run:
    event = an_event(a_published_workflow(steps=list(steps)), payload=payload or {"n": 7})
    dispatcher.dispatch_batch(event.shard)
    admission.admit("http")
    bellboy.answer_all()
    return Run.objects.get(event=event)


def output_of(run: Run) -> dict[str, Any]:
    output = run.steps.get().output
    assert output is not None
    return dict(output)


def error_of(run: Run) -> dict[str, Any]:
    error = run.steps.get().error
    assert error is not None
    return dict(error)


def kept() -> list[str]:
    return list(tables_with(VALUE, VALUE[:-4], base64.b64encode(VALUE.encode()).decode()[:16], OTHER))


def test_the_receiver_gets_the_value_and_what_it_echoes_is_kept_without_it(bellboy, far_end):
    run = run_of(bellboy, calling(far_end.url, auth=BEARER, headers=HEADERS))

    (request,) = far_end.requests
    assert request.headers["authorization"] == f"Bearer {VALUE}"
    assert request.headers["x-mixed"] == f"k {VALUE} 7"
    assert run.status == "completed"
    output = output_of(run)
    assert output["body"]["again"] == ["Bearer [redacted]"]
    assert output["headers"]["x-echo"] == "Bearer [redacted]"
    assert kept() == []


def test_the_frozen_request_has_a_reference_and_people_see_it_as_it_was_written(bellboy, far_end):
    run_of(bellboy, calling(far_end.url, auth=BEARER, headers=HEADERS))

    request: dict[str, Any] = Effect.objects.get().request or {}
    assert request["sealed_headers"] == [
        {"name": "X-Mixed", "text": ["k ", {"secret": "api"}, " 7"], "basic": False},
        {"name": "Authorization", "text": ["Bearer ", {"secret": "api"}], "basic": False},
    ]
    shown = shown_request(request)
    assert shown["headers"] == {"X-Mixed": "k {{ secret.api }} 7", "Authorization": "Bearer {{ secret.api }}"}
    assert "sealed_headers" not in shown


def test_basic_and_a_header_of_the_receivers_own(bellboy, far_end):
    credentials.create(sent={"name": "other", "value": OTHER, "hosts": [far_end.endpoint]}, by=BY)
    basic = {"type": "basic", "username": "me", "password": "{{ secret.api }}"}
    own = {"type": "header", "name": "X-Api-Key", "value": "{{ secret.other }}"}

    run_of(bellboy, calling(far_end.url, auth=basic), {**calling(far_end.url, auth=own), "key": "again"})

    first, second = far_end.requests
    assert base64.b64decode(first.headers["authorization"].removeprefix("Basic ")).decode() == f"me:{VALUE}"
    assert second.headers["x-api-key"] == OTHER
    assert kept() == []
    encoded = first.headers["authorization"].removeprefix("Basic ")
    assert list(tables_with(encoded, encoded[4:20])) == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda sent: http("400 Bad", f"no: {sent}".encode()), "http.client_error"),
        (lambda sent: http("401 No", json.dumps({"error": sent}).encode()), "http.client_error"),
        (lambda sent: http("500 Oops", b"x" * 495 + sent.encode()), "http.server_error"),
        (lambda sent: http("503 Busy", sent.encode() * 300), "http.unavailable"),
        (lambda sent: http("302 Found", sent.encode(), location=f"/{sent}"), "http.redirect"),
        (lambda sent: f"HTTP/1.1 {sent}\r\n\r\n".encode(), "http.invalid_answer"),
        (lambda sent: f"{sent}\r\n\r\n".encode(), "http.invalid_answer"),
        (lambda sent: http("200 OK", b"abc")[:-2], "http.connection_lost"),
        (lambda sent: b"", "http.connection_lost"),
        (lambda sent: http("200 OK", sent.encode(), content_encoding="gzip"), "http.bad_encoding"),
        (lambda sent: http("200 OK", b"x" * ((1 << 20) + 1)), "http.too_large"),
    ],
)
def test_whatever_goes_wrong_nothing_that_is_kept_or_logged_holds_it(bellboy, settings, caplog, answer, code):
    def script(visit: Visit) -> None:
        request = visit.receive()
        if request is not None:
            visit.send(answer(request.headers["authorization"].removeprefix("Bearer ")))

    with a_server(script) as server, caplog.at_level("DEBUG"):
        bind(settings, server)
        run = run_of(bellboy, calling(server.url, auth=BEARER))
        assert server.requests[0].headers["authorization"] == f"Bearer {VALUE}"

    assert error_of(run)["code"] == code
    assert kept() == []
    assert VALUE not in caplog.text
    assert VALUE not in " ".join(str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (VALUE.encode("utf-16"), "application/octet-stream"),
        (b"\xff\xfe\x00" + VALUE.encode() + b"\xff", "application/octet-stream"),
        (json.dumps({VALUE: {"deep": [VALUE, VALUE * 2]}}).encode(), "application/json"),
        (f'{{"broken": "{VALUE}'.encode(), "application/json"),
        (f"a=1&token={VALUE}".encode(), "text/plain"),
        (base64.b64encode(b"x" + VALUE.encode() + b"yz"), "text/plain"),
    ],
)  # fmt: skip
def test_outputs_of_any_kind_are_kept_without_it(bellboy, settings, body, kind):
    with a_server(answering(http("200 OK", body, content_type=kind))) as server:
        bind(settings, server)
        run = run_of(bellboy, calling(server.url, auth=BEARER))

    output = output_of(run)
    assert kept() == []
    raw = base64.b64decode(output["body"]) if "encoding" in output else json.dumps(output["body"]).encode()
    for form in (VALUE.encode(), VALUE.encode("utf-16-le"), base64.b64encode(VALUE.encode("utf-16"))[:20]):
        assert form not in raw


def test_a_value_that_was_replaced_goes_out_with_the_next_attempt(bellboy, settings, due_now):
    busy_first = answering(http("503 Busy"), http("200 OK"))
    with a_server(busy_first) as server:
        row = bind(settings, server)
        run = run_of(bellboy, calling(server.url, auth=BEARER))
        credentials.change(credential_id=row.pk, sent={"value": OTHER}, by=BY)
        due_now()
        bellboy.answer_all()

    assert [request.headers["authorization"] for request in server.requests] == [
        f"Bearer {VALUE}",
        f"Bearer {OTHER}",
    ]
    assert Attempt.objects.filter(step_run__run=run).count() == 2
    assert kept() == []


@pytest.mark.parametrize(
    ("hosts", "code"), [(["other.example"], "secret.wrong_host"), (None, "secret.unknown")]
)
def test_a_host_out_of_a_template_is_judged_when_it_is_sent_and_nothing_leaves(
    bellboy, settings, far_end, hosts, code
):
    step = calling("{{ trigger.url }}", auth=BEARER)
    workflow = a_published_workflow(steps=[step])
    row = Credential.objects.get()
    if hosts is None:
        credentials.delete(credential_id=row.pk, force=True, by=BY)
    else:
        credentials.change(credential_id=row.pk, sent={"hosts": hosts, "value": VALUE}, by=BY)
    event = an_event(workflow, payload={"url": far_end.url})
    dispatcher.dispatch_batch(event.shard)
    admission.admit("http")
    bellboy.answer_all()

    step_run = Run.objects.get(event=event).steps.get()
    assert (step_run.status, error_of(step_run.run)["code"], step_run.attempts) == ("failed", code, 1)
    assert far_end.connections == 0
    assert Effect.objects.get().status == "abandoned"
    assert kept() == []


def test_in_clear_it_goes_to_no_network_that_was_merely_allowed(bellboy, settings, far_end):
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"

    run = run_of(bellboy, calling("{{ trigger.url }}", auth=BEARER), payload={"url": far_end.url})

    assert error_of(run)["code"] == "secret.wrong_host"
    assert far_end.connections == 0


def redirecting(location: str) -> bytes:
    return http("307 There", location=location)


def test_a_redirect_to_a_host_that_it_is_not_bound_to_goes_without_it(bellboy, settings):
    with (
        a_server(answering(http("200 OK", b"{}"))) as stranger,
        a_server(answering(redirecting(f"{stranger.url}/b"))) as server,
    ):
        bind(settings, server, hosts=[server.endpoint])
        settings.LIGHTFIELD_EGRESS_ALLOW = f"{server.endpoint},{stranger.endpoint}"
        run = run_of(bellboy, calling(server.url, auth=BEARER, headers=HEADERS, allow_redirects=True))

    assert run.status == "completed"
    (there,) = stranger.requests
    assert "authorization" not in there.headers
    assert "x-mixed" not in there.headers
    assert VALUE.encode() not in there.head + there.body


def test_a_redirect_to_another_bound_host_goes_with_it(bellboy, settings):
    with (
        a_server(answering(http("200 OK", b"{}"))) as second,
        a_server(answering(redirecting(f"{second.url}/b"))) as first,
    ):
        bind(settings, first, hosts=[first.endpoint, second.endpoint])
        settings.LIGHTFIELD_EGRESS_ALLOW = f"{first.endpoint},{second.endpoint}"
        run_of(bellboy, calling(first.url, auth=BEARER, allow_redirects=True))

    assert [server.requests[0].headers["authorization"] for server in (first, second)] == [
        f"Bearer {VALUE}"
    ] * 2


def test_a_header_that_stands_there_twice_is_not_sent(bellboy, far_end):
    run = run_of(bellboy, calling(far_end.url, headers={"X-Key": "plain", "x-key": "{{ secret.api }}"}))

    assert error_of(run)["code"] == "egress.invalid_header"
    assert far_end.requests == []


def test_two_workflows_on_one_kept_connection_send_each_their_own(bellboy, settings, far_end):
    credentials.create(sent={"name": "other", "value": OTHER, "hosts": [far_end.endpoint]}, by=BY)
    for token in ("api", "other"):
        run_of(bellboy, calling(far_end.url, auth={"type": "bearer", "token": f"{{{{ secret.{token} }}}}"}))
    run_of(bellboy, calling(far_end.url))

    assert [request.headers.get("authorization") for request in far_end.requests] == [
        f"Bearer {VALUE}",
        f"Bearer {OTHER}",
        None,
    ]


def test_given_the_database_away_when_it_is_opened_then_nothing_was_sent_and_it_is_tried_again(
    bellboy, far_end, due_now
):
    with mock.patch.object(credentials, "opened", side_effect=OperationalError("gone")):
        run = run_of(bellboy, calling(far_end.url, auth=BEARER, on_unknown="fail"))
    assert error_of(run)["code"] == "engine.database_unavailable"
    assert far_end.connections == 0

    due_now()
    bellboy.answer_all()

    run.refresh_from_db()
    assert run.status == "completed"


def test_given_its_key_gone_then_the_step_says_which(bellboy, settings, far_end):
    event = an_event(a_published_workflow(steps=[calling(far_end.url, auth=BEARER)]))
    Credential.objects.update(ciphertext="lf1.gone.AAAA")
    dispatcher.dispatch_batch(event.shard)
    admission.admit("http")
    bellboy.answer_all()

    error = error_of(Run.objects.get(event=event))
    assert (error["code"], far_end.connections) == ("secret.unreadable", 0)
    assert "'gone'" in error["message"]


def test_without_secrets_no_statement_is_asked_and_with_any_number_of_them_one(bellboy, far_end, settings):
    """Beside the note of its use, once a minute."""
    for n in range(5):
        credentials.create(sent={"name": f"s{n}", "value": f"{n}{VALUE}", "hosts": [far_end.endpoint]}, by=BY)
    many = {f"X-{n}": f"{{{{ secret.s{n} }}}}" for n in range(5)}
    credentials.opened([f"s{n}" for n in range(5)])
    asked: list[str] = []
    real = sql.rows

    def counting(statement: str, params: Any) -> Any:
        asked.append(statement)
        return real(statement, params)

    with mock.patch.object(sql, "rows", counting):
        run_of(bellboy, calling(far_end.url))
        without, asked[:] = list(asked), []
        run_of(bellboy, calling(far_end.url, headers=many))

    about = [statement for statement in asked if "access_credential" in statement]
    assert about == [credentials.KEEP, credentials.OPEN]  # the first when it was published
    assert not any("access_credential" in statement for statement in without)


@pytest.mark.parametrize("where", ["write", "read"])
def test_no_traceback_with_its_variables_holds_it(settings, where):
    """As error trackers report them: every frame, and the `repr` of each variable in it."""
    with a_server(answering(http())) as server:
        bind(settings, server)
        sealed = [{"name": "Authorization", "text": ["Bearer ", {"secret": "api"}], "basic": False}]
        with (
            mock.patch.object(Wire, where, side_effect=RuntimeError("broken")),
            pytest.raises(RuntimeError) as caught,
        ):
            current.request(
                method="POST", url=server.url, timeout_seconds=5, late_headers=SecretHeaders(sealed)
            )

    told = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "_write_request" in told or "_next_event" in told
    assert VALUE not in told


def test_api_and_admin_show_none_of_it(bellboy, far_end, admin_client):
    run = run_of(bellboy, calling(far_end.url, auth=BEARER))
    caller = ApiCaller()
    paths = [
        f"/runs/{run.pk}",
        f"/runs/{run.pk}/timeline",
        "/credentials",
        f"/workflows/{run.version.workflow_id}",
        "/events",
    ]
    pages = [
        f"/admin/executions/run/{run.pk}/change/",
        f"/admin/workflows/workflow/{run.version.workflow_id}/change/",
        "/admin/access/credential/",
        f"/admin/access/credential/{Credential.objects.get().pk}/change/",
        "/admin/access/auditentry/",
    ]

    told = [caller.get(path).content.decode() for path in paths]
    told += [Client.get(admin_client, page, follow=True).content.decode() for page in pages]

    assert "{{ secret.api }}" in "".join(told) or "secret.api" in "".join(told)
    for text in told:
        assert VALUE not in text
