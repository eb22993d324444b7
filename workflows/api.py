"""The API of workflows and their versions. What triggers know of a workflow is added in `triggers.api`."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db.models import F, Func, IntegerField, QuerySet
from django.db.models.fields.json import KT
from django_filters import ChoiceFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from lightfield.access.auth import Right, caller_of
from lightfield.access.idempotency import answered_once
from lightfield.access.models import Scope
from lightfield.access.pagination import NewestFirst
from lightfield.access.viewsets import ApiViewSet
from workflows import selectors, services
from workflows.definitions import Definition, parse_definition
from workflows.foresight import warnings_of
from workflows.models import Workflow, WorkflowStatus
from workflows.serializers import (
    EDITABLE,
    PublishedSerializer,
    VersionSerializer,
    WorkflowSerializer,
    WorkflowSummarySerializer,
)

VIEW = Right(Scope.VIEWER, "workflows.view_workflow")
CREATE = Right(Scope.BUILDER, "workflows.add_workflow")
EDIT = Right(Scope.BUILDER, "workflows.change_workflow")
PUBLISH = Right(Scope.BUILDER, "workflows.publish_workflow")  # pause, resume and archive too


class WorkflowFilter(FilterSet):
    status = ChoiceFilter(choices=WorkflowStatus.choices)


class NewestVersionFirst(NewestFirst):
    by = "number"


class WorkflowViewSet(ApiViewSet):
    """Drafts are edited here; what runs is a published version, which nothing changes."""

    rights: ClassVar[dict[str, Right]] = {
        "list": VIEW,
        "retrieve": VIEW,
        "create": CREATE,
        "partial_update": EDIT,
        "destroy": PUBLISH,
        "publish": PUBLISH,
        "pause": PUBLISH,
        "resume": PUBLISH,
        "versions": VIEW,
        "version": VIEW,
    }
    queryset = Workflow.objects.all()
    filterset_class = WorkflowFilter
    serializer_class: type[WorkflowSerializer] = WorkflowSerializer
    summary_class: type[WorkflowSummarySerializer] = WorkflowSummarySerializer

    def get_queryset(self) -> QuerySet[Workflow]:
        return Workflow.objects.annotate(active_number=F("active_version__number"))

    def get_serializer_class(self) -> type[BaseSerializer]:
        return self.summary_class if self.action == "list" else self.serializer_class

    def list(self, request: Request) -> Response:
        """Workflows, the newest first, without their definitions."""
        steps = Func(F("draft__steps"), function="jsonb_array_length", output_field=IntegerField())
        rows = self.get_queryset().annotate(
            description=KT("draft__description"), trigger_type=KT("draft__trigger__type"), step_count=steps
        )
        return self.page(rows.defer("draft"), self.get_serializer_class())

    @extend_schema(request=Definition)
    @answered_once
    def create(self, request: Request) -> Response:
        """Store a draft. It may be unfinished; publishing asks for the rest."""
        workflow = services.create_workflow(definition=request.data, by=caller_of(request).name)
        return self.shown(workflow.pk, status=201)

    def retrieve(self, request: Request, pk: UUID) -> Response:
        """The draft, with what is published and where webhooks go."""
        return self.shown(pk)

    @extend_schema(request={"application/json": EDITABLE})
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Replace top-level parts of the draft, also while a version is active."""
        services.update_draft(workflow_id=pk, changes=request.data, by=caller_of(request).name)
        return self.shown(pk)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Archive: no new events, waiting ones are ignored, live runs go on, history stays."""
        services.archive(workflow_id=pk, by=caller_of(request).name)
        return Response(status=204)

    @extend_schema(request=None, responses={200: PublishedSerializer, 201: PublishedSerializer})
    @action(detail=True, methods=["post"])
    @answered_once
    def publish(self, request: Request, pk: UUID) -> Response:
        """Make the draft the active version: 201 with a new one, 200 when nothing had changed.

        `warnings` name what will probably go wrong when it runs, such as a template that reads a field which the
        step before is not known to give.
        """
        version, is_new = services.publish(workflow_id=pk, by=caller_of(request).name)
        foreseen = warnings_of(parse_definition(version.definition))
        answer = {"number": version.number, "checksum": version.checksum, "foreseen": foreseen}
        return Response(PublishedSerializer(answer).data, status=201 if is_new else 200)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    @answered_once
    def pause(self, request: Request, pk: UUID) -> Response:
        """Refuse new events. Accepted ones are still dispatched, and runs go on."""
        services.pause(workflow_id=pk, by=caller_of(request).name)
        return self.shown(pk)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    @answered_once
    def resume(self, request: Request, pk: UUID) -> Response:
        """Accept events again."""
        services.resume(workflow_id=pk, by=caller_of(request).name)
        return self.shown(pk)

    @extend_schema(responses=VersionSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=NewestVersionFirst, filterset_class=None)
    def versions(self, request: Request, pk: UUID) -> Response:
        """The published definitions, the newest first."""
        selectors.workflow(pk)
        return self.page(selectors.versions_of(pk), VersionSerializer)

    @extend_schema(responses=VersionSerializer)
    @action(detail=True, url_path="versions/<int:number>")
    def version(self, request: Request, pk: UUID, number: int) -> Response:
        """One published definition, as it was and will stay."""
        return Response(VersionSerializer(selectors.version(pk, number)).data)

    def shown(self, workflow_id: UUID, status: int = 200) -> Response:
        """One workflow as it is now, with all that later apps know of it."""
        workflow = self.get_queryset().get(pk=workflow_id)
        return Response(self.get_serializer(workflow).data, status=status)
