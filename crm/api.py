"""The API of records: the same five deeds for each kind."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django_filters import CharFilter, ChoiceFilter, UUIDFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from crm import services
from crm.models import Account, Authored, Contact, Meeting, Note, Opportunity, Record, Task, TaskStatus
from crm.serializers import (
    AccountSerializer,
    ContactSerializer,
    MeetingSerializer,
    NoteSerializer,
    OpportunitySerializer,
    RecordSerializer,
    TaskSerializer,
)
from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.models import Scope
from lightfield.access.viewsets import ApiViewSet


def rights_to(name: str) -> dict[str, Right]:
    """Who may read and who may write records of one kind. Deleting is a right of its own for people."""
    view = Right(Scope.VIEWER, f"crm.view_{name}")
    return {
        "list": view,
        "retrieve": view,
        "create": Right(Scope.BUILDER, f"crm.add_{name}"),
        "partial_update": Right(Scope.BUILDER, f"crm.change_{name}"),
        "destroy": Right(Scope.BUILDER, f"crm.delete_{name}"),
    }


class RecordViewSet(ApiViewSet):
    """One kind of record. A subclass names its rows, fields, filters and rights."""

    queryset: QuerySet[Any]
    serializer_class: type[RecordSerializer]

    @property
    def model(self) -> type[Record]:
        return self.queryset.model

    def list(self, request: Request) -> Response:
        """Records, the newest first."""
        return self.page(self.get_queryset(), self.serializer_class)

    @answered_once
    def create(self, request: Request) -> Response:
        """Create a record. Another one with its e-mail address or website: 409 `record.duplicate`."""
        caller = caller_of(request)
        record = self.model(**self.serializer_class(data=request.data).accepted())
        if isinstance(record, Authored) and record.created_by_id is None:
            record.created_by_id = caller.user_id
        services.create_record(record=record, by=caller.name)
        return self.shown(record.pk, status=201)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """One record."""
        return self.shown(pk)

    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Change the fields that are sent. Each takes the place of its old value, `custom` and addresses too."""
        changes = self.serializer_class(data=request.data, partial=True).accepted()
        services.edit_record(model=self.model, record_id=pk, changes=changes, by=caller_of(request).name)
        return self.shown(pk)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Delete the record. No other is deleted: references to it become null."""
        services.delete_record(model=self.model, record_id=pk, by=caller_of(request).name)
        return Response(status=204)

    def shown(self, record_id: UUID, status: int = 200) -> Response:
        """A record as it is stored, not as it was sent."""
        record = self.get_queryset().get(pk=record_id)
        return Response(self.serializer_class(record).data, status=status)


class AccountFilter(FilterSet):
    name = CharFilter(lookup_expr="iexact", help_text="Ignores case.")
    website = CharFilter(lookup_expr="iexact", help_text="Ignores case.")


class AccountViewSet(RecordViewSet):
    """Companies."""

    rights: ClassVar[dict[str, Right]] = rights_to("account")
    queryset = Account.objects.all()
    serializer_class = AccountSerializer
    filterset_class = AccountFilter


class ContactFilter(FilterSet):
    email = CharFilter(lookup_expr="iexact", help_text="Ignores case.")
    account = UUIDFilter(field_name="account_id")


class ContactViewSet(RecordViewSet):
    """People."""

    rights: ClassVar[dict[str, Right]] = rights_to("contact")
    queryset = Contact.objects.all()
    serializer_class = ContactSerializer
    filterset_class = ContactFilter


class OpportunityFilter(FilterSet):
    account = UUIDFilter(field_name="account_id")
    stage = CharFilter()


class OpportunityViewSet(RecordViewSet):
    """Deals that may be made."""

    rights: ClassVar[dict[str, Right]] = rights_to("opportunity")
    queryset = Opportunity.objects.all()
    serializer_class = OpportunitySerializer
    filterset_class = OpportunityFilter


class MeetingFilter(FilterSet):
    account = UUIDFilter(field_name="account_id")
    opportunity = UUIDFilter(field_name="opportunity_id")
    contact = UUIDFilter(field_name="contact_id")


class MeetingViewSet(RecordViewSet):
    """Talks, with their transcripts."""

    rights: ClassVar[dict[str, Right]] = rights_to("meeting")
    queryset = Meeting.objects.all()
    serializer_class = MeetingSerializer
    filterset_class = MeetingFilter


class TaskFilter(FilterSet):
    status = ChoiceFilter(choices=TaskStatus.choices)
    account = UUIDFilter(field_name="account_id")
    opportunity = UUIDFilter(field_name="opportunity_id")


class TaskViewSet(RecordViewSet):
    """What is to be done."""

    rights: ClassVar[dict[str, Right]] = rights_to("task")
    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_class = TaskFilter


class NoteFilter(MeetingFilter):
    meeting = UUIDFilter(field_name="meeting_id")


class NoteViewSet(RecordViewSet):
    """What is worth keeping."""

    rights: ClassVar[dict[str, Right]] = rights_to("note")
    queryset = Note.objects.all()
    serializer_class = NoteSerializer
    filterset_class = NoteFilter
