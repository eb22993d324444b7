"""The API of the error catalogue."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access.auth import ANY_CALLER, Right
from lightfield.access.models import ApiKey
from lightfield.access.pagination import ByCode
from lightfield.access.viewsets import ApiViewSet
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(read_only=True, help_text="namespace.name; it never changes once released.")
    retryable = serializers.BooleanField(
        read_only=True, help_text="A step that fails with it is tried again."
    )
    status = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Of the HTTP answer; null: it never answers a request."
    )
    meaning = serializers.CharField(read_only=True)
    remedy = serializers.CharField(read_only=True, help_text="What to do.")


class ErrorViewSet(ApiViewSet):
    """Every error code there is."""

    rights: ClassVar[dict[str, Right]] = {"list": ANY_CALLER, "retrieve": ANY_CALLER}
    queryset = ApiKey.objects.none()
    serializer_class = ErrorSerializer
    pagination_class = ByCode
    lookup_value_converter = "str"

    @extend_schema(responses={200: ErrorSerializer(many=True)}, filters=False, operation_id="errors")
    def list(self, request: Request) -> Response:
        """Every code with its class, meaning and remedy, those of installed apps included."""
        return self.page_of([*CATALOGUE.values()], ErrorSerializer)

    @extend_schema(
        responses={200: ErrorSerializer},
        parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH, description="namespace.name")],
        operation_id="error",
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        """What one code means, and what to do."""
        entry = CATALOGUE.get(pk)
        if entry is None:
            raise RequestRefused("request.not_found", f"There is no error code {pk[:80]}.")
        return Response(ErrorSerializer(entry).data)
