"""What the JSON fields of records may hold. Validators of the models, so that the admin and the API judge alike."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import ValidationError

from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

# An event carries a record's fields, on update before and after, within the 1 MiB of a payload.
CUSTOM_BYTES: Final = 64 * 1024
ADDRESS_TEXTS: Final = ("street", "street2", "city", "state", "postal_code", "country")
ADDRESS_DEGREES: Final = {"latitude": 90, "longitude": 180}
ADDRESS_TEXT_CHARS: Final = 200


def json_object(value: Any) -> None:
    """An object that PostgreSQL can store and every reader gets back unchanged."""
    if not isinstance(value, dict):
        raise ValidationError("Expected an object.")
    try:
        strict_json.check(value, max_bytes=CUSTOM_BYTES)
    except RequestRefused as error:
        raise ValidationError(error.message) from error


def postal_address(value: Any) -> None:
    """An object with the parts of an address; each of them may be left out or null."""
    if not isinstance(value, dict):
        raise ValidationError("Expected an object.")
    for name, part in value.items():
        if name in ADDRESS_TEXTS:
            if part is not None and not (isinstance(part, str) and len(part) <= ADDRESS_TEXT_CHARS):
                raise ValidationError(f"{name}: expected text of at most {ADDRESS_TEXT_CHARS} characters.")
        elif name in ADDRESS_DEGREES:
            if part is not None and not _is_within(part, ADDRESS_DEGREES[name]):
                raise ValidationError(
                    f"{name}: expected degrees from -{ADDRESS_DEGREES[name]} to {ADDRESS_DEGREES[name]}."
                )
        else:
            parts = ", ".join((*ADDRESS_TEXTS, *ADDRESS_DEGREES))
            raise ValidationError(f"An address has no {name!r}; its parts are {parts}.")
    json_object(value)


def _is_within(degrees: Any, limit: int) -> bool:
    """NaN is not."""
    return isinstance(degrees, int | float) and not isinstance(degrees, bool) and abs(degrees) <= limit
