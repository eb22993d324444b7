"""A role that may make functions in our schema could have one of its own run as the owner of Lightfield's tables.

Whoever publishes has the database make the functions that capture anew, and asks for each its template. Any function with a
template beside it counted, if a trigger of our name called it, on whatever table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from tests.capturing import capturing, watching

pytestmark = pytest.mark.django_db(transaction=True)

OF_THE_STRANGER = """
CREATE TABLE stranger_table (id integer);
CREATE TABLE stranger_ran_as (name text);
CREATE FUNCTION stranger_function() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION stranger_function_template() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO stranger_ran_as VALUES (current_user);
  RETURN '{}';
END $$;
CREATE TRIGGER lightfield_capture AFTER UPDATE ON stranger_table FOR EACH ROW EXECUTE FUNCTION stranger_function();
"""


@pytest.fixture
def stranger() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE a_stranger")
        cursor.execute("GRANT CREATE, USAGE ON SCHEMA public TO a_stranger")
        yield "a_stranger"
        cursor.execute("DROP OWNED BY a_stranger")
        cursor.execute("DROP ROLE a_stranger")


def test_a_publication_calls_no_function_of_another_role(stranger: str) -> None:
    with capturing("trigger"):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {stranger}")
            cursor.execute(OF_THE_STRANGER)

        watching("opportunity", "created")

        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM stranger_ran_as")
            assert cursor.fetchall() == []
