"""What counts as an e-mail address of a record."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from crm.email_address import validate_email_address


@pytest.mark.parametrize(
    "text", ["a@b.c", "ada@example.com", "ada@a.b.c", "ada@münchen.de", "ada@[127.0.0.1]"]
)
def test_addresses_that_could_be_are_accepted(text: str) -> None:
    validate_email_address(text)


@pytest.mark.parametrize(
    "text", ["nobody", "a@b", "a@b.", "a@.c", "a@b.1", "a@-.c", "a b@c.d", "@b.c", "a@b..c", ""]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        validate_email_address(text)
