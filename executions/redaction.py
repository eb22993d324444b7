"""A frozen request as people may see it: what proves who somebody is does not leave the database. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from executions.egress.headers import REDACTED, is_secret
from executions.secrets.sealed import SealedHeader

_FIRST: Final = ("method", "url", "headers", "body")  # jsonb keeps no order
# Narrower than for headers: `primary_key` in a body is no secret.
_SECRET_FIELD: Final = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?-?key|private_?key|credential|authorization|signature",
    re.IGNORECASE,
)


def shown_request(request: dict[str, Any]) -> dict[str, Any]:
    """A copy with the values of secret headers, query parameters and fields replaced, and a JSON body readable."""
    names = [*(name for name in _FIRST if name in request), *(name for name in request if name not in _FIRST)]
    shown: dict[str, Any] = {name: without_secrets(request[name]) for name in names}
    if isinstance(request.get("headers"), dict):
        shown["headers"] = {
            name: REDACTED if is_secret(str(name)) else value for name, value in request["headers"].items()
        }
    if sealed := _sealed_in(request):  # references, never values
        del shown["sealed_headers"]
        headers = shown.get("headers")
        shown["headers"] = {**(headers if isinstance(headers, dict) else {}), **sealed}
    if isinstance(request.get("url"), str):
        shown["url"] = _shown_url(request["url"])
    if isinstance(request.get("body"), str):
        shown["body"] = _shown_body(request["body"])
    return shown


def _sealed_in(request: dict[str, Any]) -> dict[str, str]:
    """Name and text of each sealed header; nothing when a step type means something else by that name."""
    try:
        found = [SealedHeader.from_json(raw) for raw in request.get("sealed_headers", ())]
    except (TypeError, KeyError, AttributeError):
        return {}
    return {header.name: str(header) for header in found}


def without_secrets(value: Any) -> Any:
    """The same JSON with the values of fields that are named like secrets replaced, however deep they lie.

    Of a list in such a field every text is replaced: the text of a `SecretSlot` is frozen in parts.
    """
    if isinstance(value, dict):
        return {
            name: _hidden(item) if _SECRET_FIELD.search(name) else without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return REDACTED
    if isinstance(value, list):
        return [REDACTED if isinstance(item, str) else without_secrets(item) for item in value]
    return without_secrets(value)


def _shown_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if not any(is_secret(name) for name, _ in pairs):
        return url  # as it was sent, in its own spelling
    query = urlencode([(name, REDACTED if is_secret(name) else value) for name, value in pairs], safe="[]")
    return parts._replace(query=query).geturl()


def _shown_body(body: str) -> Any:
    """A JSON body as JSON, a form with its secrets replaced, any other text as it is."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return without_secrets(value) if isinstance(value, dict | list) else body
