"""Secrets judged before a workflow is published: there are such, and they are bound to where the step sends them."""

from __future__ import annotations

import re
from typing import Any

from executions.egress import policy_from_settings
from executions.egress.urls import Target, parse_target
from executions.secrets.opening import flaw_of_target, is_bound
from lightfield.access import credentials
from lightfield.kernel.errors import PermanentStepError, Problem
from workflows import step_types
from workflows.expressions import is_template
from workflows.hooks import on_publishing
from workflows.models import Workflow
from workflows.secret_rules import secrets_in
from workflows.step_types import SlowStepType

# Scheme and host stand before the first template, and what follows shows where the host ends.
_STATIC_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#{}]+[/?#]")


@on_publishing
def problems_of(definition: dict[str, Any], _workflow: Workflow) -> list[Problem]:
    """Unknown names, and hosts known already that a secret is not bound to. The secrets stay until this is through."""
    found = [
        (step, pointer, name)
        for index, step in enumerate(definition["steps"])
        for pointer, names in secrets_in(step["config"], f"/steps/{index}/config")
        for name in sorted(names)
    ]
    hosts = credentials.kept_for({name for _, _, name in found}) if found else {}
    problems = []
    for step, pointer, name in found:
        if name not in hosts:
            problems.append(Problem(pointer, "secret.unknown", f"There is no secret {name}."))
            continue
        target = _target_of(step)
        if target is not None and not is_bound(hosts[name], target, policy_from_settings().allow):
            problems.append(Problem(pointer, "secret.wrong_host", flaw_of_target(name, target)))
    return problems


def _target_of(step: dict[str, Any]) -> Target | None:
    """Where the step's secrets go, if that is known before it runs."""
    step_type = step_types.find(step["type"])
    url = step_type.secrets_go_to(step["config"]) if isinstance(step_type, SlowStepType) else None
    if not isinstance(url, str):
        return None
    if is_template(url):
        known = _STATIC_HOST.match(url)
        if known is None:
            return None
        url = known[0]
    try:
        return parse_target(url)
    except PermanentStepError:
        return None  # the step itself says what is wrong with its URL
