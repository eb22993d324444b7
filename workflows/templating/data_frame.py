"""Rendering into pieces: which of them the author wrote, and which came from outside, and from where.

An output is data as soon as anything from outside was read for it: a path of the context, or a name of the template's own
that such a path went into. That a value is the author's own has to be shown; whatever is not known is data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from workflows.data_text import Data, DataText, Piece
from workflows.templating.faults import TEXT_LIMIT, Budget, too_much
from workflows.templating.frame import Frame, Read
from workflows.templating.values import Segment, text_of, weigh, written

MOST_PIECES: Final = (
    600  # of data in one template: each is told apart on its own, and a list may be one piece
)

MOST_SOURCES: Final = 3  # told of one piece
LONGEST_SOURCE: Final = 200  # characters

Sources = frozenset[str]  # the paths that went into a value; none: the author's own
OWN: Final[Sources] = frozenset()


class DataFrame(Frame):
    """A frame that keeps data apart from text, and remembers of its own names what went into them."""

    __slots__ = ("_count", "_pieces", "_sources", "_written_from")

    def __init__(self, context: Mapping[str, Any], budget: Budget) -> None:
        super().__init__(context, budget)
        self._pieces: list[Piece] = []
        self._sources: dict[str, Sources] = {}
        self._written_from: set[str] = set()  # by what is captured now
        self._count = 0

    def data_text(self) -> DataText:
        return DataText(self._pieces)

    def write(self, text: str) -> None:
        self.grow(len(text))
        self._pieces.append(text)

    def output(self, value: Any, reads: tuple[Read, ...]) -> None:
        sources = self._sources_of(reads)
        if not sources:
            self.write(text_of(value, self.budget))
            return
        self.grow(weigh(value, self.budget, TEXT_LIMIT))
        self._count += 1
        self._written_from |= sources
        if self._count > MOST_PIECES:
            raise too_much(
                f"A text may have {MOST_PIECES} pieces of data. Fill in a whole list as one, without a loop."
            )
        self._pieces.append(Data(value, _told(sources)))

    def assign(self, name: str, value: Any, reads: tuple[Read, ...] = ()) -> None:
        sources = self._sources_of(reads)
        super().assign(name, value)
        self._sources[name] = sources

    def capture(self, name: str, body: Callable[[Frame], None]) -> None:
        """The name holds text, so all of it is data if any of it is."""
        outer = self._pieces, self._written_from
        self._pieces, self._written_from = [], set()
        try:
            body(self)
            text, sources = str(DataText(self._pieces)), frozenset(self._written_from)
        finally:  # a `break` may leave it
            self._pieces, self._written_from = outer
        super().assign(name, text)
        self._sources[name] = sources

    @contextmanager
    def loop(
        self, name: str, length: int, *, counted: bool, reads: tuple[Read, ...] = ()
    ) -> Iterator[Callable[[int, Any], None]]:
        """Of `trigger.items` each item is from `trigger.items[]`; how often a loop has run is nobody's data."""
        before = {key: self._sources.get(key) for key in (name, "forloop")}
        items = frozenset(f"{source}[]" for source in self._sources_of(reads))
        with super().loop(name, length, counted=counted) as step:
            self._sources |= {name: items, "forloop": OWN}

            def step_and_note(index: int, value: Any) -> None:
                step(index, value)
                self._sources[name] = items  # the body may have given it another value

            yield step_and_note
        for key, sources in before.items():
            if sources is None:
                self._sources.pop(key, None)
            else:
                self._sources[key] = sources

    def _sources_of(self, reads: tuple[Read, ...]) -> Sources:
        found: set[str] = set()
        for root, rest in reads:
            if root not in self.names:
                found.add(written([root, *rest]))
            else:
                # A name that nothing is known of would be an oversight, and is taken for data.
                found |= {source + _suffix(rest) for source in self._sources.get(root, {root})}
        return frozenset(found)


def _told(sources: Sources) -> str:
    few = sorted(sources)[:MOST_SOURCES]
    return ", ".join([*few, "…"] if len(sources) > len(few) else few)[:LONGEST_SOURCE]


def _suffix(rest: tuple[Segment, ...]) -> str:
    """How a path goes on: `.name`, `[0]`."""
    return written(["_", *rest])[1:]
