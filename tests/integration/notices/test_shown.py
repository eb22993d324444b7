"""What API and admin show of notices and of a pause by the system."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from executions import admission
from executions.notices import outgoing
from lightfield.access.models import Scope
from tests.admin_client import a_person
from tests.api_client import ApiCaller
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow
from tests.failing import BROKEN, FINE, a_telling_workflow, runs_of
from tests.servers import Server, a_server, answering, http
from tests.signing import SECRETS
from tests.staging import a_run, slow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin() -> Client:
    return a_person()


def test_a_run_says_who_is_told_and_what_came_of_it(bellboy: Bellboy, receiver: Server) -> None:
    api = ApiCaller()
    workflow = a_telling_workflow(receiver.url, pause_after_failures=9)
    (run,) = runs_of(bellboy, workflow, BROKEN)
    shown = api.get(f"/api/v1/runs/{run.pk}").json()["notices"]
    assert shown == [
        {
            "channel": "webhook",
            "status": "pending",
            "message_id": None,
            "attempts": 0,
            "error_code": None,
            "finished_at": None,
        }
    ]

    outgoing.send_due()

    (shown,) = api.get(f"/api/v1/runs/{run.pk}").json()["notices"]
    assert (shown["status"], shown["attempts"]) == ("sent", 1)
    assert shown["message_id"] == receiver.requests[0].headers["webhook-id"]
    (fine,) = runs_of(bellboy, workflow, FINE)
    assert api.get(f"/api/v1/runs/{fine.pk}").json()["notices"] == []


def test_a_workflow_says_why_it_is_paused(bellboy: Bellboy) -> None:
    api = ApiCaller()
    workflow = a_telling_workflow(pause_after_failures=1)
    address = f"/api/v1/workflows/{workflow.pk}"
    assert api.get(address).json()["paused_reason"] is None
    runs_of(bellboy, workflow, BROKEN)
    outgoing.send_due()

    assert (api.get(address).json()["status"], api.get(address).json()["paused_reason"]) == (
        "paused",
        "workflow.failing",
    )
    api.post(f"{address}/resume")
    api.post(f"{address}/pause")
    assert api.get(address).json()["paused_reason"] is None


def test_of_a_secret_its_last_four_are_shown_to_those_who_may_change_it(receiver: Server) -> None:
    workflow = a_telling_workflow(receiver.url, secret=SECRETS["standard"])
    address = f"/api/v1/workflows/{workflow.pk}"

    assert ApiCaller().get(address).json()["notice_secret_last4"] == SECRETS["standard"][-4:]
    assert ApiCaller(scope=Scope.VIEWER).get(address).json()["notice_secret_last4"] is None


def test_the_runs_page_shows_its_notices(bellboy: Bellboy, admin: Client) -> None:
    with a_server(answering(http("410 Gone"))) as server:
        (run,) = runs_of(bellboy, a_telling_workflow(server.url), BROKEN)
        outgoing.send_due()

    page = admin.get(f"/admin/executions/run/{run.pk}/change/").content.decode()

    assert "Who is told" in page
    assert "notice.refused" in page
    assert "answered 410" in page


def test_the_workflows_page_says_that_the_system_paused_it(bellboy: Bellboy, admin: Client) -> None:
    workflow = a_telling_workflow(pause_after_failures=1)
    runs_of(bellboy, workflow, BROKEN)
    outgoing.send_due()

    page = admin.get(f"/admin/workflows/workflow/{workflow.pk}/change/").content.decode()

    assert "Paused by the system" in page
    assert "workflow.failing" in page
    assert "on_failure.webhook.url" in page
    assert "pause_after_failures" in page


def test_a_step_says_that_it_waits_for_its_own_workflow(
    bellboy: Bellboy, admin: Client, slow_step: Any
) -> None:
    workflow = a_published_workflow(steps=[slow()], settings={"concurrency": 1})
    a_run(workflow=workflow)
    waiting = a_run(workflow=workflow)
    admission.admit("http")

    page = admin.get(f"/admin/executions/run/{waiting.pk}/change/").content.decode()

    assert (
        "Waits for others of its workflow: its concurrency is 1, and as many slow steps are in flight."
        in page
    )
