"""The one way into the API for a body: strict JSON, at most 1 MiB, not compressed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import IO, Any, Final

from django.http import UnreadablePostError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from typing_extensions import override

from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

# No type at all is taken for JSON: many small clients send none.
JSON_TYPE: Final = re.compile(r"|application/([\w.-]+\+)?json", re.IGNORECASE)


class JsonOnly(BaseContentNegotiation):
    """JSON comes in and JSON goes out, whatever the caller would rather have.

    A wrong Content-Type is the parser's to refuse. `Accept` is not looked at: a 406 would help nobody, and
    would keep errors from those who ask for application/problem+json only.
    """

    @override
    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    @override
    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type


class StrictJSONParser(BaseParser):
    """Reads what `lightfield.kernel.strict_json` accepts.

    Raises:
        RequestRefused: `payload.unsupported_type`, `payload.unsupported_encoding`, `payload.too_large`,
            `payload.incomplete`, or what `strict_json.parse` says.
    """

    media_type = "application/json"

    @override
    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        request: Request = (parser_context or {})["request"]
        check_headers(request)
        try:
            raw = stream.read(strict_json.MAX_BYTES + 1)
        except UnreadablePostError as error:
            raise RequestRefused("payload.incomplete") from error
        if len(raw) > strict_json.MAX_BYTES:  # how much more, nobody knows: the rest is not read
            raise RequestRefused("payload.too_large")
        return strict_json.parse(raw)


def payload_of(request: Request) -> Any:
    """The body as JSON; `{}` when there is none."""
    return {} if request.stream is None else request.data


def check_headers(request: Request) -> None:
    """Refuse a body by what is said of it, before any of it is read."""
    sent_as = (request.content_type or "").partition(";")[0].strip()
    if not JSON_TYPE.fullmatch(sent_as):
        raise RequestRefused(
            "payload.unsupported_type", f"The body was sent as {sent_as}; send application/json."
        )
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise RequestRefused("payload.unsupported_encoding")
