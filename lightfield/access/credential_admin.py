"""Secrets in the admin: their values can be typed in, and are on no page that comes back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from lightfield.access import cells, credential_fields, credential_hosts, credentials
from lightfield.access.credential_hosts import InvalidHost
from lightfield.access.credentials import Use
from lightfield.access.look_only import PageAdmin
from lightfield.access.models import Credential
from lightfield.kernel.errors import RequestRefused

HOSTS_HELP = (
    "One a line: api.example.com, or api.example.com:8443 unless the port is 443. There are no wildcards."
)
NEW_HELP = "Never shown again. Steps send it to these hosts only, and it is cut out of whatever they answer."
KEPT_HELP = "Leave it empty to keep the present one. Another name, or one more host, needs it again."


class CredentialForm(forms.ModelForm):
    hosts = forms.CharField(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}), help_text=HOSTS_HELP
    )
    value = forms.CharField(
        required=False,
        strip=False,
        # `render_value=False`: a form that is shown again, with an error, shows the field empty.
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = Credential
        fields = ("name", "description", "hosts")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance._state.adding
        self.fields["value"].required = is_new
        self.fields["value"].help_text = NEW_HELP if is_new else KEPT_HELP
        if "name" in self.fields:  # not for those who may only look
            self.fields["name"].help_text = "As templates call it: {{ secret.name }}."
        if not is_new:
            self.initial["hosts"] = "\n".join(self.instance.hosts)

    def clean_hosts(self) -> list[str]:
        try:
            hosts = credential_hosts.normal_all(self.cleaned_data["hosts"].split())
        except InvalidHost as error:
            raise ValidationError(str(error)) from None
        if len(hosts) > credential_hosts.MOST:
            raise ValidationError(f"At most {credential_hosts.MOST} hosts.")
        return hosts

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if not credential_fields.NAME.fullmatch(name):
            raise ValidationError("Use 1 to 40 of a-z, 0-9 and _, a letter first.")
        return name

    def clean_value(self) -> str:
        value: str = self.cleaned_data["value"]
        if value and (why := credential_fields.flaw_of_value(value)):
            raise ValidationError(why)
        return value

    def clean(self) -> dict[str, Any]:
        """What the service would refuse, said beside the field."""
        cleaned = super().clean() or self.cleaned_data
        stored = Credential.objects.filter(pk=self.instance.pk).first()
        if stored is not None and not cleaned.get("value") and "value" not in self.errors:
            name, hosts = cleaned.get("name", stored.name), cleaned.get("hosts", stored.hosts)
            if name != stored.name or set(hosts) - set(stored.hosts):
                self.add_error("value", "Another name, or one more host, needs the value again.")
        if stored is not None and cleaned.get("name", stored.name) != stored.name:
            uses = credentials.users_of([stored.name])[stored.name]
            if uses:
                self.add_error("name", f"Workflows read it by its present name: {_named(uses)}.")
        return cleaned

    def _post_clean(self) -> None:
        """Nothing is put on the instance but by the service; the name is asked about here, for a sentence beside it."""
        name = self.cleaned_data.get("name")
        if name and Credential.objects.filter(name=name).exclude(pk=self.instance.pk).exists():
            self.add_error("name", "Another secret has this name.")

    def sent(self) -> dict[str, Any]:
        """What the service takes."""
        sent = {name: self.cleaned_data[name] for name in ("name", "description", "hosts")}
        return sent | ({"value": self.cleaned_data["value"]} if self.cleaned_data["value"] else {})


@admin.register(Credential)
class CredentialAdmin(PageAdmin):
    """Values are typed in and never shown; who uses a secret is told where it could be deleted."""

    form = CredentialForm
    fields = ("name", "description", "hosts", "value")
    list_display = ("name_code", "description", "bound_to", "hint", "used_in", "used", "changed")
    search_fields = ("name", "description")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        return super().get_queryset(request).defer("ciphertext")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The page of secrets, each with who uses it: one question for all."""
        changelist: ChangeList = super().get_changelist_instance(request)
        page = list(changelist.result_list)
        found = credentials.users_of([row.name for row in page])
        for row in page:
            row.uses = found[row.name]
        changelist.result_list = page
        return changelist

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        view = sensitive_post_parameters("value")(super().changeform_view)
        try:
            return view(request, object_id, form_url, {**(extra_context or {}), **self._titles(object_id)})
        except RequestRefused as error:  # something changed between the form's look and the deed
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())

    def _titles(self, object_id: str | None) -> dict[str, Any]:
        """A secret's name as it is written: unfold would begin it with a capital."""
        title = "New secret"
        if object_id is not None:
            row = Credential.objects.filter(pk=_uuid(object_id) or UUID(int=0)).only("name").first()
            title = row.name if row else title
        return {
            "title": title,
            "subtitle": None,
            "crumbs": [{"title": self.listed, "link": self._list_address()}, {"title": title}],
        }

    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        by = request.user.get_username()
        if change:
            credentials.change(credential_id=obj.pk, sent=form.sent(), by=by)
        else:
            obj.pk = credentials.create(sent=form.sent(), by=by).pk

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]  # writes no LogEntry
        """The audit trail has it."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # type: ignore[override]  # writes no LogEntry
        """The audit trail has it."""

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Django's page that asks once more; whoever is still used is not asked about."""
        row = Credential.objects.filter(pk=_uuid(object_id) or UUID(int=0)).first()
        uses = credentials.users_of([row.name])[row.name] if row else []
        if uses:
            messages.error(
                request,
                f"{row} is used by {_named(uses)}. Publish them without it first; the API deletes it nonetheless with ?force=true.",
            )
            return HttpResponseRedirect(reverse("admin:access_credential_change", args=[object_id]))
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Credential) -> None:
        try:
            credentials.delete(credential_id=obj.pk, by=request.user.get_username())
        except RequestRefused as error:
            messages.error(request, error.message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:  # type: ignore[override]  # writes no LogEntry
        """The audit trail has it."""

    @admin.display(description="Name", ordering="name")
    def name_code(self, row: Credential) -> SafeString:
        return cells.code(row.name)

    @admin.display(description="Bound to")
    def bound_to(self, row: Credential) -> str:
        return ", ".join(row.hosts)

    @admin.display(description="Ends with")
    def hint(self, row: Credential) -> SafeString | None:
        return cells.code(f"…{row.last4}") if row.last4 else None

    @admin.display(description="Used by")
    def used_in(self, row: Credential) -> str:
        return ", ".join(use.name for use in getattr(row, "uses", ())) or "nobody"

    @admin.display(description="Last used")
    def used(self, row: Credential) -> SafeString | None:
        return cells.moment(row.last_used_at)

    @admin.display(description="Changed")
    def changed(self, row: Credential) -> SafeString | None:
        return cells.moment(row.updated_at)


def _named(uses: list[Use]) -> str:
    more = f" and {len(uses) - 5} more" if len(uses) > 5 else ""
    return ", ".join(use.name for use in uses[:5]) + more


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
