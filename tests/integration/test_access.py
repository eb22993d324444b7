"""API keys: made once, kept as a hash, expired, revoked, used; the command that makes them; the admin's view of them."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from lightfield.access.keys import create_key, revoke_key
from lightfield.access.models import ApiKey, AuditEntry, Scope
from tests.api_client import ApiCaller, code_of

pytestmark = pytest.mark.django_db

BY = "a tester"


def answer_to(authorization: str | None) -> tuple[int, str]:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = Client().get("/api/v1/runs", headers=headers)
    return (200, "") if answer.status_code == 200 else code_of(answer)


def test_a_key_opens_the_api_and_only_its_hash_is_kept():
    key, secret = create_key(name="CI", by=BY)

    assert re.fullmatch(r"lf_[A-Za-z0-9_-]{43}", secret)
    assert answer_to(f"Bearer {secret}") == (200, "")
    assert answer_to(f"bearer   {secret} ") == (200, "")
    row = str(ApiKey.objects.values().get(pk=key.pk))
    assert secret not in row
    assert key.prefix == secret[:11]
    assert key.scope == Scope.ADMIN


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Bearer lf_",
        "Bearer lf_" + "x" * 43,
        "Bearer nonsense",
        "Bearer \u00e9",
        "Bearer lf_" + "a" * 4000,
    ],
)
def test_a_wrong_key_is_refused(authorization):
    assert answer_to(authorization) == (401, "auth.invalid")


@pytest.mark.parametrize("authorization", [None, "", "Basic cm9vdDpyb290", "Token abc"])
def test_no_key_is_something_else_than_a_wrong_one(authorization):
    assert answer_to(authorization) == (401, "auth.missing")


def test_an_expired_key_is_refused_by_the_databases_clock():
    _, secret = create_key(name="short", lifetime=timedelta(days=1), by=BY)
    assert answer_to(f"Bearer {secret}") == (200, "")

    ApiKey.objects.update(expires_at=Now())

    assert answer_to(f"Bearer {secret}") == (401, "auth.expired")


def test_a_revoked_key_is_refused_at_once_and_revoked_once():
    key, secret = create_key(name="lost", by=BY)

    revoke_key(key=key, by=BY)
    revoke_key(key=key, by=BY)

    assert answer_to(f"Bearer {secret}") == (401, "auth.expired")
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1


def test_a_wrong_key_is_refused_although_a_session_would_do():
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))

    assert browser.get("/api/v1/runs").status_code == 200
    answer = browser.get("/api/v1/runs", headers={"Authorization": "Bearer lf_wrong"})
    assert code_of(answer) == (401, "auth.invalid")


def test_last_use_is_noted_once_a_minute():
    caller = ApiCaller()

    def writes() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert caller.get("/runs").status_code == 200
        return sum(query["sql"].startswith("UPDATE") for query in captured)

    assert [writes(), writes(), writes()] == [1, 0, 0]
    noted = ApiKey.objects.get().last_used_at
    ApiKey.objects.update(last_used_at=Now() - timedelta(seconds=61))
    assert [writes(), writes()] == [1, 0]
    assert noted is not None


def test_the_audit_trail_names_the_key_that_acted():
    caller = ApiCaller(name="deploy script")

    caller.post("/workflows", {"schema": 1, "name": "W"})

    entry = AuditEntry.objects.get(action="workflow.created")
    assert entry.actor == f"deploy script ({caller.key.prefix}…)"
    made = AuditEntry.objects.get(action="api_key.created")
    assert caller.secret not in str(made.metadata)


def run_command(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_prints_the_key_alone_on_stdout():
    out, err = run_command("CI", "--scope", "viewer")

    assert re.fullmatch(r"lf_[A-Za-z0-9_-]{43}\n", out)
    assert answer_to(f"Bearer {out.strip()}") == (200, "")
    assert "only its hash" in err
    assert out.strip() not in err
    assert ApiKey.objects.get().scope == "viewer"


def test_the_command_makes_an_admin_key_without_end_by_default():
    run_command("CI")

    key = ApiKey.objects.get()
    assert (key.scope, key.expires_at) == ("admin", None)


def test_the_command_can_let_a_key_expire():
    run_command("CI", "--days", "30")

    key = ApiKey.objects.get()
    assert key.expires_at == key.created_at + timedelta(days=30)


@pytest.mark.parametrize("arguments", [["x" * 101], [" "], ["CI", "--days", "0"], ["CI", "--scope", "root"]])
def test_the_command_refuses_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        run_command(*arguments)
    assert not ApiKey.objects.exists()
