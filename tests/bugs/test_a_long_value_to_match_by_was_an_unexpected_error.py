"""`upsert_record` by a value of `custom` with more than 1,000 characters was `step.unexpected`, and tried again and again.

Found in a review of record steps: the refusal of the comparison passed for an error that nobody foresaw.
"""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Contact
from tests.integration.record_steps.playing import error_of, upsert

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.mark.parametrize("value", ["x" * 1001, ["x"] * 101, {"a": "x" * 1001}])
def test_it_is_refused_with_its_place(value: Any) -> None:
    error = error_of(
        upsert("contact", {"custom.code": "{{ trigger.x }}"}, last_name="Berg"), payload={"x": value}
    )

    assert (error["code"], error["metadata"]["pointer"]) == ("record.invalid", "/match/custom.code")
    assert not Contact.objects.exists()
