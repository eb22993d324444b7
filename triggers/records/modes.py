"""Who captures: Django's writers (LIGHTFIELD_CAPTURE=orm), or the database by itself (`trigger`).

With `orm` a detector in the database notes every write that passes Django by. It knows ours by a mark at the end of
the statement's text, so the block that writes puts it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

from triggers import causes

MODES = ("orm", "trigger")
MARK = " /*lightfield:seen*/"
# Where the database trigger finds the run that caused a change, for the transaction: `<trace id> <depth of the event> <run id>`.
CAUSE_SETTING = "lightfield.cause"
LOADED = "loaded"  # in its place: loaddata puts back what was, and nothing has happened
_TELL_CAUSE = f"SELECT set_config('{CAUSE_SETTING}', %s, true)"
_told = (
    "_lightfield_cause_told"  # on the connection: what was said last, so that nothing is said to say nothing
)
_has_ever_told = False  # by this process, on any connection


def in_a_transaction(using: str = DEFAULT_DB_ALIAS) -> AbstractContextManager[None]:
    """Around a write and its capture: both or neither.

    In somebody's transaction there is nothing to open. An `atomic` without a savepoint would give that transaction up
    for whatever a receiver of signals raises, also where the caller catches it and goes on, as Django allows.
    """
    is_in_one = connections[using].in_atomic_block
    return nullcontext() if is_in_one else transaction.atomic(using=using)


def is_database_capturing() -> bool:
    """As configured; `migrate` puts the triggers there or takes them away."""
    return bool(settings.LIGHTFIELD_CAPTURE == "trigger")


def is_left_to_database(*, is_loaded: bool = False) -> bool:
    """Whether the database captures and there is nothing to tell it: then a write is Django's own affair."""
    return is_database_capturing() and not is_loaded and causes.current() is None and not _was_told()


@contextmanager
def seen_by_us(*, is_loaded: bool = False) -> Iterator[bool]:
    """Around the write itself, inside a transaction. True: the caller captures it; False: the database does.

    Args:
        is_loaded: by loaddata, which nobody captures.
    """
    if is_database_capturing():
        cause = causes.current()
        told = f"{cause.trace_id} {causes.depth_of_next(cause)} {cause.run_id}" if cause else ""
        _tell(LOADED if is_loaded else told)
        yield False
        if is_loaded:
            _tell(told)
        return
    with connection.execute_wrapper(_mark):
        yield True


def _mark(execute: Callable[..., Any], text: Any, params: Any, many: bool, context: Any) -> Any:
    return execute(text + MARK if isinstance(text, str) else text, params, many, context)


def _was_told() -> bool:
    """Whether the database goes by something that was said on this connection.

    To find the thread's connection takes longer than all else here; who never said anything need not.
    """
    return _has_ever_told and bool(getattr(connection, _told, ""))


def _tell(text: str) -> None:
    """The database trigger cannot ask Python. Nothing is said as long as there is nothing to say."""
    global _has_ever_told
    if not text and not _was_told():
        return
    _has_ever_told = True
    with connection.cursor() as cursor:
        cursor.execute(_TELL_CAUSE, [text])
    setattr(connection, _told, text)
