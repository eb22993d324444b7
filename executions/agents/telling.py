"""What was answered as a row of the journal and back, and the output of the step. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from executions.agents import keeping
from executions.agents.journal import Turn
from executions.agents.models import TurnKind
from executions.agents.values import CallWanted, JsonObject, Reply, Usage
from executions.redaction import without_secrets
from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

CALLS_BYTES: Final = 200_000  # of all calls in a step's output, arguments and results
CALLS_VALUES: Final = 3_000
BESIDE_VALUES: Final = 4_500  # of an output's 10,000: those, and the objects around them
LONGEST_TOLD: Final = 2_000  # characters of one of them


def turn_of(reply: Reply, turn: Turn, cost: Decimal | None, seconds: float) -> Turn:
    """A model's answer as a row; `turn` is that row as it would be, named as the request names the model."""
    answer = asdict(reply)
    usage, model = answer.pop("usage"), answer.pop("model")
    return Turn(
        turn.number,
        TurnKind.MODEL,
        turn.key,
        model or turn.name[: keeping.LONGEST_MODEL],
        answer={**answer, "calls": list(answer["calls"])},
        cost=cost,
        seconds=seconds,
        **usage,
    )


def reply_of(turn: Turn) -> Reply:
    """And back."""
    answer = turn.answer
    return Reply(
        text=answer["text"],
        calls=tuple(CallWanted(**call) for call in answer["calls"]),
        usage=Usage(turn.input_tokens, turn.output_tokens),
        model=turn.name,
        finish=answer["finish"],
        raw=answer["raw"],
    )


def output_of(output: Any, usage: JsonObject, turns: Sequence[Turn]) -> JsonObject:
    """The output of the step, small enough to be kept whatever the calls were."""
    calls = [turn for turn in turns if turn.kind == TurnKind.TOOL]
    # A character has up to four bytes, and there are arguments and a result of each.
    most_chars = min(LONGEST_TOLD, CALLS_BYTES // (8 * max(len(calls), 1)))
    most_values = CALLS_VALUES // (2 * max(len(calls), 1))
    return {
        "output": output,
        "usage": usage,
        "tool_calls": [_told(turn, most_chars, most_values) for turn in calls],
    }


def _told(turn: Turn, most_chars: int, most_values: int) -> JsonObject:
    has_failed = turn.error_code is not None
    return {
        "name": turn.name,
        "arguments": keeping.brief(shown(turn.asked or {}), most_chars, most_values),
        "result": None if has_failed else keeping.brief(turn.answer, most_chars, most_values),
        "error": turn.error_code,
    }


def shown(asked: JsonObject) -> Any:
    """The arguments of a call as people and later steps may see them: fields that say that they are secret, without values."""
    return without_secrets(asked.get("arguments"))


def flaws_of_output(value: Any) -> list[JsonObject]:
    """Why it cannot be kept as a part of the step's output, where it lies deeper and beside the calls. Empty: it can."""
    try:
        strict_json.check([[value], *[0] * BESIDE_VALUES])
    except RequestRefused as refusal:
        return [{"pointer": "", "detail": refusal.message}]
    return []
