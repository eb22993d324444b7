"""The API of secrets. Values come in; no answer holds one."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lightfield.access import credential_fields, credentials
from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.models import Credential, Scope
from lightfield.access.pagination import invalid_parameter
from lightfield.access.viewsets import ApiViewSet

# Who builds must know what there is and where it may go; who makes and binds secrets decides what leaves the house.
VIEW = Right(Scope.BUILDER, "access.view_credential")
CREATE = Right(Scope.ADMIN, "access.add_credential")
CHANGE = Right(Scope.ADMIN, "access.change_credential")
DELETE = Right(Scope.ADMIN, "access.delete_credential")

FORCE = OpenApiParameter("force", bool, description="Delete it although published workflows use it.")


class UseSerializer(serializers.Serializer[Any]):
    workflow = serializers.UUIDField(source="workflow_id", read_only=True)
    name = serializers.CharField(read_only=True)


class CredentialSerializer(serializers.ModelSerializer[Credential]):
    hosts = serializers.ListField(child=serializers.CharField(), read_only=True)
    last4 = serializers.CharField(
        read_only=True, help_text="The value's last four characters; empty unless it has 16 or more."
    )
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="To the minute.")
    used_by = serializers.SerializerMethodField(help_text="Workflows whose published version reads it.")

    class Meta:
        model = Credential
        fields = read_only_fields = (
            *("id", "name", "description", "hosts", "last4", "used_by"),
            *("created_at", "created_by", "updated_at", "updated_by", "last_used_at"),
        )

    @extend_schema(responses=UseSerializer(many=True))
    def get_used_by(self, row: Credential) -> list[dict[str, Any]]:
        """One question for all rows of a page."""
        return list(UseSerializer(self._uses[row.name], many=True).data)

    @cached_property
    def _uses(self) -> dict[str, list[credentials.Use]]:
        above: Any = self.parent
        rows: Any = [self.instance] if above is None else above.instance
        return credentials.users_of([row.name for row in rows])


class NewCredentialSerializer(serializers.Serializer[Any]):
    """What a secret is made of; for documentation, `credentials` itself judges."""

    name = serializers.RegexField(r"^[a-z][a-z0-9_]{0,39}$", help_text="As in {{ secret.<name> }}.")
    value = serializers.CharField(
        write_only=True, min_length=credential_fields.SHORTEST, max_length=credential_fields.LONGEST
    )
    hosts = serializers.ListField(
        child=serializers.CharField(help_text="`api.example.com`, or with a port unless it is 443."),
        min_length=1,
        max_length=20,
    )
    description = serializers.CharField(required=False, max_length=200)


class CredentialViewSet(ApiViewSet):
    """Secrets that steps send to the hosts they are bound to."""

    rights: ClassVar[dict[str, Right]] = {
        "list": VIEW,
        "retrieve": VIEW,
        "create": CREATE,
        "partial_update": CHANGE,
        "destroy": DELETE,
    }
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer

    def list(self, request: Request) -> Response:
        """Secrets without their values, the newest first."""
        return self.page(Credential.objects.defer("ciphertext"), CredentialSerializer)

    @extend_schema(request=NewCredentialSerializer, responses={201: CredentialSerializer})
    @answered_once
    def create(self, request: Request) -> Response:
        """Keep a secret. No answer, this one included, ever shows its value."""
        row = credentials.create(sent=request.data, by=caller_of(request).name)
        return self._shown(row, status=201)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One secret without its value, and which workflows use it."""
        return self._shown(Credential.objects.get(pk=pk))

    @extend_schema(request=NewCredentialSerializer(partial=True))
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Replace what is sent. A new value goes out with the next attempt. One more host, or another name, needs the value too."""
        return self._shown(
            credentials.change(credential_id=pk, sent=request.data, by=caller_of(request).name)
        )

    @extend_schema(responses={204: None}, parameters=[FORCE])
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Delete it for good. While published workflows use it: 409 `secret.in_use`, unless forced."""
        credentials.delete(credential_id=pk, force=_is_forced(request), by=caller_of(request).name)
        return Response(status=204)

    def _shown(self, row: Credential, status: int = 200) -> Response:
        return Response(self.get_serializer(row).data, status=status)


def _is_forced(request: Request) -> bool:
    """Raises RequestRefused `request.invalid` for anything but true and false: a slip must not delete."""
    for name in request.query_params:
        if name != "force":
            raise invalid_parameter(name, "There is no such parameter.")
    said = request.query_params.get("force", "false")
    if said not in ("true", "false"):
        raise invalid_parameter("force", "Expected true or false.")
    return said == "true"
