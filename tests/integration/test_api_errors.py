"""Every error leaves the API as a problem document with a code, and tells nothing of the inside."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core import exceptions as django
from django.db import InterfaceError, OperationalError, connection
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework import exceptions as drf

from executions import selectors
from lightfield import api as answers
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import LostRace, RequestRefused
from tests.api_client import ApiCaller, code_of
from workflows.models import Workflow

SECRET = "password=hunter2 at /srv/app/secret.py"


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let GET /runs raise."""

    def fail(error: Exception) -> None:
        def broken() -> None:
            raise error

        monkeypatch.setattr(selectors, "runs_for_list", broken)

    return fail


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ZeroDivisionError(SECRET), 500, "engine.internal"),
        (KeyError(SECRET), 500, "engine.internal"),
        (RequestRefused("run.timeout", "no HTTP status"), 500, "engine.internal"),
        (OperationalError(SECRET), 503, "engine.database_unavailable"),
        (InterfaceError(SECRET), 503, "engine.database_unavailable"),
        (LostRace(SECRET), 409, "request.conflict"),
        (Workflow.DoesNotExist(SECRET), 404, "request.not_found"),
        (Http404(SECRET), 404, "request.not_found"),
        (drf.NotFound(SECRET), 404, "request.not_found"),
        (drf.PermissionDenied(SECRET), 403, "auth.forbidden"),
        (django.PermissionDenied(SECRET), 403, "auth.forbidden"),
        (drf.NotAuthenticated(SECRET), 401, "auth.missing"),
        (drf.AuthenticationFailed(SECRET), 401, "auth.invalid"),
        (drf.ParseError(SECRET), 400, "payload.invalid_json"),
        (drf.UnsupportedMediaType("text/x"), 415, "payload.unsupported_type"),
        (drf.Throttled(7.2), 429, "request.throttled"),
        (django.RequestDataTooBig(SECRET), 413, "payload.too_large"),
        (django.SuspiciousOperation(SECRET), 400, "request.invalid"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_becomes_its_code(api, failing, error, status, code):
    failing(error)

    answer = api.get("/runs")

    assert code_of(answer) == (status, code)
    assert "hunter2" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert answer.json()["title"] == CATALOGUE[code].meaning
    assert answer.json()["detail"]


@pytest.mark.django_db
def test_what_was_not_foreseen_is_in_the_log_with_its_traceback(api, failing, caplog):
    failing(ZeroDivisionError("boom"))

    api.get("/runs?status=failed")

    (record,) = [record for record in caplog.records if record.message == "request_failed"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    assert (record.__dict__["method"], record.__dict__["path"]) == ("GET", "/api/v1/runs")


@pytest.mark.django_db
def test_what_the_caller_did_wrong_is_no_error_in_the_log(api, caplog):
    api.get("/runs?status=nonsense")

    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.django_db
def test_headers_tell_when_to_come_again_and_how_to_sign_in(api, failing):
    failing(drf.Throttled(7.2))
    assert api.get("/runs").headers["Retry-After"] == "8"
    failing(OperationalError())
    assert api.get("/runs").headers["Retry-After"] == "5"
    failing(drf.NotAuthenticated())
    assert api.get("/runs").headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.django_db
def test_nested_validation_errors_become_pointers(api, failing):
    failing(
        drf.ValidationError(
            {"steps": [{}, {"key": ["Too long.", "Not unique."]}], "non_field_errors": ["No."]}
        )
    )

    problems = api.get("/runs").json()["errors"]

    assert [(problem["pointer"], problem["detail"]) for problem in problems] == [
        ("/steps/1/key", "Too long."),
        ("/steps/1/key", "Not unique."),
        ("", "No."),
    ]


@pytest.mark.django_db(transaction=True)
def test_given_no_database_then_the_api_says_so(api, monkeypatch):
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    answer = api.get("/runs")

    assert code_of(answer) == (503, "engine.database_unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_a_host_that_is_not_ours_gets_a_problem_document_too(settings):
    settings.ALLOWED_HOSTS = ["example.com"]

    assert code_of(Client().get("/api/v1/runs", headers={"Host": "evil.test"})) == (400, "request.invalid")


def test_people_get_pages_and_programs_get_json():
    factory = RequestFactory()
    for path, kind in [
        ("/api/v1/nothing", "application/problem+json"),
        ("/nothing", "text/html; charset=utf-8"),
    ]:
        request = factory.get(path)
        for answer in (
            answers.not_found(request, Http404()),
            answers.bad_request(request, django.SuspiciousOperation()),
            answers.server_error(request),
        ):
            assert answer.headers["Content-Type"] == kind


@pytest.mark.django_db
def test_answers_tell_nothing_of_the_software_and_may_not_be_sniffed(api):
    answer = api.get("/runs")

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] == "application/json"
    assert not {"Server", "X-Powered-By"} & set(answer.headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
