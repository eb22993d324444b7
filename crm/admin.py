"""Records in the admin: found, read and edited by people. Every write goes through a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter

from crm import services
from crm.forms import AccountForm, RecordForm
from crm.models import Account, Authored, Contact, Meeting, Note, Opportunity, Record, Task, TaskStatus
from executions.lists import StatusTabs
from lightfield.access import cells
from lightfield.access.look_only import PageAdmin
from lightfield.kernel.errors import LostRace, RequestRefused

STAGES_LIMIT = 100  # offered in the filter

Sets = list[tuple[str | None, dict[str, Any]]]


class RecordAdmin(PageAdmin):
    """A list to search and a form in parts: the record itself, whom it concerns, and what nobody types."""

    form = RecordForm
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.TextField: {"empty_value": None},  # as Django does for shorter texts that may be null
        models.URLField: {"assume_scheme": "https"},
    }
    readonly_fields = ("surroundings", "created_at", "updated_at")
    warn_unsaved_form = True
    own: ClassVar[tuple[str, ...]]
    concerns: ClassVar[tuple[str, ...]]

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return self.concerns

    def get_fieldsets(self, request: HttpRequest, obj: Record | None = None) -> Sets:  # type: ignore[override]  # of the shapes that Django takes, one
        sets: Sets = [
            (None, {"fields": self.own}),
            ("Concerns", {"fields": self.concerns}),
            ("Fields of your own", {"fields": ("custom",)}),
        ]
        if obj is not None:
            sets.append(("Around it", {"fields": self.readonly_fields}))
        return sets

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Long columns are read for the record's own page only."""
        rows: QuerySet[Any] = super().get_queryset(request)
        is_list = request.path.endswith(f"/{self.opts.model_name}/")
        return rows.defer(*self._long_columns()) if is_list else rows

    def _long_columns(self) -> Iterator[str]:
        """Of the rows and of the records that are read along with them."""
        yield from _long(self.model)
        assert isinstance(self.list_select_related, tuple), "a list of records names what it joins"
        for name in self.list_select_related:
            joined = self.opts.get_field(name).related_model
            if isinstance(joined, type) and issubclass(joined, Record):
                yield from (f"{name}__{column}" for column in _long(joined))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """What the form could not know when it judged: somebody else was first. Nothing was saved then."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RequestRefused as refusal:
            reasons = " ".join(problem.detail for problem in refusal.problems) or refusal.message
            messages.error(request, f"Nothing was saved: {reasons}")
        except LostRace:
            messages.error(request, "Nothing was saved: what the record refers to was deleted meanwhile.")
        except self.model.DoesNotExist:
            messages.error(request, "Nothing was saved: the record was deleted meanwhile.")
        return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Record, form: Any, change: bool) -> None:
        by = request.user.get_username()
        if change:  # only what differs from the stored row
            changes = {name: getattr(obj, name) for name in form.changed_data}
            services.edit_record(model=self.model, record_id=obj.pk, changes=changes, by=by)
            return
        if isinstance(obj, Authored) and obj.created_by_id is None:
            obj.created_by_id = request.user.pk
        services.create_record(record=obj, by=by)

    def delete_model(self, request: HttpRequest, obj: Record) -> None:
        services.delete_record(model=self.model, record_id=obj.pk, by=request.user.get_username())

    @admin.display(description="Leads to")
    def surroundings(self, record: Record) -> SafeString | None:
        """Lists of what refers to the record; the lists count, this page need not."""
        links = []
        for relation in record._meta.related_objects:
            theirs = relation.related_model._meta
            page = reverse(f"{self.admin_site.name}:{theirs.app_label}_{theirs.model_name}_changelist")
            query = urlencode({f"{relation.field.name}__id__exact": str(record.pk)})
            name = capfirst(str(relation.get_accessor_name()).replace("_", " "))
            links.append((cells.link(f"{page}?{query}", name),))
        return format_html_join(" · ", "{}", links) if links else None

    @admin.display(description="Changed")
    def changed(self, record: Record) -> SafeString | None:
        return cells.moment(record.updated_at)


def _long(model: type[Record]) -> list[str]:
    fields = model._meta.fields
    return [field.name for field in fields if isinstance(field, models.TextField | models.JSONField)]


@admin.register(Account)
class AccountAdmin(RecordAdmin):
    form = AccountForm
    list_display = ("name", "website", "industries", "headcount", "owner", "changed")
    list_select_related = ("owner",)
    search_fields = ("name", "website")
    search_help_text = "Name or website"
    own = (
        *("name", "website", "industry", "headcount", "last_funding_type", "primary_address"),
        *("linkedin", "twitter", "facebook", "instagram", "how_they_make_money", "account_status"),
    )
    concerns = ("owner",)

    @admin.display(description="Industries")
    def industries(self, account: Account) -> str | None:
        return ", ".join(account.industry) or None


@admin.register(Contact)
class ContactAdmin(RecordAdmin):
    list_display = ("__str__", "email", "title", "account", "standing", "changed")
    list_select_related = ("account",)
    list_filter = (("account", AutocompleteSelectFilter),)
    search_fields = ("first_name", "last_name", "email")
    search_help_text = "Name or e-mail address"
    own = (
        *("first_name", "last_name", "email", "title", "instagram", "profile_photo_url"),
        "do_not_contact",
    )
    concerns = ("account",)

    @admin.display(description="Standing")
    def standing(self, contact: Contact) -> SafeString | None:
        return cells.badge("refused", "Do not contact") if contact.do_not_contact else None


class StageFilter(DropdownFilter):
    title = "stage"
    parameter_name = "stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = Opportunity.objects.exclude(stage=None).order_by("stage").values_list("stage", flat=True)
        return [(str(stage), str(stage)) for stage in known.distinct()[:STAGES_LIMIT]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(stage=value) if value else queryset


@admin.register(Opportunity)
class OpportunityAdmin(RecordAdmin):
    list_display = ("name", "stage", "worth", "account", "owner", "changed")
    list_select_related = ("account", "owner")
    list_filter = (StageFilter, ("account", AutocompleteSelectFilter))
    search_fields = ("name", "account__name")
    search_help_text = "Name of the deal or of the account"
    own = ("name", "stage", "pipeline", "amount", "last_interaction_at", "opportunity_status")
    concerns = ("account", "owner", "champion", "evaluator", "created_by")

    @admin.display(description="Amount")
    def worth(self, opportunity: Opportunity) -> str | None:
        return None if opportunity.amount is None else f"{opportunity.amount:,.2f}"


@admin.register(Meeting)
class MeetingAdmin(RecordAdmin):
    list_display = ("title", "began", "attendees", "account", "opportunity", "changed")
    list_select_related = ("account", "opportunity")
    list_filter = (("account", AutocompleteSelectFilter),)
    search_fields = ("title", "organizer_email")
    search_help_text = "Title, or the organizer's e-mail address"
    own = (
        *("title", "start_date", "end_date", "meeting_url", "organizer_email", "attendee_emails"),
        *("privacy_setting", "description", "transcript"),
    )
    concerns = ("account", "opportunity", "contact")

    @admin.display(description="When")
    def began(self, meeting: Meeting) -> SafeString | None:
        return cells.moment(meeting.start_date)

    @admin.display(description="Attendees")
    def attendees(self, meeting: Meeting) -> int:
        return len(meeting.attendee_emails)


@admin.register(Task)
class TaskAdmin(StatusTabs, RecordAdmin):
    list_display = ("title", "status_label", "due", "assigned_to", "account", "changed")
    list_select_related = ("assigned_to", "account")
    list_filter = (("account", AutocompleteSelectFilter),)
    search_fields = ("title",)
    search_help_text = "Title"
    statuses = TaskStatus
    own = ("title", "status", "due_at", "description")
    concerns = ("assigned_to", "account", "opportunity", "created_by")

    @admin.display(description="Status")
    def status_label(self, task: Task) -> SafeString:
        is_open = task.status in (TaskStatus.TODO, TaskStatus.IN_PROGRESS)
        if is_open and task.due_at is not None and task.due_at < timezone.now():
            return cells.badge("failed", f"{TaskStatus(task.status).label}, overdue")
        return cells.badge(task.status, TaskStatus(task.status).label)

    @admin.display(description="Due")
    def due(self, task: Task) -> SafeString | None:
        return cells.moment(task.due_at)


@admin.register(Note)
class NoteAdmin(RecordAdmin):
    list_display = ("title", "account", "opportunity", "contact", "created_by", "changed")
    list_select_related = ("account", "opportunity", "contact", "created_by")
    list_filter = (("account", AutocompleteSelectFilter),)
    search_fields = ("title", "content")
    search_help_text = "Title or text"
    own = ("title", "content")
    concerns = ("account", "opportunity", "contact", "meeting", "created_by")
