"""What a draft may say about its failures: the secret is taken out and kept, the rest judged when it is published."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from executions.egress.urls import parse_target
from executions.notices import signing
from lightfield.kernel.errors import PermanentStepError, Problem
from workflows import hooks
from workflows.expressions import is_template
from workflows.models import Workflow

AT = "/settings/on_failure"


@hooks.on_storing
def refuse_to_store(definition: dict[str, Any]) -> list[Problem]:
    """A secret that could not sign: it must not be taken for one that does."""
    secret = _webhook_of(definition).get("secret")
    flaw = signing.flaw_of(secret) if isinstance(secret, str) else ""
    return [Problem(f"{AT}/webhook/secret", "config.invalid_secret", flaw)] if flaw else []


@hooks.on_taking
def keep_secret(definition: dict[str, Any]) -> tuple[dict[str, Any], hooks.Deposit | None]:
    """A secret is kept encrypted beside the workflow, and a draft never holds one."""
    webhook = _webhook_of(definition)
    secret = webhook.get("secret")
    if not isinstance(secret, str):
        return definition, None
    told = {**definition["settings"]["on_failure"], "webhook": {**webhook, "secret": None}}
    stored = {**definition, "settings": {**definition["settings"], "on_failure": told}}

    def deposit(workflow: Workflow, by: str) -> None:
        signing.keep(workflow, secret, by=by)

    return stored, deposit


@hooks.on_publishing
def refuse_to_publish(definition: dict[str, Any], workflow: Workflow) -> list[Problem]:  # noqa: ARG001  as all hooks
    """A failure that could be told to nobody is found now, not when something fails."""
    problems = []
    url = _webhook_of(definition).get("url")
    if url is not None and is_template(url):
        detail = "Nothing is filled in here: write the address out."
        problems.append(Problem(f"{AT}/webhook/url", "config.invalid", detail))
    elif url is not None:
        try:
            parse_target(url)
        except PermanentStepError as error:
            problems.append(Problem(f"{AT}/webhook/url", error.code, error.message))
    if _told_of(definition).get("email") and not settings.EMAIL_HOST:
        detail = (
            "This installation has no mail server: set LIGHTFIELD_EMAIL_HOST, or leave the addresses out."
        )
        problems.append(Problem(f"{AT}/email", "notice.email_not_configured", detail))
    return problems


def _told_of(definition: dict[str, Any]) -> dict[str, Any]:
    return (definition.get("settings") or {}).get("on_failure") or {}


def _webhook_of(definition: dict[str, Any]) -> dict[str, Any]:
    return _told_of(definition).get("webhook") or {}
