"""What can go wrong in a template, and how much one may do."""

from __future__ import annotations

SOURCE_LIMIT = 16 * 1024  # characters of one template
EXPRESSION_LIMIT = (
    2_000  # characters between one pair of delimiters; python-liquid's lexer is quadratic in it
)
DEPTH_LIMIT = 30  # blocks within blocks, brackets within brackets
VALUE_LIMIT = 256 * 1024  # characters that a filter may read or make
LIST_LIMIT = 10_000  # items that a filter may read or make
LOOP_LIMIT = 10_000  # iterations of all loops of one config together
TEXT_LIMIT = 1_000_000  # characters that one template may write
CONFIG_LIMIT = 2 * 1024 * 1024  # characters of one rendered config
NAMES_LIMIT = 100_000  # characters and items held by `assign` and `capture`
WORK_LIMIT = 100_000  # units of work for one config; a unit takes 0.1 to 3 microseconds


class TemplateFault(Exception):
    """A template cannot be read or rendered. `expressions` adds where it stands and turns it into our errors.

    `path` is the missing path of `template.unresolved`, as its author wrote it.
    """

    def __init__(self, code: str, detail: str, *, path: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.path = path


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
