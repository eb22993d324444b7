"""Admin pages of rows that only the system writes: to look at and to filter, never to add, edit or delete."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin


class PageAdmin(ModelAdmin):
    """A model admin whose detail page is a page of our own."""

    show_full_result_count = False
    sortable_by = ()  # by id only: that is by age, and the primary key serves it
    list_per_page = 50
    list_max_show_all = 50
    list_fullwidth = True
    list_filter_submit = True
    actions = None

    def page(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
        """One of our templates inside the admin: sidebar, and a path that leads back to the list."""
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        shared = {
            **self.admin_site.each_context(request),
            "model_admin": self,
            "title": title,
            "is_fullwidth": "1",
        }
        return TemplateResponse(request, template, {**shared, **context})


class LookOnlyAdmin(PageAdmin):
    """Rows of the engine: whatever rights a person has, the admin adds, edits and deletes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        return False
