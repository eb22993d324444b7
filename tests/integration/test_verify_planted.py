"""For every invariant, rows that contradict it: `verify` must find them under that invariant's name.

The database refuses most of these rows. Inside one transaction, rolled back at the end, everything that it
refuses them by is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from executions.verifying import running
from lightfield.kernel import bells
from tests.bellboy import Bellboy
from tests.integration.verify_plants import PLANTS
from tests.integration.verify_plants.plant import Plant
from tests.integration.verify_world import World
from tests.scripted import installed

# pytest-django makes a test database only if a test is marked; without the mark this would be the real one.
pytestmark = pytest.mark.django_db

TABLES = [
    "executions_timelineentry",
    "executions_effect",
    "executions_attempt",
    "executions_steprun",
    "executions_run",
    "triggers_delivery",
    "triggers_outboxevent",
    "triggers_trigger",
    "workflows_workflow",
    "workflows_workflowversion",
    "access_auditentry",
    "access_credential",
    "crm_account",
    "crm_opportunity",
    "crm_contact",
    "triggers_uncapturedwrite",
]

UNGUARD = """
SET CONSTRAINTS ALL IMMEDIATE;
DO $$
DECLARE found record;
BEGIN
  FOR found IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
    WHERE contype IN ('c', 'u', 'f') AND conrelid::regclass::text ~ '^(executions|triggers|workflows)_'
  LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.owner, found.conname); END LOOP;
  FOR found IN SELECT DISTINCT tgrelid::regclass AS owner FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid::regclass::text ~ '^(executions|triggers|workflows)_'
  LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', found.owner); END LOOP;
  DROP INDEX step_live_once, event_key_once;
END $$
"""


@pytest.fixture(scope="module", autouse=True)
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Runs in every status, made once and committed; then a transaction without guards, never committed."""
    assert str(connection.settings_dict["NAME"]).startswith("test_")
    boy = Bellboy()
    before = bells.use(boy)
    with django_db_blocker.unblock(), installed("slow") as slow_step:
        try:
            made = World(boy, slow_step)
            made.make_ended()
            made.make_in_flight()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(UNGUARD)
                yield  # each test is a savepoint, rolled back by pytest-django
                transaction.set_rollback(True)
        finally:
            bells.use(before)
            with connection.cursor() as cursor:
                cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")


def found() -> dict[str, int]:
    return {finding.invariant.name: finding.broken for finding in running.check(running.INVARIANTS)}


def test_the_untouched_world_is_sound_but_for_what_is_in_flight() -> None:
    assert {name for name, broken in found().items() if broken} == {
        "events-decided",
        "runs-ended",
        "steps-ended",
    }


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.invariant)
def test_a_planted_violation_is_found_by_its_invariant(plant: Plant) -> None:
    with connection.cursor() as cursor:
        cursor.execute(plant.sql)

    assert found()[plant.invariant] > 0


def test_every_invariant_has_a_planted_violation() -> None:
    assert {plant.invariant for plant in PLANTS} == {invariant.name for invariant in running.INVARIANTS}
