"""Tests about models of a project's own: `tests.watched_app` is installed while they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.capturing import capturing
from tests.watched_app.installing import installed, load

load()


@pytest.fixture(scope="package", autouse=True)
def watched_app(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), installed(), django_db_blocker.block():
        yield


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """Who captures: Django's writers, or the database."""
    with capturing(request.param):
        yield request.param
