"""Paths that lead nowhere: where they end, and what their author may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from workflows.templating.faults import TemplateFault
from workflows.templating.frame import Frame
from workflows.templating.values import ABSENT, Segment, kind_of, step_into, written

LOOKED_THROUGH = (
    500  # names that may be the one that was meant; comparing them takes a tenth of a millisecond each
)
NAMED = 5  # of them, when none is near
NAME_LIMIT = 40  # characters of a name in a sentence


class Missing:
    """The value of a path that leads nowhere. Only `default` takes it; whoever else needs it raises.

    `path[index]` is the part that is missing, looked for in `parent`.
    """

    __slots__ = ("index", "offset", "parent", "path")

    def __init__(self, path: list[Segment], index: int, parent: Any, offset: int | None) -> None:
        self.path = path
        self.index = index
        self.parent = parent
        self.offset = offset

    def fault(self) -> TemplateFault:
        path, missing = written(self.path), self.path[self.index]
        within = written(self.path[: self.index])
        facts: dict[str, Any] = {"path": path, "missing": written([str(missing)])}
        if within:
            facts["within"] = within
        meant = nearest(str(missing), self.parent) if isinstance(self.parent, dict) else None
        if meant:
            facts["did_you_mean"] = meant
        reason = _dead_end(within, missing, self.parent, meant)
        return TemplateFault(
            "template.unresolved", f"{path} is not there: {reason}", offset=self.offset, **facts
        )


def present(value: Any) -> Any:
    """The value itself; raises `template.unresolved` when its path leads nowhere."""
    if type(value) is Missing:
        raise value.fault()
    return value


def look_up(frame: Frame, root: str, rest: Sequence[Segment], offset: int | None) -> Any:
    """What stands at a path, or `Missing`."""
    value = frame.root(root)
    if value is ABSENT:
        return Missing([root, *rest], 0, frame.known, offset)
    for index, part in enumerate(rest, start=1):
        parent, value = value, step_into(value, part)
        if value is ABSENT:
            return Missing([root, *rest], index, parent, offset)
    return value


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, if one is near."""
    few = [known for known, _ in zip(names, range(LOOKED_THROUGH), strict=False) if len(known) <= NAME_LIMIT]
    if len(name) > NAME_LIMIT:
        return None
    alike = {known.casefold().replace("_", ""): known for known in few}
    found = get_close_matches(name.casefold().replace("_", ""), alike, n=1, cutoff=0.7)
    return alike[found[0]] if found else None


def instead(meant: str | None, names: Iterable[str]) -> str:
    """The end of a sentence that says what there is, or nothing but its full stop."""
    if meant:
        return f"; did you mean {meant}?"
    few = [name[:NAME_LIMIT] for name, _ in zip(names, range(NAMED + 1), strict=False)]
    if not few:
        return "."
    return f"; there is {', '.join(few[:NAMED])}{' and more' if len(few) > NAMED else ''}."


def _dead_end(within: str, missing: Segment, parent: Any, meant: str | None) -> str:
    """Why a path stops, for the person who wrote it."""
    if not within:
        return f"there is no {missing}{instead(meant, [])}"
    if isinstance(parent, dict):
        return f"{within} has no {written([str(missing)])}{instead(meant, parent)}"
    if isinstance(parent, list):
        remedy = "." if isinstance(missing, int) else f"; write {within}[0] for its first item."
        return f"{within} is a list of {len(parent)}{remedy}"
    return f"{within} is {kind_of(parent)}."
