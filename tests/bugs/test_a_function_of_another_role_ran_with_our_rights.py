"""A role that may make functions in our schema could have one of its own run as the owner of Lightfield's tables.

Whoever publishes has the database make the functions that capture anew, and asks for each its template. Any function with a
template beside it counted, if a trigger of our name called it, on whatever table.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.capturing import capturing, watching

pytestmark = pytest.mark.django_db(transaction=True)

# PostgreSQL's own stands for a function of another role: no test may make roles.
PLANTED = """
CREATE TABLE stranger_table (id integer);
CREATE TABLE stranger_ran_as (name text);
CREATE FUNCTION suppress_redundant_updates_trigger_template() RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO stranger_ran_as VALUES (current_user);
  RETURN '{}';
END $$;
CREATE TRIGGER lightfield_capture BEFORE UPDATE ON stranger_table
  FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
"""
GONE = """
DROP TABLE stranger_table;
DROP TABLE stranger_ran_as;
DROP FUNCTION suppress_redundant_updates_trigger_template();
"""


@pytest.fixture
def planted() -> Iterator[None]:
    with capturing("trigger"), connection.cursor() as cursor:
        cursor.execute(PLANTED)
        yield
        cursor.execute(GONE)


@pytest.mark.usefixtures("planted")
def test_a_publication_asks_no_template_for_a_function_of_another_role() -> None:
    watching("opportunity", "created")

    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM stranger_ran_as")
        assert cursor.fetchall() == []
