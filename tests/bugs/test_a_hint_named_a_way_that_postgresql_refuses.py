"""The check of durability said to set fsync for a role. PostgreSQL refuses that: it is the whole server's."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from lightfield import durability


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", durability.NEEDED)
def test_a_setting_that_is_off_is_only_said_to_be_the_roles_if_a_role_may_have_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off: Any = "SELECT " + ", ".join(f"'{'off' if name == each else 'on'}'" for each in durability.NEEDED)
    monkeypatch.setattr(durability, "ASK", off)

    (message,) = durability.check_durability(databases=["default"])

    assert name in message.msg
    assert ("ALTER ROLE" in str(message.hint)) == may_be_set_for_a_role(name)


def may_be_set_for_a_role(name: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE CURRENT_USER SET {name} = on")
            transaction.set_rollback(True)
    except OperationalError:
        return False
    return True
