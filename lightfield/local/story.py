"""Finished runs as a story for a person: what happened when, and what that shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

COLOURS = {"completed": "32", "failed": "31", "lost": "31", "retrying": "33", "skipped": "90"}
ASIDE_COLOUR = "35"


@dataclass(frozen=True)
class Aside:
    """Something that happened outside the run; `at` is an aware instant."""

    at: datetime
    words: str


@dataclass(frozen=True)
class Chapter:
    """One finished run with its timeline, both as the API gives them."""

    title: str
    run: dict[str, Any]
    timeline: list[dict[str, Any]]


@dataclass(frozen=True)
class Line:
    at: datetime
    subject: str
    verb: str
    words: str


def told(chapters: list[Chapter], asides: list[Aside], findings: list[str], *, colour: bool) -> str:
    """The story, ready to print. Seconds count from the first chapter's beginning, which the asides belong to too.

    `findings` are what it shows; each becomes a ticked line.
    """
    begin = instant(chapters[0].timeline[0]["at"])
    text = []
    for chapter, beside in zip(chapters, [asides, *[[]] * len(chapters)], strict=False):
        text += ["", *_chapter(chapter, beside, begin, colour)]
    return "\n".join([*text, "", *(f"  {_painted('✓', '32', colour)} {finding}" for finding in findings), ""])


def _chapter(chapter: Chapter, asides: list[Aside], begin: datetime, colour: bool) -> list[str]:
    lines = [_line(entry) for entry in chapter.timeline] + [Line(a.at, "", "", a.words) for a in asides]
    lines.sort(key=lambda line: line.at)
    run = chapter.run
    seconds = (instant(run["finished_at"]) - lines[0].at).total_seconds()
    return [
        f"  {chapter.title}: {run['status']} after {seconds:.1f} s",
        f"  run {run['id']}   version {run['version']}   trace {run['trace_id']}",
        "",
        *(_printed(line, (line.at - begin).total_seconds(), colour) for line in lines),
    ]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _line(entry: dict[str, Any]) -> Line:
    subject, _, verb = entry["type"].partition(".")
    parts = [f"attempt {entry['attempt']}"] if entry["attempt"] is not None else []
    metadata = entry["metadata"]
    parts += [str(metadata[name]) for name in ("error_code", "message") if name in metadata]
    if "delay_seconds" in metadata:
        parts.append(f"again after {float(metadata['delay_seconds']):.2f} s")
    return Line(instant(entry["at"]), entry["step"] or subject, verb, "  ".join(parts))


def _printed(line: Line, seconds: float, colour: bool) -> str:
    if not line.verb:
        return f"  {seconds:7.2f} s  {_painted('▌ ' + line.words, ASIDE_COLOUR, colour)}"
    verb = _painted(f"{line.verb:<10}", COLOURS.get(line.verb, ""), colour)
    return f"  {seconds:7.2f} s  {line.subject:<10} {verb} {line.words}".rstrip()


def _painted(text: str, code: str, colour: bool) -> str:
    return f"\033[{code}m{text}\033[0m" if colour and code else text
