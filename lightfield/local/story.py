"""Finished runs as a story for a person: what happened when, and what that shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

COLOURS = {
    "completed": "32",
    "failed": "31",
    "lost": "31",
    "refused": "31",
    "retrying": "33",
    "answer": "36",
    "call": "36",
    "skipped": "90",
}
ASIDE_COLOUR = "35"
# Of a tool call, by its error; what is permitted and went wrong has failed, as on the run's page.
VERBS = {None: "call", "ai.permission_denied": "refused"}
LONGEST = 78  # characters of what a model or a tool said


@dataclass(frozen=True)
class Aside:
    """Something that happened outside the run; `at` is an aware instant."""

    at: datetime
    words: str


@dataclass(frozen=True)
class Chapter:
    """One finished run with its timeline, and the turns of its agents by the steps' keys, all as the API gives them."""

    title: str
    run: dict[str, Any]
    timeline: list[dict[str, Any]]
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


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
    usage = {step["key"]: _usage(step["agent"]) for step in chapter.run["steps"] if step.get("agent")}
    lines = [_line(entry, usage) for entry in chapter.timeline]
    lines += [_turn(turn, key) for key, turns in chapter.turns.items() for turn in turns]
    lines += [Line(a.at, "", "", a.words) for a in asides]
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


def _line(entry: dict[str, Any], usage: dict[str, str]) -> Line:
    subject, _, verb = entry["type"].partition(".")
    parts = [f"attempt {entry['attempt']}"] if entry["attempt"] is not None else []
    metadata = entry["metadata"]
    parts += [str(metadata[name]) for name in ("error_code", "message") if name in metadata]
    if "delay_seconds" in metadata:
        parts.append(f"again after {float(metadata['delay_seconds']):.2f} s")
    if verb in ("completed", "failed") and entry["step"] in usage:
        parts.append(usage[entry["step"]])
    return Line(instant(entry["at"]), entry["step"] or subject, verb, "  ".join(parts))


# --- an agent's turns -----------------------------------------------------------------------------------


def _turn(turn: dict[str, Any], step: str) -> Line:
    """An answer of the model, or a tool call, at the moment at which it was there."""
    at = instant(turn["finished_at"] or turn["started_at"])
    if turn["kind"] == "model":
        calls = ", ".join(call["name"] for call in turn["answer"]["calls"])
        said = f"calls {calls}" if calls else f"says “{turn['answer']['text']}”"
        return Line(at, step, "answer", _short(f"turn {turn['key'].rpartition('_')[2]}: {said}"))
    what = turn["asked"]["arguments"]
    entity = f" {what['entity']}" if isinstance(what, dict) and "entity" in what else ""
    verb = VERBS.get(turn["error_code"], "failed")
    return Line(
        at, step, verb, _short(f"{turn['name']}{entity} → {turn['error_code'] or _result(turn['answer'])}")
    )


def _result(answer: Any) -> str:
    match answer:
        case {"records": list(records)}:
            return f"{len(records)} found" if records else "none"
        case {"created": bool(is_new), "id": identifier}:
            return f"{'created' if is_new else 'was there'}: {identifier}"
    return json.dumps(answer, ensure_ascii=False)


def _usage(agent: dict[str, Any]) -> str:
    cost = "" if agent["cost"] is None else f", {agent['cost']:.4f} US dollars"
    tokens = f"{agent['input_tokens']:,} tokens read, {agent['output_tokens']:,} written"
    return f"{agent['turns']} turns, {agent['tool_calls']} tool calls, {tokens}{cost}"


def _short(text: str) -> str:
    """One line of it. What a model wrote must not steer a terminal."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


# --- on paper -------------------------------------------------------------------------------------------


def _printed(line: Line, seconds: float, colour: bool) -> str:
    if not line.verb:
        return f"  {seconds:7.2f} s  {_painted('▌ ' + line.words, ASIDE_COLOUR, colour)}"
    verb = _painted(f"{line.verb:<10}", COLOURS.get(line.verb, ""), colour)
    return f"  {seconds:7.2f} s  {line.subject:<10} {verb} {line.words}".rstrip()


def _painted(text: str, code: str, colour: bool) -> str:
    return f"\033[{code}m{text}\033[0m" if colour and code else text
