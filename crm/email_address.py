"""E-mail addresses as Django checks them, and with them those of domains with a single letter: `a@b.c`.

No such top-level domain is delegated, but names of one letter are allowed (RFC 1035 section 2.3.1), examples are written
with them, and inside a company anything may be a domain.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import EmailValidator
from django.db import models
from django.utils.deconstruct import deconstructible
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@deconstructible
class EmailAddressValidator(EmailValidator):
    def validate_domain_part(self, domain_part: str) -> bool:
        has_one_letter = domain_part[-2:-1] == "." and domain_part[-1:].isalpha()
        return super().validate_domain_part(domain_part + domain_part[-1:] * has_one_letter)


validate_email_address = EmailAddressValidator()


class EmailAddressFormField(forms.EmailField):
    default_validators = (validate_email_address,)  # type: ignore[assignment]  # any sequence will do


class EmailAddressField(models.EmailField):
    default_validators = (validate_email_address,)  # type: ignore[assignment]  # likewise

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": EmailAddressFormField, **kwargs})


@extend_schema_field({"type": "string", "format": "email", "maxLength": 254})
class EmailAddressSerializerField(serializers.CharField):
    """The API's; the framework's own would ask its own validator as well."""

    default_validators = (validate_email_address,)
