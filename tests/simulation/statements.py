"""Which function answers which statement of the product. The modules beside this one fill the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.tables import Tables

Params = dict[str, Any]
Found = list[tuple[Any, ...]]
Answer = Callable[[Tables, Params], Found]

ANSWERS: dict[str, Answer] = {}
asked: set[str] = set()  # names of the answers given so far


def answers(*statements: str) -> Callable[[Answer], Answer]:
    """This function does on rows in memory what these statements do in PostgreSQL."""

    def decorate(function: Answer) -> Answer:
        for statement in statements:
            assert statement not in ANSWERS, statement
            ANSWERS[statement] = function
        return function

    return decorate
