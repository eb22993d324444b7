"""Admin pages of rows that only the system writes: to look at and to filter, never to add, edit or delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import BadRequest
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from unfold.paginator import InfinitePaginator

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin  # unfold has no types; its class has this one's methods
else:
    from unfold.admin import ModelAdmin


class EndlessPages(InfinitePaginator):
    """Pages of a table too large to count, as far as the 10,000th row: further down, a filter is quicker."""

    count = 10_000


class PageAdmin(ModelAdmin):
    """A model admin whose detail page is a page of our own."""

    plural = ""  # what the list is called; the model's own plural unless given
    show_full_result_count = False
    sortable_by = ()  # by id only: that is by age, and the primary key serves it
    list_per_page = 50
    list_max_show_all = 50
    list_fullwidth = True
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER  # counting every choice would read the whole table
    empty_value_display = "–"
    actions = None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, titled by what it lists. Raises BadRequest for a filter that PostgreSQL cannot be asked for."""
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            raise BadRequest("No row holds the character NUL.")
        more = {"title": self.listed, "crumbs": [{"title": self.listed}], **(extra_context or {})}
        return super().changelist_view(request, more)

    @property
    def listed(self) -> str:
        return self.plural or capfirst(str(self.opts.verbose_name_plural))

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Django's own history knows nothing of what services did; the audit trail does."""
        trail = reverse(f"{self.admin_site.name}:access_auditentry_changelist")
        return HttpResponseRedirect(f"{trail}?{urlencode({'q': object_id})}")

    def page(self, request: HttpRequest, template: str, *, title: str, **context: Any) -> TemplateResponse:
        """One of our templates inside the admin: sidebar, and a path that leads back to the list."""
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]  # what Django's own admin views set
        shared = {
            **self.admin_site.each_context(request),
            "model_admin": self,
            "title": title,
            "is_fullwidth": "1",
            "crumbs": [{"title": self.listed, "link": self._list_address()}, {"title": title}],
        }
        return TemplateResponse(request, template, {**shared, **context})

    def _list_address(self) -> str:
        return reverse(f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_changelist")


class LookOnlyAdmin(PageAdmin):
    """Rows of the engine: whatever rights a person has, the admin adds, edits and deletes none."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
