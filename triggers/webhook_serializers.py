"""How secrets and presets of signed webhooks look outside. A secret itself is in one answer: that to its making."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rest_framework import serializers

from lightfield.kernel.errors import RequestRefused
from triggers.webhook_secrets import GRACE_SECONDS, LONGEST_GRACE_SECONDS
from workflows.problems import problems_of_model


class SecretSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(read_only=True)
    last4 = serializers.CharField(read_only=True, help_text="The secret's last four characters.")
    preset = serializers.CharField(
        source="signing", read_only=True, help_text="How requests signed with it look."
    )
    created_at = serializers.DateTimeField(read_only=True)
    expires_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Null: until somebody ends it."
    )


class MadeSecretSerializer(SecretSerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown this once.")


class Asked(BaseModel):
    """Base of what is asked for: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls, body: Any) -> Self:
        """Raises RequestRefused: `request.invalid` with one problem per place."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            problems = problems_of_model(error, body, code="request.invalid")
            raise RequestRefused("request.invalid", problems=problems) from None


class NewSecret(Asked):
    secret: str | None = Field(None, max_length=255, description="The sender's; without it one is made.")
    expires_previous_in_seconds: int = Field(
        GRACE_SECONDS,
        ge=0,
        le=LONGEST_GRACE_SECONDS,
        description="How long the one before stays valid; 0 ends all others at once.",
    )


class Rotation(Asked):
    previous_valid_for_seconds: int = Field(
        0,
        ge=0,
        le=LONGEST_GRACE_SECONDS,
        description="How long the old address stays valid beside the new one; 0: it answers 404 at once.",
    )


class PresetSerializer(serializers.Serializer[Any]):
    """A sender of webhooks: how it signs, what it sends, and how to set it up."""

    name = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of the answer
    scheme = serializers.CharField(read_only=True)
    signature = serializers.DictField(
        source="config", child=serializers.CharField(), read_only=True, help_text="For the trigger's config."
    )
    headers = serializers.ListField(
        source="signing.headers",
        child=serializers.CharField(),
        read_only=True,
        help_text="That it is judged by.",
    )
    sample = serializers.JSONField(read_only=True, help_text="A body as it sends them.")
    steps = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="To set it up.")
