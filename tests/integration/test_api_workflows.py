"""/api/v1/workflows: create, edit, publish, pause, resume, archive, versions, run, rotate the token."""

from __future__ import annotations

import io
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.test import Client

from tests.api_client import ApiCaller, code_of
from tests.factories import LOG_STEP, a_definition, a_published_workflow, a_workflow
from triggers.models import OutboxEvent, Trigger
from workflows.models import Workflow, WorkflowStatus

pytestmark = pytest.mark.django_db

BROKEN = [
    {**LOG_STEP, "config": {"message": "{{ later.x }}"}},
    {**LOG_STEP, "key": "later", "type": "no_such"},
]


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


def test_create_answers_with_id_status_and_the_definition(api):
    answer = api.post("/workflows", a_definition(name="Sign-up"))

    assert answer.status_code == 201
    body = answer.json()
    assert list(body)[:2] == ["id", "status"]
    assert body["status"] == "draft"
    assert body["active_version"] is None
    assert body["name"] == "Sign-up"
    assert body["settings"] == {
        "concurrency": None,
        "timeout_seconds": 86_400,
        "on_failure": None,
        "pause_after_failures": None,
    }
    assert body["steps"][0]["key"] == "say"
    assert body["webhook_url"].startswith("/hooks/")
    assert uuid.UUID(body["id"]).version == 7
    for name in ("created_at", "updated_at"):
        assert body[name].endswith("Z")
        assert datetime.fromisoformat(body[name]).tzinfo is not None


def test_get_shows_what_create_answered(api):
    made = api.post("/workflows", a_definition()).json()

    assert api.get(f"/workflows/{made['id']}").json() == made


def test_create_refuses_what_is_no_definition_at_its_place(api):
    answer = api.post("/workflows", a_definition(steps=[{"key": "Bad key", "type": "log"}], extra=1))

    assert code_of(answer) == (422, "config.invalid_definition")
    assert [problem["pointer"] for problem in answer.json()["errors"]] == ["/steps/0/key", "/extra"]
    assert not Workflow.objects.exists()


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "payload.invalid_json"),
        (b'{"a": 1, "a": 2}', 400, "payload.duplicate_key"),
        (b'{"a": "\\u0000"}', 400, "payload.nul_character"),
        (b"[" * 40 + b"]" * 40, 400, "payload.too_deep"),
        (b'"' + b"x" * (1 << 20) + b'"', 413, "payload.too_large"),
        (b'"' + b"x" * (3 << 20) + b'"', 413, "payload.too_large"),
        (b"\xff", 400, "payload.not_utf8"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"idempotency_key": "k"}])
def test_a_body_that_cannot_be_kept_is_refused_with_its_code(api, raw, status, code, headers):
    assert code_of(api.post("/workflows", raw, **headers)) == (status, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content_type": "application/x-www-form-urlencoded"}, 415, "payload.unsupported_type"),
        ({"content_type": "text/plain"}, 415, "payload.unsupported_type"),
        ({"content_type": "multipart/form-data; boundary=x"}, 415, "payload.unsupported_type"),
        ({"content_encoding": "gzip"}, 415, "payload.unsupported_encoding"),
    ],
)
def test_a_body_of_another_kind_is_refused(api, headers, status, code):
    assert code_of(api.post("/workflows", a_definition(), **headers)) == (status, code)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/merge-patch+json", ""])
def test_json_may_come_under_any_of_its_names(api, kind):
    assert api.post("/workflows", a_definition(), content_type=kind).status_code == 201


def test_a_body_without_announced_length_is_refused_instead_of_lost(api):
    answer = Client().post(
        "/api/v1/workflows",
        headers={"Authorization": f"Bearer {api.secret}", "Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
    )

    assert code_of(answer) == (411, "request.length_required")


class BrokenLine(io.BytesIO):
    """The caller hangs up while sending."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("connection reset")


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
def test_a_body_that_breaks_off_is_refused(api, headers):
    broken: dict[str, Any] = {
        "wsgi.input": BrokenLine(),
        "CONTENT_LENGTH": "10",
        "CONTENT_TYPE": "application/json",
    }
    answer = Client().post(
        "/api/v1/workflows", headers={"Authorization": f"Bearer {api.secret}", **headers}, **broken
    )

    assert code_of(answer) == (400, "payload.incomplete")


def test_patch_changes_parts_of_the_draft_only_also_while_active(api):
    workflow = a_published_workflow()

    answer = api.patch(f"/workflows/{workflow.pk}", {"name": "Renamed", "steps": []})

    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["steps"]) == ("Renamed", [])
    assert answer.json()["trigger"]["type"] == "webhook"
    assert answer.json()["status"] == "active"
    assert len(api.get(f"/workflows/{workflow.pk}/versions/1").json()["steps"]) == 1


def test_patch_cannot_reach_any_field_of_the_row(api):
    workflow = a_published_workflow()
    before = Workflow.objects.values().get()

    for name in (field.attname for field in Workflow._meta.concrete_fields):
        if name not in ("name",):
            assert code_of(api.patch(f"/workflows/{workflow.pk}", {name: "archived"}))[0] == 422, name

    assert Workflow.objects.values().get() == before


def test_publish_makes_versions_and_says_when_nothing_changed(api):
    workflow = a_workflow()
    path = f"/workflows/{workflow.pk}"

    first, again = api.post(f"{path}/publish"), api.post(f"{path}/publish")
    api.patch(path, {"description": "new"})
    second = api.post(f"{path}/publish")

    assert (first.status_code, first.json()["version"]) == (201, 1)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (second.status_code, second.json()["version"]) == (201, 2)
    assert second.json()["checksum"] != first.json()["checksum"]
    assert api.get(path).json()["active_version"] == 2
    assert api.get(path).json()["status"] == "active"


def test_publish_refuses_with_every_problem_and_its_place(api):
    workflow = a_workflow(steps=BROKEN)

    answer = api.post(f"/workflows/{workflow.pk}/publish")

    assert answer.status_code == 422
    codes = {(problem["pointer"], problem["code"]) for problem in answer.json()["errors"]}
    assert ("/steps/0/config/message", "template.unknown_reference") in codes
    assert ("/steps/1/type", "config.unknown_step_type") in codes
    assert api.get(f"/workflows/{workflow.pk}").json()["status"] == "draft"


def test_pause_resume_and_archive_move_the_status_and_refuse_what_does_not_follow(api):
    path = f"/workflows/{a_published_workflow().pk}"

    assert api.post(f"{path}/pause").json()["status"] == "paused"
    assert code_of(api.post(f"{path}/pause")) == (409, "workflow.illegal_transition")
    assert api.post(f"{path}/resume").json()["status"] == "active"
    assert code_of(api.post(f"{path}/resume")) == (409, "workflow.illegal_transition")
    gone = api.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get(path).json()["status"] == "archived"
    for method, deed in (("POST", "/publish"), ("POST", "/pause"), ("POST", "/rotate-token"), ("DELETE", "")):
        assert code_of(api.call(method, path + deed)) == (409, "workflow.illegal_transition")
    assert code_of(api.patch(path, {"name": "x"})) == (409, "workflow.illegal_transition")
    assert code_of(api.post(f"{path}/run", {})) == (409, "workflow.not_published")


def test_versions_are_the_definitions_newest_first_and_stay_as_they_were(api):
    workflow = a_published_workflow(name="One")
    path = f"/workflows/{workflow.pk}"
    first = api.get(f"{path}/versions/1").json()
    for number in range(2, 5):
        api.patch(path, {"description": f"version {number}"})
        api.post(f"{path}/publish")

    listed = api.get(f"{path}/versions").json()["results"]

    assert [version["version"] for version in listed] == [4, 3, 2, 1]
    assert listed[-1] == first == api.get(f"{path}/versions/1").json()
    assert first["name"] == "One"
    assert first["published_by"] == "a tester"
    assert {"schema", "name", "description", "settings", "trigger", "steps", "checksum"} <= set(first)
    assert code_of(api.get(f"{path}/versions/5")) == (404, "request.not_found")
    assert code_of(api.get(f"{path}/versions/99999999999999999999")) == (404, "request.not_found")


@pytest.mark.django_db(transaction=True)
def test_rotate_token_gives_a_new_address_at_once(api):
    workflow = a_published_workflow()
    before = api.get(f"/workflows/{workflow.pk}").json()["webhook_url"]

    after = api.post(f"/workflows/{workflow.pk}/rotate-token").json()["webhook_url"]

    assert after != before
    assert Client().post(before, "{}", content_type="application/json").status_code == 404
    assert Client().post(after, "{}", content_type="application/json").status_code == 202


@pytest.mark.parametrize(("scope", "sees"), [("viewer", False), ("operator", False), ("builder", True)])
def test_the_address_is_shown_to_those_who_may_change_it(scope, sees):
    workflow = a_workflow()
    api = ApiCaller(scope)

    shown = api.get(f"/workflows/{workflow.pk}").json()["webhook_url"]
    listed = api.get("/workflows").json()["results"][0]["webhook_url"]

    assert (shown is not None) is sees
    assert listed == shown


def test_given_an_address_that_no_key_opens_then_the_list_is_still_readable(api):
    Trigger.objects.filter(workflow=a_workflow()).update(token_ciphertext="lf1.gone.AAAA")
    a_workflow()

    listed = api.get("/workflows").json()["results"]

    assert [row["webhook_url"] is None for row in listed] == [False, True]


def test_the_list_is_a_summary(api):
    a_published_workflow(
        name="Two", description="What it does", steps=[LOG_STEP, {**LOG_STEP, "key": "more"}]
    )

    row = api.get("/workflows").json()["results"][0]

    assert "steps" not in row
    expected = {"name": "Two", "description": "What it does", "active_version": 1, "trigger_type": "webhook"}
    assert expected.items() <= row.items()
    assert row["step_count"] == 2


def test_the_list_filters_by_status(api):
    a_workflow()
    a_published_workflow()

    for status in WorkflowStatus.values:
        found = api.get(f"/workflows?status={status}").json()["results"]
        assert {row["status"] for row in found} <= {status}
    assert code_of(api.get("/workflows?status=running")) == (400, "request.invalid")


@pytest.mark.parametrize("payload", [{"a": 1}, [1, 2], "text", 7, None, True])
def test_run_takes_any_json(api, payload):
    workflow = a_published_workflow()

    answer = api.post(f"/workflows/{workflow.pk}/run", b"null" if payload is None else payload)

    assert answer.status_code == 202
    assert answer.json() == {"event_id": str(OutboxEvent.objects.get().pk), "duplicate": False}
    event = OutboxEvent.objects.get()
    assert (event.payload, event.source) == (payload, "manual")


def test_run_without_a_body_runs_with_an_empty_object(api):
    workflow = a_published_workflow()

    assert api.post(f"/workflows/{workflow.pk}/run").status_code == 202
    assert OutboxEvent.objects.get().payload == {}


def test_run_works_while_paused_and_not_before_the_first_publish(api):
    paused = a_published_workflow()
    api.post(f"/workflows/{paused.pk}/pause")

    assert api.post(f"/workflows/{paused.pk}/run", {}).status_code == 202
    assert code_of(api.post(f"/workflows/{a_workflow().pk}/run", {})) == (409, "workflow.not_published")


def test_run_with_a_repeated_key_answers_the_first_event_to_every_caller(api):
    workflow = a_published_workflow()
    path = f"/workflows/{workflow.pk}/run"

    first = api.post(path, {"a": 1}, idempotency_key="order-1")
    again = ApiCaller("operator").post(path, {"a": 1}, idempotency_key="order-1")
    other = api.post(path, {"a": 2}, idempotency_key="order-1")

    assert first.status_code == 202
    assert (again.status_code, again.json()) == (200, {**first.json(), "duplicate": True})
    assert code_of(other) == (422, "idempotency.key_reused")
    assert OutboxEvent.objects.count() == 1


def test_run_takes_over_the_callers_trace(api):
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    workflow = a_published_workflow()

    api.post(f"/workflows/{workflow.pk}/run", {}, traceparent=f"00-{trace_id}-b7ad6b7169203331-01")

    assert OutboxEvent.objects.get().trace_id == trace_id


@pytest.mark.parametrize(
    "path",
    ["", "/publish", "/pause", "/resume", "/rotate-token", "/versions", "/versions/1", "/run"],
)
def test_an_unknown_workflow_is_not_found_under_every_address(api, path):
    reads = path in ("", "/versions", "/versions/1")
    for unknown in (uuid.uuid4(), "no-uuid", "0" * 40):
        answer = (
            api.get(f"/workflows/{unknown}{path}") if reads else api.post(f"/workflows/{unknown}{path}", {})
        )
        assert code_of(answer) == (404, "request.not_found")
