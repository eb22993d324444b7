"""What a secret is made of, as people and programs send it: checked, and never repeated in a problem. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from django.views.decorators.debug import sensitive_variables

from lightfield.access import credential_hosts
from lightfield.access.credential_hosts import InvalidHost
from lightfield.kernel.errors import Problem, RequestRefused

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
SHORTEST: Final = 8  # characters of a value: a shorter one could not be told from other text, and hidden
LONGEST: Final = 4096
FIELDS: Final = frozenset({"name", "description", "hosts", "value"})
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@sensitive_variables()
def accepted(sent: object, *, needed: Iterable[str]) -> dict[str, Any]:
    """The fields, checked, hosts in their normal form. No problem repeats what was sent as the value.

    Raises:
        RequestRefused: `secret.invalid` with one problem per place.
    """
    if not isinstance(sent, dict):
        raise RequestRefused("secret.invalid", "Send an object.")
    problems = [
        Problem(f"/{name}", "secret.invalid", "There is no field of this name here.")
        for name in sent
        if name not in FIELDS
    ] + [
        Problem(f"/{name}", "secret.invalid", "This field is required.")
        for name in needed
        if name not in sent
    ]
    found = {name: sent[name] for name in sent if name in FIELDS}
    for name, flaw in (
        ("name", _flaw_of_name),
        ("description", _flaw_of_description),
        ("value", flaw_of_value),
    ):
        if name in found and (why := flaw(found[name])):
            problems.append(Problem(f"/{name}", "secret.invalid", why))
    if "hosts" in found:
        found["hosts"], flaws = _hosts(found["hosts"])
        problems += flaws
    if problems:
        raise RequestRefused("secret.invalid", problems=problems)
    return found


def _flaw_of_name(name: object) -> str:
    is_good = isinstance(name, str) and NAME.fullmatch(name)
    return "" if is_good else "Use 1 to 40 of a-z, 0-9 and _, a letter first."


def _flaw_of_description(text: object) -> str:
    is_good = isinstance(text, str) and len(text) <= 200 and "\0" not in text
    return "" if is_good else "Expected text of at most 200 characters."


def flaw_of_value(value: object) -> str:
    """Why a value could not be sent in a header, or hidden in an answer. Never repeats it."""
    if not isinstance(value, str):
        return "Expected text."
    if value != value.strip():
        return "It begins or ends with a blank or a line break: copy the secret alone."
    if not SHORTEST <= len(value) <= LONGEST:
        return f"Needs {SHORTEST} to {LONGEST} characters: a shorter one could not be told from other text and hidden."
    if _UNSENDABLE.search(value):
        return "It holds control characters, which no header can carry."
    return ""


def _hosts(sent: object) -> tuple[list[str], list[Problem]]:
    if not isinstance(sent, list) or not 1 <= len(sent) <= credential_hosts.MOST:
        why = f"Expected a list of 1 to {credential_hosts.MOST} hosts."
        return [], [Problem("/hosts", "secret.invalid", why)]
    found, problems = set[str](), []
    for place, host in enumerate(sent):
        try:
            found.add(credential_hosts.normal(host if isinstance(host, str) else ""))
        except InvalidHost as error:
            problems.append(Problem(f"/hosts/{place}", "secret.invalid", str(error)))
    return sorted(found), problems
