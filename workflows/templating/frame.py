"""What one rendering of one template holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from workflows.templating.faults import NAMES_LIMIT, TEXT_LIMIT, Budget, too_much
from workflows.templating.values import ABSENT, Segment, text_of

Read = tuple[
    str, tuple[Segment, ...]
]  # a path that an expression reads: its first name, and what is known of the rest


class Frame:
    """The caller's context, the template's own names, and the text written so far."""

    __slots__ = ("_sizes", "_text", "budget", "context", "names", "written")

    def __init__(self, context: Mapping[str, Any], budget: Budget) -> None:
        self.context = context
        self.budget = budget
        self.names: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._text: list[str] = []
        self.written = 0  # characters so far

    @property
    def known(self) -> dict[str, Any]:
        """Every name there is, for a message about one that there is not."""
        return {**self.context, **self.names}

    def root(self, name: str) -> Any:
        """The value of a name, or `ABSENT`: the template's own first, then the context."""
        if name in self.names:
            return self.names[name]
        return self.context.get(name, ABSENT)

    def write(self, text: str) -> None:
        self.grow(len(text))
        self._text.append(text)

    def grow(self, characters: int) -> None:
        """Count what is written. Raises `TemplateFault` when it is too much."""
        self.written += characters
        if self.written > TEXT_LIMIT:
            raise too_much(f"A template may write {TEXT_LIMIT:,} characters.")

    def text(self) -> str:
        return "".join(self._text)

    def output(self, value: Any, reads: tuple[Read, ...]) -> None:  # noqa: ARG002  for who tells data apart
        """Write what an expression gave. `reads` are the paths that it was made of."""
        self.write(text_of(value, self.budget))

    def assign(self, name: str, value: Any, reads: tuple[Read, ...] = ()) -> None:  # noqa: ARG002  likewise
        self._sizes[name] = len(value) if isinstance(value, str | list | dict) else 1
        if sum(self._sizes.values()) > NAMES_LIMIT:
            raise too_much(f"The variables of a template may hold {NAMES_LIMIT:,} characters.")
        self.budget.spend(len(self._sizes) // 8)
        self.names[name] = value

    def capture(self, name: str, body: Callable[[Frame], None]) -> None:
        """Keep what `body` writes under a name instead of in the text."""
        outer, self._text = self._text, []
        try:
            body(self)
            captured = self.text()
        finally:  # a `break` may leave it
            self._text = outer
        self.assign(name, captured)

    @contextmanager
    def loop(
        self,
        name: str,
        length: int,
        *,
        counted: bool,
        reads: tuple[Read, ...] = (),  # noqa: ARG002  likewise
    ) -> Iterator[Callable[[int, Any], None]]:
        """Names of one `for`: its variable and, if `counted`, `forloop`; put back as they were at the end."""
        before = {key: self.names.get(key, ABSENT) for key in (name, "forloop")}
        parent = self.names.get("forloop")

        def step(index: int, value: Any) -> None:
            self.names[name] = value
            if counted:
                self.names["forloop"] = _position(index, length, parent)

        yield step
        for key, value in before.items():
            if value is ABSENT:
                self.names.pop(key, None)
            else:
                self.names[key] = value


def _position(index: int, length: int, parent: Any) -> dict[str, Any]:
    """What `forloop` holds."""
    return {
        "index": index + 1,
        "index0": index,
        "rindex": length - index,
        "rindex0": length - index - 1,
        "first": index == 0,
        "last": index == length - 1,
        "length": length,
        "parentloop": parent,
    }
