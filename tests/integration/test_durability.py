"""A server that may forget what it acknowledged is told, and refused in production."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Tags, run_checks
from django.db import connection

pytestmark = pytest.mark.django_db

NAMES = ("fsync", "full_page_writes", "synchronous_commit")


def told() -> list[tuple[str | None, str]]:
    """(id, setting) of each message of ours."""
    found = run_checks(tags=[Tags.database], databases=["default"])
    return [(one.id, name) for one in found for name in NAMES if f" {name} = off" in one.msg]


def is_off() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in NAMES))
        return [name for name, value in zip(NAMES, cursor.fetchone(), strict=True) if value == "off"]


@pytest.mark.parametrize(("is_production", "code"), [(False, "lightfield.W001"), (True, "lightfield.E001")])
def test_given_a_server_that_does_not_wait_for_its_disk_then_each_setting_is_told(
    settings: Any, is_production: bool, code: str
) -> None:
    settings.IS_PRODUCTION = is_production
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")

    assert told() == [(code, name) for name in is_off()]
    assert "synchronous_commit" in is_off()


def test_given_a_commit_that_waits_for_the_disk_then_that_setting_is_not_told() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = on")

    assert "synchronous_commit" not in [name for _, name in told()]
