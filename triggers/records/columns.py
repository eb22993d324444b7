"""A record as JSON, made by the database: the same text serves Django's writes and the database trigger.

Instants are ISO 8601 in UTC with Z and microseconds, as in the API; durations are seconds; bytes are base64; in a list
too. All else is what PostgreSQL makes of it: numbers, texts, booleans, lists, jsonb as it is, dates as YYYY-MM-DD, ids
as text. What is no number in JSON is a text: NaN, Infinity, an instant that is infinity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from django.db import connection

from lightfield.kernel.strict_json import MAX_EXPONENT
from triggers.records.watching import AnyField, Watch

PAIRS_AT_ONCE = 50  # a PostgreSQL function takes 100 arguments
# Of these types two values are equal exactly when what is told of them is. Not of all: some ignore case.
TEXTS = ("varchar", "text")
EQUAL_AS_TOLD = (
    *("smallint", "integer", "bigint", "boolean", "uuid", "numeric", "double precision", "jsonb"),
    *("date", "timestamp with time zone"),
)
# What `_spelled` makes of these.
TOLD_AS = {"timestamp with time zone": "text", "interval": "numeric", "bytea": "text"}
ROW_TYPE = "lightfield_row_"
MOST_NAME_BYTES = 63  # PostgreSQL cuts longer ones
ARRAY = re.compile(r"(.+)\[[0-9]*\]")
INSTANT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'


def fields_sql(watch: Watch, row: str) -> str:
    """A jsonb object of the watched fields of the row with this alias."""
    return _object(f"{literal(name)}, {value_sql(field, row)}" for name, field in watch.fields.items())


def left_fields_sql(watch: Watch, row: str) -> str:
    """The same where a column may be gone, which is null then. Instants are spelled as PostgreSQL does."""
    return _object(f"{literal(name)}, {left_value_sql(field, row)}" for name, field in watch.fields.items())


def row_type(watch: Watch) -> tuple[str, str] | None:
    """A type whose JSON is that of the watched fields: its name, and CREATE TYPE. None: they have names that no type takes.

    JSON of a row takes half the time of JSON made pair by pair. The name tells what is in it, so it is never another type.
    """
    if any(len(name.encode()) > MOST_NAME_BYTES for name in watch.fields):
        return None
    columns = ", ".join(f"{quoted(name)} {_told_type(field)}" for name, field in watch.fields.items())
    name = ROW_TYPE + hashlib.sha256(columns.encode()).hexdigest()[:16]
    return name, f"CREATE TYPE {name} AS ({columns})"


def row_sql(watch: Watch, row: str) -> str:
    """What becomes the same JSON as `fields_sql`."""
    found = row_type(watch)
    if found is None:
        return fields_sql(watch, row)
    return f"ROW({', '.join(value_sql(field, row) for field in watch.fields.values())})::{found[0]}"


def _told_type(field: AnyField) -> str:
    """The type of `value_sql`. Without a length where that means any: a cast would cut, as long as a longer column is news."""
    kind = field.db_type(connection) or "text"
    if (of_items := item_type(kind)) and _spelled(of_items, "u.item"):
        return "jsonb"
    bare = kind.partition("(")[0]
    if bare in TOLD_AS:
        return TOLD_AS[bare]
    return re.sub(r"\(.*?\)", "", kind) if bare in ("varchar", "numeric") else kind


def _object(of_pairs: Iterable[str]) -> str:
    pairs = list(of_pairs)
    pieces = [pairs[start : start + PAIRS_AT_ONCE] for start in range(0, len(pairs), PAIRS_AT_ONCE)]
    return " || ".join(f"jsonb_build_object({', '.join(piece)})" for piece in pieces) or "'{}'::jsonb"


def names_sql(watch: Watch) -> str:
    """The names of the fields whose change is told: not those that change with every save."""
    names = [literal(name) for name in watch.fields if name not in watch.quiet]
    return f"ARRAY[{', '.join(names)}]::text[]"


def documents_of(watch: Watch) -> list[str]:
    """The names of the watched fields that may hold numbers or nests of any size."""
    return [
        name
        for name, field in watch.fields.items()
        if (field.db_type(connection) or "").startswith("json")
        or (getattr(field, "max_digits", 0) or 0) > MAX_EXPONENT
    ]


def is_doubtful_sql(field: AnyField, row: str) -> str:
    """Whether there is anything in one of those; a quick look."""
    column = f"{row}.{quoted(field.column)}"
    is_jsonb = field.db_type(connection) == "jsonb"
    return f"{column} NOT IN ('{{}}', 'null')" if is_jsonb else f"{column} IS NOT NULL"


def documents_sql(watch: Watch) -> str:
    """The same as an array."""
    return f"ARRAY[{', '.join(map(literal, documents_of(watch)))}]::text[]"


def instant_sql(expression: str, *, may_be_infinite: bool = True) -> str:
    """Infinity has no such form."""
    # By an interval: the name of a zone is looked up each time.
    spelled = f"to_char({expression} AT TIME ZONE INTERVAL '0', '{INSTANT}')"
    return f"coalesce({spelled}, {expression}::text)" if may_be_infinite else spelled


def table_sql(watch: Watch) -> str:
    return quoted(watch.model._meta.db_table)


def pk_sql(watch: Watch) -> str:
    return quoted(watch.pk.column)


def pk_text_sql(watch: Watch, row: str) -> str:
    """What is a text in JSON."""
    kind = (watch.pk.rel_db_type(connection) or "").partition("(")[0]
    is_told_as_text = kind in ("uuid", *TEXTS)
    return f"{row}.{pk_sql(watch)}" + ("" if is_told_as_text else "::text")


def pk_type(watch: Watch) -> str:
    """Without a length: a cast to varchar(10) would cut in silence."""
    found = watch.pk.rel_db_type(connection) or "text"
    return found.partition("(")[0]


def quoted(name: str | None) -> str:
    assert name is not None  # fields without a column are not concrete
    return connection.ops.quote_name(name)


def left_value_sql(field: AnyField, row: str) -> str:
    return f"(to_jsonb({row}) -> {literal(str(field.column))})"


def is_changed_sql(field: AnyField) -> str:
    """Whether what is told of a field differs between the rows OLD and NEW of a database trigger."""
    kind = (field.db_type(connection) or "").partition("(")[0]
    old, new = (f"{row}.{quoted(field.column)}" for row in ("OLD", "NEW"))
    if kind in TEXTS:
        return f'{old} COLLATE "C" IS DISTINCT FROM {new} COLLATE "C"'
    if kind in EQUAL_AS_TOLD:
        return f"{old} IS DISTINCT FROM {new}"
    return f"to_jsonb({value_sql(field, 'OLD')}) IS DISTINCT FROM to_jsonb({value_sql(field, 'NEW')})"


def told_change_sql(field: AnyField) -> str:
    """What is told of a field that differs between the rows OLD and NEW of a database trigger: `before` and `after`."""
    old, new = (value_sql(field, row) for row in ("OLD", "NEW"))
    whole = field.db_type(connection) or ""
    kind = whole.partition("(")[0]
    if not item_type(whole) and (kind in TEXTS or TOLD_AS.get(kind) == "text"):  # made in half the time
        return f"jsonb_object(ARRAY['before', {old}, 'after', {new}])"
    return f"jsonb_build_object('before', {old}, 'after', {new})"


def types_of(watch: Watch) -> str:
    """The types of all columns, as a word in the functions: with another type they are other functions.

    What a connection has planned for a function it plans anew when the function is another, and not when the table is.
    """
    kinds = ",".join(str(field.db_type(connection)) for field in (watch.pk, *watch.fields.values()))
    return hashlib.sha256(kinds.encode()).hexdigest()[:16]


def value_sql(field: AnyField, row: str) -> str:
    """What is told of one field of the row with this alias."""
    column = f"{row}.{quoted(field.column)}"
    kind = field.db_type(connection) or ""
    if (of_items := item_type(kind)) and (spelled := _spelled(of_items, "u.item")):
        every = f"SELECT coalesce(jsonb_agg({spelled} ORDER BY u.n), '[]') FROM unnest({column}) WITH ORDINALITY u(item, n)"
        return f"CASE WHEN {column} IS NOT NULL THEN ({every}) END"
    return _spelled(kind, column) or column


def item_type(kind: str) -> str:
    """Of an array such as `date[]` or `varchar(100)[50]`, the type of its items; empty of any other type."""
    found = ARRAY.fullmatch(kind)
    return found[1] if found else ""


def _spelled(kind: str, value: str) -> str:
    """Empty where PostgreSQL's own way is ours. What it writes of these depends on the session's settings."""
    match kind.partition("(")[0]:
        case "timestamp with time zone":
            return instant_sql(value)
        case "interval":
            return f"extract(epoch FROM {value})"
        case "bytea":
            return f"translate(encode({value}, 'base64'), E'\\n', '')"
    return ""


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
