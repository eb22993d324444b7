"""The transcript of an agent step as its run's page shows it: what was asked, what was answered, what was done, what it cost."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from executions.agents.figures import Figures, figures_of, model_in
from executions.agents.models import AgentTurn, TurnKind
from executions.agents.transcript import answer_of, asked_of, turns_for_page
from executions.agents.values import FINAL
from executions.models import StepRun
from executions.states import StepStatus
from lightfield.kernel import plain_words
from lightfield.kernel.catalogue import CATALOGUE, Entry

MOST_TURNS: Final = 200  # of one step in a page; the API pages through all of them
LONGEST_ANSWER: Final = 32 * 1024  # characters of one answer in a page; the API has all of it
LONGEST_IN_LINE: Final = 80  # characters of data between the author's words
REFUSED: Final = "ai.permission_denied"


@dataclass(frozen=True)
class Piece:
    """Of what was asked: the author's words, or data that a template filled in."""

    text: str
    source: str = ""  # where the data is from: "trigger.email"
    is_data: bool = False

    @property
    def is_block(self) -> bool:
        """Whether it stands on lines of its own."""
        return self.is_data and (len(self.text) > LONGEST_IN_LINE or "\n" in self.text)


@dataclass(frozen=True)
class Gauge:
    """How far a limit is used."""

    name: str
    used: str
    limit: str
    percent: int  # at most 100

    @property
    def is_full(self) -> bool:
        return self.percent >= 100


@dataclass(frozen=True)
class Turn:
    """One line of the transcript, with what hangs on it."""

    row: AgentTurn
    seconds: float | None  # None: it goes on
    text: str  # of a model
    calls: list[str]  # the tools that a model wants
    final: Any  # the output that a model gave for a schema; None: none
    arguments: Any
    request: dict[str, Any] | None
    result: Any
    too_long: str  # the size of an answer that is too long for a page

    @property
    def is_model(self) -> bool:
        return self.row.kind == TurnKind.MODEL

    @property
    def is_refused(self) -> bool:
        return self.row.error_code == REFUSED

    @property
    def entry(self) -> Entry | None:
        """What the catalogue says about its error."""
        return CATALOGUE.get(self.row.error_code or "")

    @property
    def symbol(self) -> str:
        if self.is_model:
            return "forum"
        return "block" if self.is_refused else "error" if self.row.error_code else "build"

    @property
    def tone(self) -> str:
        if self.row.finished_at is None:
            return "busy"
        if self.row.error_code:
            return "bad"
        return "none" if self.is_model else "good"


@dataclass(frozen=True)
class Transcript:
    model: str | None
    figures: Figures
    instructions: list[Piece]
    prompt: list[Piece]
    tools: list[Any]  # permissions, as the step lists them
    gauges: list[Gauge]
    turns: list[Turn]
    more_turns: int
    is_live: bool

    @property
    def is_long(self) -> bool:
        """Whether what was asked is folded."""
        return sum(len(piece.text) for piece in (*self.instructions, *self.prompt)) > 1200


def transcripts_of(steps: Iterable[StepRun], requests: dict[int, dict[str, Any]]) -> dict[int, Transcript]:
    """By step run id, of the agents among these steps. Three queries, and none when there is no agent.

    `requests`: what was fixed for each, as people may see it.
    """
    by_id = {step.pk: step for step in steps}
    used = figures_of(by_id.values())
    if not used:
        return {}
    turns: dict[int, list[Turn]] = defaultdict(list)
    for row in turns_for_page([*used], most=MOST_TURNS, longest=LONGEST_ANSWER):
        turns[row.step_run_id].append(_turn(row))
    return {
        pk: _transcript(by_id[pk], figures, requests.get(pk) or {}, turns[pk]) for pk, figures in used.items()
    }


def _transcript(step: StepRun, figures: Figures, request: dict[str, Any], turns: list[Turn]) -> Transcript:
    return Transcript(
        model=figures.model or model_in(request),
        figures=figures,
        instructions=_pieces(request.get("instructions")),
        prompt=_pieces(request.get("prompt")),
        tools=request.get("tools") or [],
        gauges=_gauges(figures),
        turns=turns,
        more_turns=max(0, figures.turns + figures.tool_calls - len(turns)),
        is_live=step.status == StepStatus.RUNNING,
    )


def _turn(row: AgentTurn) -> Turn:
    told, asked = answer_of(row), asked_of(row) or {}
    is_model = row.kind == TurnKind.MODEL and isinstance(told, dict)
    calls = [call for call in told.get("calls") or [] if isinstance(call, dict)] if is_model else []
    length = row.told_length or 0  # type: ignore[attr-defined]  # annotated
    return Turn(
        row=row,
        seconds=(row.finished_at - row.started_at).total_seconds() if row.finished_at else None,
        text=str(told.get("text") or "") if is_model else "",
        calls=[str(call.get("name", "")) for call in calls if call.get("name") != FINAL],
        final=next((call.get("arguments") for call in calls if call.get("name") == FINAL), None),
        arguments=asked.get("arguments"),
        request=asked.get("request"),
        result=None if row.kind == TurnKind.MODEL else told,
        too_long=plain_words.size(length) if told is None and length > LONGEST_ANSWER else "",
    )


def _pieces(raw: Any) -> list[Piece]:
    """Of a frozen text. What is not in the form that the step type writes is shown as data: nobody vouches for it."""
    pieces: list[Piece] = []
    for piece in raw if isinstance(raw, list) else [] if raw in (None, "") else [{"data": raw}]:
        if isinstance(piece, str):
            after_block = bool(pieces) and pieces[-1].is_block
            pieces.append(Piece(piece.removeprefix("\n") if after_block else piece))
        elif isinstance(piece, dict):
            pieces.append(Piece(_as_text(piece.get("data")), str(piece.get("from") or ""), is_data=True))
        else:
            pieces.append(Piece(_as_text(piece), is_data=True))
    return pieces


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _gauges(figures: Figures) -> list[Gauge]:
    """One for each limit that the step has."""
    limits = figures.limits or {}
    used: list[tuple[str, str, float, Any]] = [
        ("Turns", "turns", figures.turns, _count),
        ("Tool calls", "tool_calls", figures.tool_calls, _count),
        ("Tokens", "tokens", figures.tokens, _count),
        ("Time", "seconds", figures.seconds, plain_words.length),
        ("Cost", "cost", float(figures.cost or 0), plain_words.money),
    ]
    return [
        Gauge(name, words(amount), words(limits[key]), min(100, int(100 * amount / limits[key])))
        for name, key, amount, words in used
        if isinstance(limits.get(key), int | float) and limits[key] > 0
    ]


def _count(number: float) -> str:
    return f"{number:,.0f}"
