"""Cursor pages: {"next", "previous", "results"}.

A cursor names the row at the edge of a page and the direction from it, so rows that come or go elsewhere never
shift a page, and the hundredth page costs what the first does. Cursors are opaque to callers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar, Final

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView
from typing_extensions import override

from lightfield.kernel.errors import Problem, RequestRefused

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 100
PARAMETERS: Final = frozenset({"limit", "cursor"})


@dataclass(frozen=True)
class Cursor:
    """`after` a row in the list's order, or before it; `edge` is that row's value."""

    edge: Any
    after: bool

    def __str__(self) -> str:
        plain = f"{'a' if self.after else 'b'}{self.edge}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


class NewestFirst(BasePagination):
    """Rows by id, the newest first. Subclasses name another unique column of the list.

    Instead of a queryset, several may be given: they are one list then, if no value of the column is in two of them.
    """

    by: ClassVar[str] = "id"
    is_descending: ClassVar[bool] = True

    @override
    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any]:
        """One page, in one query of each list. Raises RequestRefused `request.invalid` for a bad limit or cursor."""
        lists: list[QuerySet[Any]] = [queryset] if isinstance(queryset, QuerySet) else list(queryset)
        self._url = request.build_absolute_uri()
        limit = _limit(request)
        cursor = self._cursor(request, lists)
        forward = cursor is None or cursor.after
        downward = self.is_descending == forward
        edge = None if cursor is None else cursor.edge
        found = self._beyond(lists, edge, is_downward=downward, count=limit + 1)
        page, has_more = found[:limit], len(found) > limit
        if not forward:
            page.reverse()
        self._next = self._edge(page, -1, after=True) if has_more or not forward else None
        self._previous = self._edge(page, 0, after=False) if has_more or forward else None
        if cursor is None:
            self._previous = None
        return page

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        return Response(
            {"next": self._link(self._next), "previous": self._link(self._previous), "results": data}
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    @override
    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        return [
            {"name": "limit", "in": "query", "description": "Rows per page.", "schema": limit},
            {
                "name": "cursor",
                "in": "query",
                "description": "Taken from `next` or `previous`.",
                "schema": {"type": "string"},
            },
        ]

    def _beyond(self, lists: Sequence[Any], edge: Any, *, is_downward: bool, count: int) -> list[Any]:
        return merged(lists, by=self.by, beyond=edge, is_downward=is_downward, count=count)

    def _edge_from(self, text: str, lists: Sequence[Any]) -> Any:
        return lists[0].model._meta.get_field(self.by).to_python(text)

    def _cursor(self, request: Request, lists: Sequence[Any]) -> Cursor | None:
        text = request.query_params.get("cursor")
        if text is None:
            return None
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
            edge = self._edge_from(plain[1:], lists)
            if isinstance(edge, datetime):
                edge = edge.astimezone(UTC) if edge.tzinfo else None
        except (binascii.Error, ValueError, OverflowError, ValidationError):
            plain, edge = "", None
        if edge is None or plain[0] not in "ab":
            raise invalid_parameter("cursor", "Take the cursor from `next` or `previous` of a page.")
        return Cursor(edge, after=plain[0] == "a")

    def _edge(self, page: list[Any], place: int, *, after: bool) -> Cursor | None:
        return Cursor(getattr(page[place], self.by), after) if page else None

    def _link(self, cursor: Cursor | None) -> str | None:
        return None if cursor is None else replace_query_param(self._url, "cursor", str(cursor))


class ByName(NewestFirst):
    """What is part of the release or the project and no row: a sequence, in the order of a text that each has once."""

    by = "name"
    is_descending = False

    @override
    def _beyond(self, lists: Sequence[Any], edge: Any, *, is_downward: bool, count: int) -> list[Any]:
        name = attrgetter(self.by)
        found = sorted(lists, key=name, reverse=is_downward)
        if edge is not None:
            found = [one for one in found if (name(one) < edge if is_downward else name(one) > edge)]
        return found[:count]

    @override
    def _edge_from(self, text: str, lists: Sequence[Any]) -> Any:
        return text


class ByCode(ByName):
    by = "code"


class ByEntity(ByName):
    by = "entity"


def merged(
    lists: Sequence[QuerySet[Any]], *, by: str, beyond: Any, is_downward: bool, count: int
) -> list[Any]:
    """The first `count` rows beyond an edge, or from the end if it is None, in one query of each list."""
    order = f"-{by}" if is_downward else by
    if beyond is not None:
        lists = [rows.filter(**{f"{by}__{'lt' if is_downward else 'gt'}": beyond}) for rows in lists]
    heads = [list(rows.order_by(order)[:count]) for rows in lists]
    if len(heads) == 1:
        return heads[0]
    return sorted(chain(*heads), key=attrgetter(by), reverse=is_downward)[:count]


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid_parameter("limit", f"Expected a whole number from 1 to {MAX_LIMIT}.")
    return limit


def invalid_parameter(name: str, detail: str) -> RequestRefused:
    """The refusal of one query parameter; its pointer is the parameter's name."""
    problem = Problem(f"/{name}", "request.invalid", detail)
    return RequestRefused(
        "request.invalid", f"The query parameter {name!r} is not valid. {detail}", [problem]
    )
