"""What the database does about watched tables: capture changes by itself, or note those that passed Django by.

Put there by every `migrate`, after all tables are: the setting decides which of the two, and nothing is left of the
other. A table that is watched no longer loses both.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction

from lightfield.kernel import sql
from triggers.records import modes, specialising, watching, who_asks
from triggers.records.capture_functions import created_template, updated_template
from triggers.records.columns import ROW_TYPE, quoted, row_type, table_sql
from triggers.records.statements import CUT, CUT_VALUES, DATABASE_TRIGGER, tell
from triggers.records.watching import Watch

logger = logging.getLogger(__name__)

DISABLED = "disabled"  # in place of a digest
DETECTORS = {"INSERT": "lightfield_seen_insert", "UPDATE": "lightfield_seen_update"}

# For every role that may write the table, whatever it may do elsewhere; found by nobody's search path but ours.
AS_OWNER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp"

DETECT = """
CREATE OR REPLACE FUNCTION lightfield_note_uncaptured() RETURNS trigger {as_owner} AS $$
BEGIN
  IF right(current_query(), {length}) <> '{mark}' OR pg_trigger_depth() > 1 THEN
    INSERT INTO triggers_uncapturedwrite (entity, operation, rows)
    SELECT TG_ARGV[0], TG_OP, count(*) FROM written HAVING count(*) > 0;
  END IF;
  RETURN NULL;
END $$
"""

# Which of these tables are there. Views have no triggers of this kind.
PRESENT = """
SELECT n.name, c.oid::bigint FROM unnest(%s::text[]) n(name) JOIN pg_class c ON c.oid = to_regclass(n.name)
WHERE c.relkind IN ('r', 'p')
"""

# Ours, on visible tables and on these; what was put there last is told by a digest in the comment. Partitions have
# copies, which come and go with the partitioned table's own.
INSTALLED = """
SELECT c.oid::bigint, c.oid::regclass::text, x.tgname, obj_description(x.oid, 'pg_trigger'), x.tgenabled IN ('O', 'A')
FROM pg_trigger x JOIN pg_class c ON c.oid = x.tgrelid
WHERE NOT x.tgisinternal AND x.tgparentid = 0 AND starts_with(x.tgname, 'lightfield_')
  AND (pg_table_is_visible(c.oid) OR c.oid = ANY(%s::bigint[]::oid[]))
"""


@dataclass(frozen=True)
class Wanted:
    """What shall be on one table. `triggers`: CREATE TRIGGER by name."""

    table: str  # as SQL names it
    functions: dict[str, str]  # CREATE FUNCTION by name
    triggers: dict[str, str]
    types: dict[str, str] = field(default_factory=dict)  # CREATE TYPE by name
    stubs: dict[str, str] = field(default_factory=dict)  # CREATE FUNCTION by name, of what is compiled later

    @property
    def digest(self) -> str:
        return hashlib.sha256(
            repr((sorted(self.functions.items()), sorted(self.triggers.items()))).encode()
        ).hexdigest()[:16]


def arrange(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Bring every watched table into the state that the settings ask for. The receiver of `post_migrate`.

    Tables that are as they should be are not touched: a CREATE TRIGGER waits for all who write the table.
    """
    if using != DEFAULT_DB_ALIAS:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_schema(), to_regclass('triggers_uncapturedwrite') IS NOT NULL")
        schema, is_there = cursor.fetchone()
        if not is_there:
            return  # migrated back to before this release
        cursor.execute(CUT_VALUES)
        cursor.execute(CUT)
        cursor.execute(tell(new_id=_new_id()))
        if modes.is_database_capturing():
            cursor.execute(who_asks.ASKER)
            cursor.execute(who_asks.COMPILE.format(as_owner=_as_owner(schema), lock=who_asks.LOCK))
            for function in specialising.functions(as_owner=_as_owner(schema), new_id=_new_hex_id()):
                cursor.execute(function)
        wanted = _all_wanted(cursor, _as_owner(schema))
        there = _installed(cursor, wanted)
        superfluous = [
            (name, found.table)
            for (oid, name), found in there.items()
            if oid not in wanted or name not in wanted[oid].triggers or found.state != wanted[oid].digest
        ]
        missing = [one for oid, one in wanted.items() if _is_missing(oid, one, there)]
        for name, table in superfluous:
            cursor.execute(f"DROP TRIGGER {quoted(name)} ON {table}")
        for one in missing:
            _put(cursor, one)
        if not superfluous and not missing:
            _forget_types(cursor, wanted)
        if modes.is_database_capturing():
            # Last: who publishes now has a trigger that compiles, or waits for us to commit one.
            cursor.execute(who_asks.COMPILE_NOW)
            cursor.execute(who_asks.LOCK_NOW.format(lock=who_asks.LOCK))
            cursor.execute(specialising.COMPILE_NOW)


def differences() -> list[str]:
    """What is otherwise in the database than the settings of this process ask for. For `bin/manage verify`: reads only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        wanted = _all_wanted(cursor, _as_owner(cursor.fetchone()[0]))
        there = _installed(cursor, wanted)
    told = []
    for oid, one in wanted.items():
        bare = one.table.replace('"', "")
        for name in one.triggers:
            found = there.get((oid, name))
            if found is None:
                told.append(f"{bare} lacks {name}")
            elif found.state != one.digest:
                how = "disabled" if found.state == DISABLED else "of another release or setting"
                told.append(f"{bare} has {name}, {how}")
    for (oid, name), found in there.items():
        if oid not in wanted or name not in wanted[oid].triggers:
            told.append(f"{found.table} has {name}")
    if modes.is_database_capturing() and _is_stale():
        told.append("who asks for which changes was not compiled as it is published")
    return sorted(told)


def _is_stale() -> bool:
    looks = (who_asks.IS_STALE, specialising.IS_MISSING, specialising.IS_STALE)
    return any(sql.row(one, {}) != (False,) for one in looks)


def unarranged() -> list[str]:
    """The watched tables that `arrange` would still have to arrange, or that are not there to be watched."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        wanted = _all_wanted(cursor, _as_owner(cursor.fetchone()[0]))
        there = _installed(cursor, wanted)
    tables = {one.table for one in wanted.values()}
    absent = [table for watch in watching.all_watches() if (table := table_sql(watch)) not in tables]
    return sorted([*absent, *(one.table for oid, one in wanted.items() if _is_missing(oid, one, there))])


def _is_missing(oid: int, wanted: Wanted, there: dict[tuple[int, str], Installed]) -> bool:
    return any(
        (oid, name) not in there or there[oid, name].state != wanted.digest for name in wanted.triggers
    )


@dataclass(frozen=True)
class Installed:
    """A trigger of ours that is there. `table`: quoted where it has to be. `state`: its digest, or `DISABLED`."""

    table: str
    state: str | None


def _installed(cursor: Any, wanted: dict[int, Wanted]) -> dict[tuple[int, str], Installed]:
    """By the table's oid and the trigger's name."""
    cursor.execute(INSTALLED, [list(wanted)])
    return {
        (oid, name): Installed(table, digest if is_enabled else DISABLED)
        for oid, table, name, digest, is_enabled in cursor.fetchall()
    }


def _as_owner(schema: str) -> str:
    return AS_OWNER.format(schema=quoted(schema))


def _all_wanted(cursor: Any, as_owner: str) -> dict[int, Wanted]:
    """By the oid of their tables, for a name may be that of several."""
    watches = {table_sql(watch): watch for watch in watching.all_watches()}
    cursor.execute(PRESENT, [list(watches)])
    wanted = {oid: _wanted(watches[table], as_owner) for table, oid in cursor.fetchall()}
    if modes.is_database_capturing():
        cursor.execute(PRESENT, [list(who_asks.TABLES)])
        wanted |= {oid: _compiling(table, as_owner) for table, oid in cursor.fetchall()}
    return wanted


def _put(cursor: Any, wanted: Wanted) -> None:
    for name, text in wanted.types.items():
        cursor.execute("SELECT to_regtype(%s) IS NULL", [name])
        if cursor.fetchone() == (True,):
            cursor.execute(text)
    for name, text in wanted.functions.items():
        cursor.execute(text)
        # Triggers fire all the same. But nobody who may make a table can put it there and tell events of his own.
        cursor.execute(f"REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")
    for name, text in wanted.stubs.items():
        # One that is there is somebody's who publishes, and may be made anew while we wait.
        cursor.execute("SELECT to_regprocedure(%s) IS NULL", [f"{name}()"])
        if cursor.fetchone() == (True,):
            cursor.execute(text)
            cursor.execute(f"REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")
    for name, text in wanted.triggers.items():
        cursor.execute(text.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1))
        cursor.execute(f"COMMENT ON TRIGGER {quoted(name)} ON {wanted.table} IS '{wanted.digest}'")
    logger.info("watched_table_arranged", extra={"table": wanted.table, "triggers": sorted(wanted.triggers)})


def _forget_types(cursor: Any, wanted: dict[int, Wanted]) -> None:
    """Types of earlier functions; at the next occasion, for a save may be in the middle of one of those still."""
    in_use = [name for one in wanted.values() for name in one.types]
    cursor.execute(
        "SELECT t.oid::regtype::text FROM pg_type t WHERE starts_with(t.typname, %s) AND t.typtype = 'c'"
        " AND pg_type_is_visible(t.oid) AND t.typname <> ALL(%s)",
        [ROW_TYPE, in_use],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f"DROP TYPE {name}")


def _wanted(watch: Watch, as_owner: str) -> Wanted:
    return _capturing(watch, as_owner) if modes.is_database_capturing() else _detecting(watch, as_owner)


def _capturing(watch: Watch, as_owner: str) -> Wanted:
    table = table_sql(watch)
    name = "lightfield_capture_" + hashlib.sha256(watch.model._meta.db_table.encode()).hexdigest()[:12]
    made = name + "_new"
    updated, created = name + specialising.TEMPLATE, made + specialising.TEMPLATE
    on = f"ON {table} FOR EACH ROW EXECUTE FUNCTION"
    return Wanted(
        table,
        {
            updated: updated_template(watch, updated),
            created: created_template(watch, created),
        },
        {
            DATABASE_TRIGGER: f"CREATE TRIGGER {DATABASE_TRIGGER} AFTER UPDATE {on} {name}()",
            f"{DATABASE_TRIGGER}_new": f"CREATE TRIGGER {DATABASE_TRIGGER}_new AFTER INSERT {on} {made}()",
        },
        dict([found] if (found := row_type(watch)) else []),
        {one: specialising.STUB.format(name=one, as_owner=as_owner) for one in (name, made)},
    )


def _detecting(watch: Watch, as_owner: str) -> Wanted:
    table = table_sql(watch)
    name = "lightfield_note_uncaptured"
    return Wanted(
        table,
        {name: DETECT.format(as_owner=as_owner, mark=modes.MARK, length=len(modes.MARK))},
        {
            trigger: f"CREATE TRIGGER {trigger} AFTER {operation} ON {table} REFERENCING NEW TABLE AS written "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}('{watch.entity}')"
            for operation, trigger in DETECTORS.items()
        },
    )


def _compiling(table: str, as_owner: str) -> Wanted:
    """On a table of ours that says who asks."""
    recompile = who_asks.RECOMPILE.format(as_owner=as_owner)
    return Wanted(table, {"lightfield_recompile_who_asks": recompile}, who_asks.triggers_on(table))


def _new_id() -> str:
    """What makes a UUIDv7: since PostgreSQL 18 the server itself, in a tenth of the time of ours."""
    return "uuidv7" if _server_version() >= 180_000 else "uuid_v7"


def _new_hex_id() -> str:
    """An expression that makes the hex digits of a UUIDv7, to a quarter of a microsecond, without asking the kernel.

    `uuidv7()` asks it for random bits, which takes a tenth of all that a capture does. Those of `random` are not secret, and
    nor is the id of an event: RFC 9562, section 8, forbids to rely on that. Sessions that were given the same by `setseed`
    still differ by their process. Before PostgreSQL 17 `random` has no bounds, and `uuid_v7` no part of a millisecond.
    """
    # A bit above the instant, taken away at the end: before 2004 it has a digit less.
    instant = f"(date_part('epoch', clock_timestamp()) * 4096000)::bigint + {1 << 60}"
    ordered = f"right(overlay(to_hex({instant}) PLACING '7' FROM 14 FOR 0), 16)"
    if _server_version() < 170_000:
        return f"{ordered} || right(encode(uuid_send(gen_random_uuid()), 'hex'), 16)"
    least, most = -(2**63), -(2**62) - 1  # begins with the bits 10
    return f"{ordered} || to_hex(random({least}, {most - (1 << 32)}) + pg_backend_pid())"


def _server_version() -> int:
    version: int = connection.pg_version  # type: ignore[attr-defined]  # PostgreSQL's has it
    return version
