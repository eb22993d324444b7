"""What Django's admin discovers of the composition root: the builder, and others' models in our look."""

from __future__ import annotations

from django.contrib import admin

from lightfield import foreign_admin  # noqa: F401  registers
from lightfield.builder.workflow_admin import WorkflowAdmin
from workflows.models import Workflow

admin.site.register(Workflow, WorkflowAdmin)
admin.site.index_title = "Overview"
admin.site.index_template = "lightfield/overview.html"
