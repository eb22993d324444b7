"""`?since=` with an instant so early that it has no UTC time was answered with 500."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.api_client import ApiCaller

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
def test_the_outermost_instants_are_taken(since):
    answer = ApiCaller().get(f"/runs?since={quote(since)}")

    assert answer.status_code == 200
    assert answer.json()["results"] == []
