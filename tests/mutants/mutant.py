"""One fault: which text of which file becomes what, the promise that it breaks, the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


class DoesNotFit(Exception):
    """The text that a mutant replaces is not in its file exactly once: the code has moved on without it."""


@dataclass(frozen=True)
class Edit:
    """`old`, which stands exactly once in `file`, becomes `new`."""

    file: str  # from the checkout's root
    old: str
    new: str

    def of(self, text: str) -> str:
        """Raises DoesNotFit."""
        count = text.count(self.old)
        if count != 1:
            first = self.old.strip().partition("\n")[0]
            raise DoesNotFit(f"{self.file} has {first!r} {count} times, not once")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Mutant:
    """A fault as somebody might really make it."""

    name: str
    breaks: str  # what the engine does now, in one line
    promise: str  # the row of docs/guarantees.md, word for word
    tests: tuple[str, ...]  # file::function; one of them has to fail, and each of them should
    edits: tuple[Edit, ...]

    def texts(self, root: Path) -> dict[Path, str]:
        """The files of the tree at `root` as this mutant has them. Raises DoesNotFit."""
        found: dict[Path, str] = {}
        for edit in self.edits:
            path = root / edit.file
            found[path] = edit.of(found.get(path) or path.read_text())
        return found


def edit(file: str, old: str, new: str) -> Edit:
    return Edit(file, old, new)


def planted(name: str, breaks: str, *edits: Edit, by: str | tuple[str, ...]) -> Mutant:
    """A mutant without its promise. Tests in `by` stand in tests/integration/ unless a folder is named."""
    tests = (by,) if isinstance(by, str) else by
    places = (test if "/" in test else f"integration/{test}" for test in tests)
    return Mutant(name, breaks, "", tuple(f"tests/{place}" for place in places), edits)


def breaking(promise: str, *mutants: Mutant) -> tuple[Mutant, ...]:
    """Mutants of one row of docs/guarantees.md."""
    return tuple(replace(mutant, promise=promise) for mutant in mutants)
