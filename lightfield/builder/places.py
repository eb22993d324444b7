"""Where in a JSON text the value of a JSON pointer stands, so that a problem can be shown at its line. Pure."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


@dataclass(frozen=True)
class Place:
    """Line and column, from 1."""

    line: int
    column: int


class Places:
    """Every place of a text that is valid JSON, nested no deeper than `strict_json` allows."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self._offsets: dict[str, int] = {}
        self.repeated: list[tuple[str, Place]] = []  # pointers that stand there more than once
        first = next(self._tokens, None)
        if first is not None:
            self._value(first, "", first.start())

    def of(self, pointer: str) -> Place:
        """Where it stands; of something that is missing, where its parent stands."""
        while pointer not in self._offsets and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.at(self._offsets.get(pointer, 0))

    def at(self, offset: int) -> Place:
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)

    def _value(self, token: re.Match[str], pointer: str, offset: int) -> None:
        if pointer in self._offsets:
            self.repeated.append((pointer, self.at(offset)))
        self._offsets[pointer] = offset
        if token[0] == "{":
            self._members(pointer)
        elif token[0] == "[":
            self._elements(pointer)

    def _members(self, pointer: str) -> None:
        for token in self._tokens:
            if token[0] == "}":
                return
            if token[0] == ",":
                continue
            key = str(json.loads(token[0])).replace("~", "~0").replace("/", "~1")
            next(self._tokens)  # the colon
            self._value(next(self._tokens), f"{pointer}/{key}", token.start())

    def _elements(self, pointer: str) -> None:
        index = 0
        for token in self._tokens:
            if token[0] == "]":
                return
            if token[0] == ",":
                index += 1
                continue
            self._value(token, f"{pointer}/{index}", token.start())
