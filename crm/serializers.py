"""How records look outside, and what may be sent. Every field is named here; nothing of a row slips out by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from crm.email_address import EmailAddressField, EmailAddressSerializerField
from crm.models import Account, Contact, Meeting, Note, Opportunity, Record, Task
from crm.values import ADDRESS_DEGREES, ADDRESS_TEXTS, json_object, postal_address
from lightfield.kernel.errors import Problem, RequestRefused

COMMON: Final = ("custom", "created_at", "updated_at")
ADDRESS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **{name: {"type": ["string", "null"]} for name in ADDRESS_TEXTS},
        **{name: {"type": ["number", "null"]} for name in ADDRESS_DEGREES},
    },
}

# What the framework calls an error: what the catalogue calls it. Anything else is `record.invalid_value`.
CODES: Final = {
    "required": "record.missing_field",
    "unknown_field": "record.unknown_field",
    "read_only_field": "record.read_only_field",
    "does_not_exist": "record.not_found",
}


class WebAddressField(serializers.URLField):
    """`example.com` is meant as a person means it, here as in the admin."""

    def to_internal_value(self, data: Any) -> str:
        text: str = super().to_internal_value(data)
        return f"https://{text}" if text and "://" not in text else text


@extend_schema_field({"type": "object", "additionalProperties": True})
class CustomField(serializers.JSONField):
    """Fields of the caller's own."""


@extend_schema_field(ADDRESS)
class AddressField(serializers.JSONField):
    """The parts of a postal address."""


class RecordSerializer(serializers.ModelSerializer[Record]):
    """`accepted()` is what was sent, judged field by field; what takes the whole record, the database judges."""

    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.URLField: WebAddressField,
        EmailAddressField: EmailAddressSerializerField,
    }

    custom = CustomField(required=False, validators=[json_object])

    def accepted(self) -> dict[str, Any]:
        """The fields that were sent, as the model wants them. Raises RequestRefused (`record.invalid`)."""
        if not self.is_valid():
            raise RequestRefused("record.invalid", problems=list(_problems(self.errors, "")))
        fields: dict[str, Any] = self.validated_data
        return fields

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        refused = self._refused_names(data) if isinstance(data, Mapping) else {}
        try:
            fields = super().to_internal_value(data)
        except ValidationError as error:
            found = error.detail if isinstance(error.detail, dict) else {}
            raise ValidationError({**refused, **found}) from error
        if refused:
            raise ValidationError(refused)
        return {name: None if value == "" else value for name, value in fields.items()}

    def _refused_names(self, data: Mapping[str, Any]) -> dict[str, list[ErrorDetail]]:
        """A misspelt field that was ignored would answer 200 and do nothing."""
        refused = {}
        for name in data:
            field = self.fields.get(name)
            if field is None:
                refused[name] = [ErrorDetail("There is no such field.", code="unknown_field")]
            elif field.read_only:
                refused[name] = [ErrorDetail("This field cannot be set.", code="read_only_field")]
        return refused


class AccountSerializer(RecordSerializer):
    primary_address = AddressField(required=False, allow_null=True, validators=[postal_address])

    class Meta:
        model = Account
        fields = (
            *("id", "name", "website", "industry", "headcount", "last_funding_type"),
            *("linkedin", "twitter", "facebook", "instagram", "primary_address"),
            *("how_they_make_money", "account_status", "owner"),
            *COMMON,
        )


class ContactSerializer(RecordSerializer):
    class Meta:
        model = Contact
        fields = (
            *("id", "first_name", "last_name", "email", "title", "instagram"),
            *("profile_photo_url", "do_not_contact", "account"),
            *COMMON,
        )


class OpportunitySerializer(RecordSerializer):
    class Meta:
        model = Opportunity
        fields = (
            *("id", "name", "stage", "pipeline", "amount", "last_interaction_at", "opportunity_status"),
            *("account", "owner", "champion", "evaluator", "created_by"),
            *COMMON,
        )
        extra_kwargs = {"amount": {"coerce_to_string": False}}  # a number, as conditions compare it


class MeetingSerializer(RecordSerializer):
    class Meta:
        model = Meeting
        fields = (
            *("id", "title", "start_date", "end_date", "description", "meeting_url"),
            *("organizer_email", "attendee_emails", "privacy_setting", "transcript"),
            *("account", "opportunity", "contact"),
            *COMMON,
        )


class TaskSerializer(RecordSerializer):
    class Meta:
        model = Task
        fields = (
            *("id", "title", "status", "description", "due_at"),
            *("assigned_to", "account", "opportunity", "created_by"),
            *COMMON,
        )


class NoteSerializer(RecordSerializer):
    class Meta:
        model = Note
        fields = (
            *("id", "title", "content", "account", "opportunity", "contact", "meeting", "created_by"),
            *COMMON,
        )


def _problems(errors: Any, pointer: str) -> Iterator[Problem]:
    """The framework's nested errors as one list of places (RFC 6901)."""
    if isinstance(errors, Mapping):
        for name, inner in errors.items():
            token = str(name).replace("~", "~0").replace("/", "~1")
            yield from _problems(inner, pointer if name == "non_field_errors" else f"{pointer}/{token}")
    elif isinstance(errors, list):
        for inner in errors:
            yield from _problems(inner, pointer)
    else:
        code = getattr(errors, "code", None)
        yield Problem(pointer, CODES.get(code or "", "record.invalid_value"), str(errors))
