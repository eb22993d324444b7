"""API keys and the audit trail in the admin. A key is shown once, on the page that answers its making."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from typing_extensions import override
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.widgets import UnfoldAdminSelectWidget

from lightfield.access import cells, credential_admin  # noqa: F401  registers
from lightfield.access.keys import create_key, revoke_key
from lightfield.access.look_only import LookOnlyAdmin, PageAdmin
from lightfield.access.models import ApiKey, AuditEntry, Scope

LIFETIMES = [("", "Never"), (30, "In 30 days"), (90, "In 90 days"), (365, "In a year")]


class NewKeyForm(forms.ModelForm):
    days = forms.TypedChoiceField(
        label="Expires",
        choices=LIFETIMES,
        coerce=int,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scope")


@admin.register(ApiKey)
class ApiKeyAdmin(PageAdmin):
    """Keys are made and revoked; a key that was made is neither changed nor deleted, so that the trail stays readable."""

    form = NewKeyForm
    fields = ("name", "scope", "days")
    list_display = ("name", "prefix_code", "scope", "state", "used", "made")
    list_display_links = None
    list_filter = ("scope",)
    search_fields = ("name", "prefix")
    ordering = ("-id",)
    actions = ("revoke",)  # type: ignore[assignment]  # of other lists there are none

    @override
    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("access.change_apikey")  # type: ignore[union-attr]  # the admin lets nobody in without an account

    @override
    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"scope": Scope.VIEWER}  # in a form that people click through, the narrowest

    @override
    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        days = form.cleaned_data["days"]
        made, secret = create_key(
            name=obj.name,
            scope=Scope(obj.scope),
            lifetime=None if days is None else timedelta(days=days),
            by=request.user.get_username(),
        )
        obj.pk, obj.prefix = made.pk, made.prefix
        obj.__dict__["secret"] = secret  # for the answer, and nowhere else

    @override
    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The only page that ever shows the key: not a message, which would travel on in a cookie."""
        secret = obj.__dict__["secret"]
        return self.page(
            request, "lightfield/key_made.html", title="Keep this key now", key=obj, secret=secret
        )

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset.filter(revoked_at=None):
            revoke_key(key=key, by=request.user.get_username())
            messages.success(request, f"{key.name} is revoked. Requests with it are refused from now on.")

    @admin.display(description="Begins with")
    def prefix_code(self, key: ApiKey) -> SafeString:
        return cells.code(f"{key.prefix}…")

    @display(  # type: ignore[untyped-decorator]  # unfold ships no types
        description="State", label={"valid": "success", "expired": "warning", "revoked": "danger"}
    )
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "valid"

    @admin.display(description="Last used")
    def used(self, key: ApiKey) -> SafeString | None:
        return cells.moment(key.last_used_at)

    @admin.display(description="Made")
    def made(self, key: ApiKey) -> SafeString | None:
        return cells.moment(key.created_at)


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnlyAdmin):
    plural = "Audit trail"
    list_display = ("moment", "who", "what", "subject_code", "details")
    list_display_links = None
    search_fields = ("subject__exact", "actor", "action")
    search_help_text = "The id it was done to, who did it, or what"
    paginator = InfinitePaginator
    ordering = ("-id",)

    @admin.display(description="When")
    def moment(self, entry: AuditEntry) -> SafeString | None:
        return cells.moment(entry.at)

    @admin.display(description="Who")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor

    @admin.display(description="Did what")
    def what(self, entry: AuditEntry) -> str:
        return entry.action

    @admin.display(description="Done to")
    def subject_code(self, entry: AuditEntry) -> SafeString:
        return cells.code(entry.subject)

    @admin.display(description="Details")
    def details(self, entry: AuditEntry) -> str:
        return ", ".join(f"{name}: {_in_words(value)}" for name, value in entry.metadata.items())


def _in_words(value: Any) -> str:
    """A value of an entry's metadata; of a list what stands in it."""
    return " ".join(str(one) for one in value) if isinstance(value, list) else str(value)
