"""Written, not committed: transactions stopped inside PostgreSQL, so that their client can die at that moment.

Each transition is one statement that commits by itself, so no line of the product runs between its writing and
its COMMIT. There is such a moment in the server, though: deferred constraint triggers run when a transaction
commits. Ours waits there, in the database of the harness only, until the harness lets go: then the transaction
commits although its client is dead or stopped. Or the harness ends the backend, and it is rolled back.
"""

from __future__ import annotations

import time

import psycopg

from tests.chaos.pace import own_time
from tests.chaos.processes import process_with_port
from tests.chaos.stack import Stack

# Point: the number of its lock, and what about which table is held.
HELD = {
    "CP-W2": (32, "INSERT", "triggers_outboxevent", ""),
    "CP-D2": (34, "INSERT", "executions_run", "WHEN (NEW.replay_of_id IS NULL)"),
    "CP-S6": (
        36,
        "UPDATE",
        "executions_attempt",
        "WHEN (OLD.outcome IS NULL AND NEW.outcome IN ('ok', 'refused', 'permanent'))",
    ),
}
LONGEST = 30  # seconds, should the harness itself fail

PREPARE = f"""
CREATE SCHEMA IF NOT EXISTS chaos;
CREATE OR REPLACE FUNCTION chaos.hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '{LONGEST}s' AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock_shared(TG_ARGV[0]::bigint)  -- the harness wants one
     AND pg_try_advisory_xact_lock(TG_ARGV[0]::bigint + 1)  -- and it is this one
  THEN PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint); END IF;
  RETURN NULL;
END $$;
"""
TRIGGER = """
DROP TRIGGER IF EXISTS chaos_hold ON {table};
CREATE CONSTRAINT TRIGGER chaos_hold AFTER {event} ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW {condition} EXECUTE FUNCTION chaos.hold({number});
"""
VICTIM = """
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s AND mode = 'ExclusiveLock'
"""


def prepare(stack: Stack) -> None:
    """Make the triggers in the harness's database."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(PREPARE)
        for number, event, table, condition in HELD.values():
            connection.execute(
                TRIGGER.format(table=table, event=event, condition=condition, number=number).encode()
            )


class Hold:
    """One transaction to be held at a point. `catch`, then `commit` or `roll_back`."""

    def __init__(self, stack: Stack, point: str) -> None:
        self.stack = stack
        self.number = HELD[point][0]
        self.backend = 0
        self.connection = psycopg.connect(stack.database_url, autocommit=True)
        self.connection.execute("SELECT pg_advisory_lock(%s)", (self.number,))

    def catch(self, seconds: float) -> int | None:
        """Wait until a transaction is held; the process that waits for it. None: none came, or it has gone."""
        give_up = own_time.now() + seconds
        while own_time.now() < give_up:
            found = self.connection.execute(VICTIM, (self.number + 1,)).fetchone()
            port = self.stack.postgres_line.port_behind(found[0]) if found else None
            if found and port:
                self.backend = found[0]
                return process_with_port(port, self.stack.postgres_line.port)
            time.sleep(0.02)
        return None

    def commit(self) -> None:
        """Let it go on, whoever still waits for it."""
        self.connection.close()

    def roll_back(self) -> None:
        """End its backend: what was written never was."""
        if self.backend:
            self.connection.execute("SELECT pg_terminate_backend(%s)", (self.backend,))
        self.connection.close()
