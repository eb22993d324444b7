"""The database of a simulated world, as `sql.rows` and `transaction.atomic` know it.

A statement outside `atomic`, and each `atomic` block, is one transaction. Before it the world is asked
(`gate`) whether it may begin and how it will end: heard, unheard (committed, but the reply is lost) or refused.
Nothing else moves while a transaction is open: the engine's transactions lock their run before all else, so
the database too lets them pass one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

from django.db import OperationalError
from psycopg.types.json import Jsonb

from tests.simulation import beginnings, claiming, contexts, moving, outcomes, suspecting
from tests.simulation.statements import ANSWERS, Found, asked
from tests.simulation.tables import Tables

ANSWERING = (
    beginnings,
    contexts,
    claiming,
    suspecting,
    moving,
    outcomes,
)  # importing them has filled ANSWERS


class Ending(Enum):
    """How a transaction ends for the one who began it."""

    HEARD = "heard"
    UNHEARD = "reply lost"  # it was committed
    REFUSED = "no connection"  # it never began


class UnknownStatement(BaseException):
    """The product has a statement that the simulator does not know yet: answer it in one of ANSWERING."""


class Store:
    """Answers statements from `tables`."""

    def __init__(self, tables: Tables, gate: Callable[[str], Ending], committed: Callable[[], None]) -> None:
        self.tables = tables
        self._gate = gate
        self._committed = committed
        self._depth = 0
        self._hooks: list[Callable[[], Any]] = []

    def rows(self, statement: str, params: Mapping[str, Any]) -> Found:
        """In place of `sql.rows`."""
        answer = ANSWERS.get(statement)
        if answer is None:
            raise UnknownStatement(statement)
        asked.add(answer.__name__)
        plain = {name: value.obj if isinstance(value, Jsonb) else value for name, value in params.items()}
        if self._depth:
            return answer(self.tables, plain)
        with self._transaction(answer.__name__):
            return answer(self.tables, plain)

    def rows_after(self, first: str, statement: str, params: Mapping[str, Any]) -> Found:
        """In place of `sql.rows_after`."""
        with self.atomic():
            self.rows(first, params)
            return self.rows(statement, params)

    @contextmanager
    def atomic(self, *_: Any, **__: Any) -> Iterator[None]:
        """In place of `transaction.atomic`."""
        if self._depth:
            yield
            return
        with self._transaction("transaction"):
            yield

    def on_commit(self, hook: Callable[[], Any], **_: Any) -> None:
        """In place of `transaction.on_commit`."""
        if self._depth:
            self._hooks.append(hook)
        else:
            hook()

    @contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        ending = self._gate(name)
        if ending is Ending.REFUSED:
            raise OperationalError(f"no connection for {name}")
        self._depth, self._hooks = 1, []
        try:
            yield
        except BaseException:
            self.tables.roll_back()
            raise
        finally:
            self._depth = 0
        self.tables.commit()
        self._committed()
        if ending is Ending.UNHEARD:
            raise OperationalError(f"the reply of {name} is lost")
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook()
