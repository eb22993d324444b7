"""A cursor without a zone, one at the end of time, and the character NUL in a filter of the admin were answered 500."""

from __future__ import annotations

import base64

import pytest

from tests.admin_client import a_person
from tests.api_client import ApiCaller, code_of
from tests.factories import a_published_workflow

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "edge", ["2026-01-01T00:00:00", "2026-01-01", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"]
)
def test_an_instant_that_no_tick_can_have_is_refused(edge: str) -> None:
    cursor = base64.urlsafe_b64encode(f"a{edge}".encode()).decode().rstrip("=")
    answer = ApiCaller().get(f"/workflows/{a_published_workflow().pk}/ticks?cursor={cursor}")
    assert code_of(answer) == (400, "request.invalid")


@pytest.mark.parametrize(
    "page",
    [
        "crm/opportunity/?stage=%00",
        "crm/task/?status__exact=a%00",
        "crm/contact/?email__startswith=%00",
        "triggers/trigger/?kind=%00",
    ],
)
def test_a_filter_by_nul_is_a_bad_request(page: str) -> None:
    assert a_person().get(f"/admin/{page}").status_code == 400
