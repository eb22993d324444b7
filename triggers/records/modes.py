"""Who captures: Django's writers (LIGHTFIELD_CAPTURE=orm), or the database by itself (`trigger`).

With `orm` a detector in the database notes every write that passes Django by. It knows ours by a mark at the end of
the statement's text, so the block that writes puts it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.dispatch import receiver

from triggers import causes

MODES = ("orm", "trigger")
MARK = " /*lightfield:seen*/"
# So the text of a statement begins whose writes a run caused: `<trace id> <depth of the event> <run id>`.
BY = "/*lightfield:by {}*/ "
LOADED = "loaded"  # in their place: loaddata puts back what was, and nothing has happened
# What the database trigger reads there. At the beginning no value can stand, and looking costs next to nothing.
BY_BEGINS = "/*lightfield:by "
BY_PATTERN = "^/[*]lightfield:by (loaded|[0-9a-z]+ [0-9]+ [0-9a-f-]+)[*]/ "
BY_LENGTH = 160  # at most


def in_a_transaction(using: str = DEFAULT_DB_ALIAS) -> AbstractContextManager[None]:
    """Around a write and its capture: both or neither.

    In somebody's transaction there is nothing to open. An `atomic` without a savepoint would give that transaction up
    for whatever a receiver of signals raises, also where the caller catches it and goes on, as Django allows.
    """
    is_in_one = connections[using].in_atomic_block
    return nullcontext() if is_in_one else transaction.atomic(using=using)


@cache  # Django's settings take half a microsecond to say so, and a save asks twice
def is_database_capturing() -> bool:
    """As configured; `migrate` puts the triggers there or takes them away."""
    return bool(settings.LIGHTFIELD_CAPTURE == "trigger")


@receiver(setting_changed)
def _ask_anew(*, setting: str, **_: Any) -> None:
    if setting == "LIGHTFIELD_CAPTURE":
        is_database_capturing.cache_clear()


def is_left_to_database(*, is_loaded: bool = False) -> bool:
    """Whether the database captures and there is nothing to tell it: then a write is Django's own affair."""
    return is_database_capturing() and not is_loaded and causes.current() is None


@contextmanager
def seen_by_us(*, is_loaded: bool = False) -> Iterator[bool]:
    """Around the write itself, inside a transaction. True: the caller captures it; False: the database does.

    Args:
        is_loaded: by loaddata, which nobody captures.
    """
    with ExitStack() as wrapped:
        if is_loaded:
            wrapped.enter_context(connection.execute_wrapper(_signed(LOADED)))
        elif causes.current() is not None:
            wrapped.enter_context(telling_cause())
        if not is_database_capturing():
            wrapped.enter_context(connection.execute_wrapper(_mark))
        yield not is_database_capturing()


def telling_cause() -> AbstractContextManager[None]:
    """Inside the block, what this thread sends to the database tells for which run it is.

    The database trigger cannot ask Python. With the statement itself it is told about raw SQL too, in autocommit too,
    by processes that capture by themselves while an installation is being switched over, and nothing is left behind
    that a savepoint could bring back.
    """
    cause = causes.current()
    if cause is None:
        return nullcontext()
    told = _signed(f"{cause.trace_id} {causes.depth_of_next(cause)} {cause.run_id}")
    return connection.execute_wrapper(told)


def _mark(execute: Callable[..., Any], text: Any, params: Any, many: bool, context: Any) -> Any:
    return execute(text + MARK if isinstance(text, str) else text, params, many, context)


def _signed(name: str) -> Callable[..., Any]:
    by = BY.format(name)

    def sign(execute: Callable[..., Any], text: Any, params: Any, many: bool, context: Any) -> Any:
        is_new = isinstance(text, str) and not text.startswith(by)
        return execute(by + text if is_new else text, params, many, context)

    return sign
