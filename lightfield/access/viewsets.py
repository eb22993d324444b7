"""What every API view has in common. A view names its rights, its rows and its answers; the rest is here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from lightfield.access import schema  # noqa: F401  tells drf-spectacular of keys and sessions
from lightfield.access.auth import Right
from lightfield.access.filtering import StrictFilterBackend
from lightfield.access.pagination import NewestFirst
from lightfield.access.parsers import JsonOnly
from lightfield.kernel.db_deadline import answer_within
from lightfield.kernel.errors import RequestRefused

DATABASE_SECONDS = 6.0  # the server ends a statement after 5; beyond that nobody is there to end it


class ApiViewSet(GenericViewSet):
    rights: ClassVar[
        Mapping[str, Right]
    ]  # one per action; an action that is not here is refused to everybody

    content_negotiation_class = JsonOnly
    filter_backends = [StrictFilterBackend]
    pagination_class = NewestFirst
    http_method_names = ["get", "head", "post", "patch", "delete"]  # no OPTIONS: /api/schema tells more
    lookup_value_converter = "uuid"  # anything else in the path: 404

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with answer_within(DATABASE_SECONDS):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            # WSGI shows such a body as empty; taking it for one would lose what was sent.
            raise RequestRefused("request.length_required")

    def page(self, queryset: QuerySet[Any], serializer: type[BaseSerializer]) -> Response:
        """One page of a list, filtered as the view allows."""
        return self.page_of(self.filter_queryset(queryset), serializer)

    def page_of(self, rows: Any, serializer: type[BaseSerializer]) -> Response:
        """One page of what `pagination_class` takes."""
        found = self.paginate_queryset(rows)
        return self.get_paginated_response(
            serializer(found, many=True, context=self.get_serializer_context()).data
        )
