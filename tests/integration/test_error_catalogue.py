"""Looking up what an error code means: the API, the address in every refusal, the command, the admin."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from executions import engine
from lightfield.access.pagination import MAX_LIMIT
from lightfield.kernel.catalogue import CATALOGUE, Entry, add, forget
from tests.admin_client import a_person
from tests.api_client import ApiCaller, code_of
from tests.dom import dom_of
from tests.staging import a_run

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
UNRESOLVED = {
    "code": "template.unresolved",
    "retryable": False,
    "status": 422,
    "meaning": CATALOGUE["template.unresolved"].meaning,
    "remedy": CATALOGUE["template.unresolved"].remedy,
}


@pytest.mark.parametrize("scope", ["viewer", "operator", "builder", "admin"])
def test_every_caller_sees_every_code(scope):
    listed = pages(ApiCaller(scope), "/errors")

    assert len(listed) > MAX_LIMIT  # more than one page
    assert [one["code"] for one in listed] == sorted(CATALOGUE)
    assert UNRESOLVED in listed


def pages(api: ApiCaller, path: str) -> list[Any]:
    """Every entry; on the way back from the last page each page is the same as on the way there."""
    answer = api.get(f"{path}?limit={MAX_LIMIT}").json()
    found, back = [*answer["results"]], []
    while answer["next"]:
        before, answer = answer["results"], api.get(answer["next"].partition("/api/v1")[2]).json()
        back.append((answer["previous"], before))
        found += answer["results"]
    for link, before in back:
        assert api.get(link.partition("/api/v1")[2]).json()["results"] == before
    return found


def test_one_code_is_told_and_one_that_is_none_is_not_found():
    api = ApiCaller("viewer")

    assert api.get("/errors/template.unresolved").json() == UNRESOLVED
    assert code_of(api.get("/errors/template.nope")) == (404, "request.not_found")


def test_codes_of_an_app_are_listed_too():
    add(Entry("weather.no_station", True, None, "No station is near.", "Name another place."))
    try:
        assert ApiCaller().get("/errors/weather.no_station").json()["remedy"] == "Name another place."
        assert Client().get("/errors/weather.no_station").status_code == 200
    finally:
        forget("weather.no_station")


def test_the_type_of_a_refusal_leads_to_its_entry_without_a_key():
    refusal = Client().get("/api/v1/runs").json()

    answer = Client().get(refusal["type"])

    assert answer.json() == {
        "type": "/errors/auth.missing",
        "code": "auth.missing",
        "retryable": False,
        "status": 401,
        "meaning": CATALOGUE["auth.missing"].meaning,
        "remedy": CATALOGUE["auth.missing"].remedy,
    }


def test_a_browser_gets_a_page():
    answer = Client().get("/errors/http.timeout", headers=HTML)

    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Accept" in answer.headers["Vary"]
    page = dom_of(answer)
    assert page.one("h1").text == CATALOGUE["http.timeout"].meaning
    assert CATALOGUE["http.timeout"].remedy in page.text


@pytest.mark.parametrize("headers", [HTML, {}], ids=["browser", "program"])
@pytest.mark.parametrize("code", ["http.nope", "x", "%3Cscript%3Ealert(1)%3C/script%3E", "a" * 500])
def test_an_address_of_no_code_is_not_found_and_shows_nothing_unescaped(code, headers):
    answer = Client().get(f"/errors/{code}", headers=headers)

    assert answer.status_code == 404
    assert b"<script>" not in answer.content
    assert len(answer.content) < 2_000


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_the_address_of_a_code_takes_nothing(method):
    assert getattr(Client(), method)("/errors/http.timeout").status_code == 405


def told(*arguments: str) -> str:
    out = io.StringIO()
    call_command("errors", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_tells_one_code_a_namespace_or_all():
    assert told("template.unresolved") == (
        "template.unresolved (not retried, status 422)\n"
        "  A template refers to a value that is not there.\n"
        "  Correct the path, or add | default: to it.\n"
    )
    assert "http.timeout (retried)" in told("http.")
    assert [one["code"] for one in json.loads(told("--json"))] == sorted(CATALOGUE)
    with pytest.raises(CommandError, match="no code 'nope'"):
        told("nope")


def test_the_page_of_a_failed_run_leads_from_its_code_to_what_it_means():
    run = a_run({"key": "say", "type": "log", "config": {"message": "{{ trigger.nope }}"}})
    engine.advance_run(str(run.pk))

    page = dom_of(a_person().get(f"/admin/executions/run/{run.pk}/change/"))

    links = [link for link in page.all("a") if link.attributes.get("href") == "/errors/template.unresolved"]
    assert len(links) >= 2  # why the run failed, and at the step
