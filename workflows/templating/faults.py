"""What can go wrong in a template, and how much one may do."""

from __future__ import annotations

from typing import Any

SOURCE_LIMIT = 16 * 1024  # characters of one template
EXPRESSION_LIMIT = (
    2_000  # characters between one pair of delimiters; python-liquid's lexer is quadratic in it
)
TAGS_LIMIT = 2_000  # outputs and tags of one template
DEPTH_LIMIT = 30  # blocks within blocks, brackets within brackets
VALUE_LIMIT = 256 * 1024  # characters that a filter may read or make
LIST_LIMIT = 10_000  # items that a filter may read or make
LOOP_LIMIT = 10_000  # iterations of all loops of one config together
TEXT_LIMIT = 1_000_000  # characters that one template may write
CONFIG_LIMIT = 2 * 1024 * 1024  # characters of one rendered config
NAMES_LIMIT = 100_000  # characters and items held by `assign` and `capture`
WORK_LIMIT = 100_000  # units of work for one config; a unit takes 0.1 to 3 microseconds


class TemplateFault(Exception):
    """A template cannot be read or rendered. `expressions` adds the slot it stands in and turns it into our errors.

    `offset` is where in the template, in characters from 0; None: nobody knows. `facts` become metadata of the error:
    of `template.unresolved` the path, the part of it that is missing, and where that was looked for.
    """

    def __init__(self, code: str, detail: str, *, offset: int | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.offset = offset
        self.facts = facts

    def at(self, offset: int | None) -> TemplateFault:
        """Say where it happened, unless somebody nearer has said it."""
        if self.offset is None:
            self.offset = offset
        return self

    def told(self, source: str) -> str:
        """The detail with its place in the template."""
        return with_place(self.detail, source, self.offset)


def place_in(source: str, offset: int) -> tuple[int, int]:
    """Line and column, both from 1, of an offset in a template."""
    before = source[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def with_place(detail: str, source: str, offset: int | None) -> str:
    """A sentence about a template that ends in the place, if somebody knows it."""
    if offset is None:
        return detail
    line, column = place_in(source, offset)
    return f"{detail} (template line {line}, column {column})"


def failed(detail: str) -> TemplateFault:
    return TemplateFault("template.failed", detail)


def too_much(detail: str) -> TemplateFault:
    return TemplateFault("template.limit", detail)


class Budget:
    """What is left to spend while one config is rendered.

    It counts work, not time: the same template with the same data always ends the same way, however busy
    the machine is.
    """

    __slots__ = ("characters", "iterations", "work")

    def __init__(self) -> None:
        self.work = WORK_LIMIT
        self.iterations = LOOP_LIMIT
        self.characters = CONFIG_LIMIT

    def spend(self, units: int) -> None:
        self.work -= units
        if self.work < 0:
            raise too_much("The templates of this step do too much work.")

    def iterate(self, times: int) -> None:
        self.iterations -= times
        if self.iterations < 0:
            raise too_much(f"Loops may run {LOOP_LIMIT:,} times in all.")

    def emit(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise too_much(f"A rendered configuration may have {CONFIG_LIMIT:,} characters.")
