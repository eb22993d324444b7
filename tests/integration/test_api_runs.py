"""/api/v1/runs and /api/v1/events: what happened, cancel, replay."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from executions.models import Run
from lightfield.kernel import bells
from lightfield.kernel.errors import PermanentStepError
from tests.api_client import ApiCaller, code_of
from tests.bellboy import Bellboy
from tests.factories import LOG_STEP, a_published_workflow, an_event
from tests.scripted import ScriptedSlow

pytestmark = pytest.mark.django_db(transaction=True)

SLOW_STEP = {"key": "send", "type": "slow", "config": {}}
RUN_KEYS = [
    "id",
    "workflow",
    "version",
    "test",
    "status",
    "trace_id",
    "event_id",
    "replay_of",
    "replayed_by",
    "error",
]
STEP_KEYS = ["key", "position", "type", "status", "attempts", "reused", "output", "error"]


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


def a_run(bellboy: Bellboy, workflow: Any = None, **columns: Any) -> Run:
    """A run of an event, as far as it goes by itself."""
    event = an_event(workflow or a_published_workflow(), **columns)
    bells.ring_dispatch(event.shard)
    bellboy.answer_all()
    return Run.objects.get(event=event)


@pytest.fixture
def failed(bellboy: Bellboy, slow_step: ScriptedSlow) -> Run:
    """Failed at its second of three steps."""

    def refuse(request: Any, context: Any) -> dict[str, Any]:
        raise PermanentStepError("http.client_error", sent=True, answered=True, status_code=400)

    slow_step.script = refuse
    steps = [LOG_STEP, SLOW_STEP, {**LOG_STEP, "key": "after"}]
    return a_run(bellboy, a_published_workflow(steps=steps))


def test_a_completed_run_in_the_shape_of_the_contract(api, bellboy):
    run = a_run(bellboy, payload={"email": "a@b.c"}, idempotency_key="k1")

    body = api.get(f"/runs/{run.pk}").json()

    assert list(body)[:10] == RUN_KEYS
    assert body["id"] == str(run.pk)
    assert body["workflow"] == str(run.workflow_id)
    assert (body["version"], body["status"]) == (1, "completed")
    assert (body["event_id"], body["trace_id"]) == (str(run.event_id), run.trace_id)
    assert (body["replay_of"], body["replayed_by"], body["error"]) == (None, None, None)
    assert body["trigger"] == {"email": "a@b.c"}
    assert body["upcoming"] == []
    (step,) = body["steps"]
    assert list(step)[:8] == STEP_KEYS
    assert (step["key"], step["position"], step["type"], step["status"]) == ("say", 1, "log", "completed")
    assert (step["attempts"], step["reused"], step["error"]) == (1, False, None)
    assert step["output"] == {"message": "hello"}
    for instant in (body["created_at"], body["finished_at"], step["finished_at"]):
        assert instant.endswith("Z")
        assert len(instant) == len("2026-11-23T03:20:00.123456Z")


def test_a_failed_run_says_why_and_what_was_skipped(api, failed):
    body = api.get(f"/runs/{failed.pk}").json()

    assert body["status"] == "failed"
    assert set(body["error"]) == {"code", "message", "retryable", "metadata"}
    assert (body["error"]["code"], body["error"]["retryable"]) == ("http.client_error", False)
    assert [step["status"] for step in body["steps"]] == ["completed", "failed", "skipped"]
    assert body["steps"][1]["error"]["metadata"]["status_code"] == 400
    assert body["steps"][1]["attempts"] == 1


def test_a_live_run_tells_what_is_still_to_come(api, bellboy):
    sleep = {"key": "nap", "type": "sleep", "config": {"seconds": 3600}}
    run = a_run(bellboy, a_published_workflow(steps=[LOG_STEP, sleep, {**LOG_STEP, "key": "after"}]))

    body = api.get(f"/runs/{run.pk}").json()

    assert body["status"] == "waiting"
    assert [step["key"] for step in body["steps"]] == ["say", "nap"]
    assert body["steps"][1]["due_at"].endswith("Z")
    assert body["upcoming"] == [{"key": "after", "position": 3, "type": "log"}]


def test_the_timeline_is_in_order_and_pages(api, failed):
    pages = api.pages(f"/runs/{failed.pk}/timeline?limit=2")

    entries = [entry for page in pages for entry in page]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {len(page) for page in pages[:-1]} == {2}
    assert list(entries[0]) == ["seq", "type", "step", "attempt", "at", "metadata"]
    assert entries[0]["type"] == "run.created"
    assert entries[-1]["type"] == "run.failed"
    failure = next(entry for entry in entries if entry["type"] == "step.failed")
    assert (failure["step"], failure["attempt"]) == ("send", 1)
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)


def test_cancel_stops_a_live_run_and_may_be_repeated(api, bellboy):
    sleep = {"key": "nap", "type": "sleep", "config": {"seconds": 3600}}
    run = a_run(bellboy, a_published_workflow(steps=[sleep]))

    first, again = api.post(f"/runs/{run.pk}/cancel"), api.post(f"/runs/{run.pk}/cancel")

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == "cancelled"
    assert first.json() == again.json() == api.get(f"/runs/{run.pk}").json()


def test_a_finished_run_cannot_be_cancelled(api, failed, bellboy):
    for run in (failed, a_run(bellboy)):
        assert code_of(api.post(f"/runs/{run.pk}/cancel")) == (409, "run.illegal_transition")


def test_replay_makes_a_new_run_and_both_tell_of_each_other(api, failed, bellboy, slow_step):
    slow_step.script = lambda request, context: {"ok": True}

    answer = api.post(f"/runs/{failed.pk}/replay")
    bellboy.answer_all()

    assert answer.status_code == 202
    assert answer.json()["replay_of"] == str(failed.pk)
    new = api.get(f"/runs/{answer.json()['run_id']}").json()
    assert (new["status"], new["replay_of"], new["version"]) == ("completed", str(failed.pk), 1)
    assert [step["reused"] for step in new["steps"]] == [True, False, False]
    assert api.get(f"/runs/{failed.pk}").json()["replayed_by"] == new["id"]
    event = api.get(f"/events/{failed.event_id}").json()
    assert event["runs"] == [str(failed.pk), new["id"]]
    assert event["run_id"] == new["id"]
    assert code_of(api.post(f"/runs/{failed.pk}/replay")) == (409, "run.not_latest")
    assert code_of(api.post(f"/runs/{new['id']}/replay")) == (409, "run.illegal_transition")


def test_an_event_in_the_shape_of_the_contract(api, bellboy):
    run = a_run(bellboy, payload={"a": 1}, idempotency_key="k1")

    body = api.get(f"/events/{run.event_id}").json()

    assert body["id"] == str(run.event_id)
    assert (body["status"], body["trigger_type"]) == ("dispatched", "webhook")
    assert body["workflow"] == str(run.workflow_id)
    assert (body["run_id"], body["runs"]) == (str(run.pk), [str(run.pk)])
    assert body["idempotency_key"] == "k1"
    assert body["captured_at"].endswith("Z")
    assert "payload" not in body


def test_a_pending_event_has_no_run_yet(api):
    event = an_event(a_published_workflow())

    body = api.get(f"/events/{event.pk}").json()

    assert (body["status"], body["run_id"], body["runs"]) == ("pending", None, [])


def test_events_filter_by_workflow_and_status(api, bellboy):
    run = a_run(bellboy)
    waiting = an_event(a_published_workflow())

    assert ids(api.get(f"/events?workflow={run.workflow_id}")) == {str(run.event_id)}
    assert ids(api.get("/events?status=pending")) == {str(waiting.pk)}
    assert ids(api.get(f"/events?workflow={run.workflow_id}&status=pending")) == set()


def test_runs_filter_by_each_of_the_contract(api, failed, bellboy):
    other = a_run(bellboy)

    assert ids(api.get("/runs")) == {str(failed.pk), str(other.pk)}
    assert ids(api.get(f"/runs?workflow={other.workflow_id}")) == {str(other.pk)}
    assert ids(api.get("/runs?status=failed")) == {str(failed.pk)}
    assert ids(api.get("/runs?error_code=http.client_error")) == {str(failed.pk)}
    assert ids(api.get("/runs?error_code=http.timeout")) == set()
    assert ids(api.get(f"/runs?trace_id={other.trace_id}")) == {str(other.pk)}
    assert ids(api.get(f"/runs?status=completed&workflow={failed.workflow_id}")) == set()
    assert ids(api.get(f"/runs?workflow={uuid.uuid4()}")) == set()


def test_since_takes_those_created_then_or_later(api, bellboy):
    first, second = a_run(bellboy), a_run(bellboy)

    def since(instant: Any) -> set[str]:
        return ids(api.get(f"/runs?since={instant.isoformat().replace('+00:00', 'Z')}"))

    assert since(first.created_at) == {str(first.pk), str(second.pk)}
    assert since(second.created_at) == {str(second.pk)}
    assert since(second.created_at + timedelta(microseconds=1)) == set()
    assert since(timezone.now() - timedelta(days=20_000)) == {str(first.pk), str(second.pk)}


def test_a_list_of_runs_holds_no_payloads_or_outputs(api, failed):
    (row,) = api.get("/runs").json()["results"]

    assert list(row)[:10] == RUN_KEYS
    assert row["error"]["code"] == "http.client_error"
    assert not {"trigger", "steps", "upcoming"} & set(row)


@pytest.mark.parametrize("path", ["/runs/{}", "/runs/{}/timeline", "/events/{}"])
def test_what_does_not_exist_is_not_found(api, path):
    for unknown in (uuid.uuid4(), "no-uuid"):
        assert code_of(api.get(path.format(unknown))) == (404, "request.not_found")
    for deed in ("cancel", "replay"):
        assert code_of(api.post(f"/runs/{uuid.uuid4()}/{deed}")) == (404, "request.not_found")


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.content
    return {row["id"] for row in answer.json()["results"]}
