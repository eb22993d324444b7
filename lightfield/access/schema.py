"""What the OpenAPI document says of every operation alike: keys, sessions, refusals, the idempotency key."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from typing_extensions import override

from lightfield.access.auth import ApiKeyAuthentication, StaffSessionAuthentication
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.problems import CONTENT_TYPE

Document = dict[str, Any]

PROBLEM_SCHEMA: Final[Document] = {
    "type": "object",
    "description": "An error (RFC 9457). `code` is stable; `errors` point into what was sent.",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(code for code, entry in CATALOGUE.items() if entry.status)},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901, or / and a query parameter."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
IDEMPOTENCY_KEY: Final[Document] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and request again: the first answer, and no second effect.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}
ALWAYS: Final = {401: "No key or session.", 403: "The right is missing.", 503: "The database is away."}
LIST: Final = {400: "A bad limit, cursor or filter."}
ONE: Final = {404: "There is nothing with this id."}
BODY: Final = {
    400: "The body cannot be read.",
    411: "The body's length is not announced.",
    413: "The body is larger than 1 MiB.",
    415: "The body is not JSON, or compressed.",
    422: "What was sent is not valid, or the idempotency key was used with another request.",
}
CHANGE: Final = {
    409: "The status does not allow it, or the idempotency key's first request is not answered yet."
}


def document_what_all_share(result: Document, **_: object) -> Document:
    """Postprocessing hook of drf-spectacular: add the refusals, and to every POST the idempotency key."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if operation.get("security"):
                _describe(path, method, operation)
    return result


def _describe(path: str, method: str, operation: Document) -> None:
    operation["summary"] = operation["description"].partition(".")[0].partition("\n")[0]
    parameters = operation.setdefault("parameters", [])
    refusals: dict[int, str] = dict(ALWAYS)
    if any(parameter["name"] == "limit" for parameter in parameters):
        refusals |= LIST
    if "{id}" in path:
        refusals |= ONE
    if method in ("post", "patch"):
        refusals |= BODY
    if method != "get":
        refusals |= CHANGE
    if method == "post":
        parameters.append(IDEMPOTENCY_KEY)
    for status, description in sorted(refusals.items()):
        operation["responses"].setdefault(str(status), refusal(description))


def refusal(description: str) -> Document:
    """A response that is a problem document."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {CONTENT_TYPE: {"schema": schema}}}


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__ has no types
    target_class = ApiKeyAuthentication
    name = "apiKey"

    @override
    def get_security_definition(self, auto_schema: object) -> Document:
        return {"type": "http", "scheme": "bearer", "description": "A key of bin/manage create_api_key."}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its __init_subclass__ has no types
    target_class = StaffSessionAuthentication
    name = "session"

    @override
    def get_security_definition(self, auto_schema: object) -> Document:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A session of /admin/."}
