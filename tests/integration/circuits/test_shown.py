"""Hosts that fail, as people see them: API, admin, overview, and the sentences of a run that waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from executions.circuits.models import Circuit
from executions.holds import Hold
from executions.models import StepRun
from executions.reports import held
from executions.settling import settle
from executions.story import told
from lightfield.access.models import AuditEntry
from tests.admin_client import a_person
from tests.api_client import ApiCaller
from tests.dom import dom_of
from tests.staging import a_claimed_step, intend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("slow_step")]

HOST = "https://api.example.com"
LIST = "/admin/executions/circuit/"


def a_circuit(**columns: Any) -> Circuit:
    now = timezone.now()
    shown = {
        "state": "open",
        "code": "http.unavailable",
        "opened_at": now,
        "retry_at": now + timedelta(minutes=1),
    }
    return Circuit.objects.create(**{"host": HOST, **shown, **columns})


def a_held_step(
    code: str = "http.circuit_open", host: str | None = HOST, *, intended: bool = False
) -> StepRun:
    """One that its worker has put back."""
    step = a_claimed_step()
    if intended:
        intend(step)
    metadata = {"url_host": "api.example.com", "circuit": HOST}
    error = {"code": code, "message": "It waits.", "retryable": True, "metadata": metadata}
    settle(held(step, Hold(90.0, error, host)))
    return StepRun.objects.get(pk=step.step_run_id)


def test_the_api_lists_them_with_what_waits_for_each() -> None:
    a_circuit()
    a_circuit(host="http://other.example.com", state="half_open", rate=15.0)
    a_held_step()
    a_held_step()

    first, second = ApiCaller("viewer").get("/circuits").json()["results"]

    assert (first["host"], first["state"], first["rate"], first["steps_held"]) == (
        "http://other.example.com",
        "half_open",
        15.0,
        0,
    )
    assert (second["host"], second["code"], second["steps_held"]) == (HOST, "http.unavailable", 2)
    assert second["retry_at"].endswith("Z")


def test_the_list_goes_on_page_by_page() -> None:
    for number in range(3):
        a_circuit(host=f"https://{number}.example.com")
    caller = ApiCaller("viewer")
    page = caller.get("/circuits?limit=2").json()
    rest = caller.get(page["next"].partition("/api/v1")[2]).json()
    assert [one["host"][8] for one in page["results"] + rest["results"]] == ["0", "1", "2"]


def test_a_person_may_have_a_host_probed_now() -> None:
    a_circuit()
    ada = a_person()
    page = dom_of(ada.get(LIST))
    assert HOST in page.text
    assert "http.unavailable" in page.text

    ada.post(LIST, {"action": "probe_now", "_selected_action": [HOST]})

    assert Circuit.objects.filter(retry_at__lte=timezone.now()).exists()
    assert AuditEntry.objects.get(action="circuit.probed").subject == HOST


def test_who_lacks_the_right_is_not_offered_it() -> None:
    a_circuit()
    bob = a_person("executions.view_circuit")
    assert "Probe now" not in dom_of(bob.get(LIST)).text
    bob.post(LIST, {"action": "probe_now", "_selected_action": [HOST]})
    assert Circuit.objects.filter(retry_at__gt=timezone.now()).exists()


def test_a_list_without_hosts_is_good_news() -> None:
    assert "No host fails" in dom_of(a_person().get(LIST)).text


def test_the_overview_says_that_hosts_fail() -> None:
    a_circuit()
    a_circuit(host="https://watched.example.com", state="closed", opened_at=None, retry_at=None)
    assert "1 host fails: steps that call it wait" in dom_of(a_person().get("/admin/")).text


@pytest.mark.parametrize(
    ("code", "host", "standing", "line"),
    [
        (
            "http.circuit_open",
            HOST,
            f"Held back: {HOST} fails for many runs.",
            "call waits until api.example.com answers again",
        ),
        (
            "http.retry_budget",
            None,
            "Waits for its turn among the retries to its host",
            "call waits 1 min 30 s for its turn among the retries to api.example.com",
        ),
    ],
)
def test_a_step_that_was_put_back_says_why(code: str, host: str | None, standing: str, line: str) -> None:
    step = a_held_step(code, host)

    story = told(step.run_id)

    assert story.chapters[0].standing.startswith(standing)
    assert story.lines[-1].sentence.text == line
    assert story.lines[-1].sentence.code == code


def test_of_a_request_that_was_put_back_no_page_says_that_it_was_sent() -> None:
    step = a_held_step(intended=True)

    page = dom_of(a_person().get(reverse("admin:executions_run_change", args=[step.run_id]))).text

    assert "Request to be sent" in page
    assert "Not sent yet" in page
    assert "Not decided yet" not in page
    assert "Request as sent" not in page


def test_the_run_shows_the_reason_to_the_api() -> None:
    step = a_held_step()
    (shown,) = ApiCaller("viewer").get(f"/runs/{step.run_id}").json()["steps"]
    assert (shown["status"], shown["error"]["code"]) == ("waiting", "http.circuit_open")
    assert shown["error"]["metadata"]["circuit"] == HOST


def test_a_client_without_rights_sees_nothing() -> None:
    assert Client().get("/api/v1/circuits").status_code == 401
