"""What a definition may say about failures, and where its secret goes."""

from __future__ import annotations

from typing import Any

import pytest

from executions.notices.models import NoticeSecret
from lightfield.access.models import AuditEntry
from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from tests.factories import BY, a_published_workflow, a_workflow, active_version_of
from tests.signing import OTHERS, SECRETS
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

HOOK = "https://example.com/failures"


def settings_with(**on_failure: Any) -> dict[str, Any]:
    return {"on_failure": on_failure}


def problems(settings: dict[str, Any], *, publish: bool = False) -> list[tuple[str, str]]:
    make = a_published_workflow if publish else a_workflow
    with pytest.raises(RequestRefused) as refused:
        make(settings=settings)
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        (settings_with(webhook={"url": "x" * 2049}), "/settings/on_failure/webhook/url"),
        (settings_with(webhook={}), "/settings/on_failure/webhook/url"),
        (settings_with(email=["not an address"]), "/settings/on_failure/email/0"),
        (settings_with(email=["a@b.c\nBcc: x@y.z"]), "/settings/on_failure/email/0"),
        (settings_with(email=["a@example.com"] * 21), "/settings/on_failure/email"),
        (settings_with(every_seconds=9), "/settings/on_failure/every_seconds"),
        (settings_with(slack="#ops"), "/settings/on_failure/slack"),
        ({"pause_after_failures": 0}, "/settings/pause_after_failures"),
        ({"pause_after_failures": 1001}, "/settings/pause_after_failures"),
    ],
)
def test_what_is_out_of_bounds_is_refused_at_its_place(limits: dict[str, Any], pointer: str) -> None:
    assert problems(limits) == [(pointer, "config.invalid_definition")]


def test_a_secret_that_could_not_sign_is_not_stored() -> None:
    told = settings_with(webhook={"url": HOOK, "secret": "password"})

    assert problems(told) == [("/settings/on_failure/webhook/secret", "config.invalid_secret")]
    assert Workflow.objects.count() == 0


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("example.com/hook", "egress.invalid_url"),
        ("ftp://example.com/", "egress.denied_scheme"),
        ("https://example.com/{{ secret.hook }}", "config.invalid"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_publish(url: str, code: str) -> None:
    told = settings_with(webhook={"url": url})

    assert problems(told, publish=True) == [("/settings/on_failure/webhook/url", code)]


def test_mail_needs_a_mail_server(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    told = settings_with(email=["ops@example.com"])

    assert problems(told, publish=True) == [("/settings/on_failure/email", "notice.email_not_configured")]


def test_a_secret_is_kept_encrypted_and_stands_in_no_draft_version_or_audit_trail() -> None:
    secret = SECRETS["standard"]
    workflow = a_published_workflow(settings=settings_with(webhook={"url": HOOK, "secret": secret}))

    assert workflow.draft["settings"]["on_failure"]["webhook"] == {"url": HOOK, "secret": None}
    assert active_version_of(workflow).definition["settings"]["on_failure"]["webhook"]["secret"] is None
    assert NoticeSecret.objects.get().last4 == secret[-4:]
    for table in (
        "workflows_workflow",
        "workflows_workflowversion",
        "access_auditentry",
        "executions_noticesecret",
    ):
        assert not any(secret in row[0] for row in sql.rows(f"SELECT t::text FROM {table} t", {}))
    assert AuditEntry.objects.filter(action="notice_secret.set", metadata={"last4": secret[-4:]}).count() == 1


def test_left_out_a_secret_stays_and_an_empty_one_ends_it() -> None:
    workflow = a_workflow(settings=settings_with(webhook={"url": HOOK, "secret": SECRETS["standard"]}))
    sealed = NoticeSecret.objects.get().ciphertext

    services.update_draft(
        workflow_id=workflow.pk, changes={"settings": settings_with(webhook={"url": HOOK})}, by=BY
    )
    assert NoticeSecret.objects.get().ciphertext == sealed

    other = settings_with(webhook={"url": HOOK, "secret": OTHERS["standard"]})
    services.update_draft(workflow_id=workflow.pk, changes={"settings": other}, by=BY)
    assert NoticeSecret.objects.get().last4 == OTHERS["standard"][-4:]

    ended = settings_with(webhook={"url": HOOK, "secret": ""})
    services.update_draft(workflow_id=workflow.pk, changes={"settings": ended}, by=BY)
    assert NoticeSecret.objects.count() == 0


@pytest.mark.parametrize(
    ("limits", "channels"),
    [
        ({}, []),
        (settings_with(webhook={"url": HOOK}), ["webhook"]),
        (settings_with(), []),
        ({"pause_after_failures": 3}, ["streak"]),
        ({**settings_with(webhook={"url": HOOK}), "pause_after_failures": 3}, ["webhook", "streak"]),
    ],
)
def test_a_version_says_whom_its_failures_are_told_to(limits: dict[str, Any], channels: list[str]) -> None:
    assert active_version_of(a_published_workflow(settings=limits)).failure_channels == channels
