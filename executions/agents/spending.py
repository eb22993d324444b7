"""What an agent has used, and its limits, each with a code of its own. Pure but for the monotonic clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from executions.agents.values import JsonObject, Usage
from lightfield.kernel.errors import PermanentStepError, StepError

ANSWER_TOKENS: Final = 8_192  # asked for at most, in one answer: more is refused by some models
SMALLEST_COST: Final = Decimal("0.00000001")  # US dollars, as journaled
LARGEST_COST: Final = Decimal("999999")


@dataclass
class Spending:
    """Of one step, over all its attempts. `limits` and `price` as in the frozen request."""

    limits: JsonObject
    price: JsonObject | None
    seconds_before: float  # of the journaled turns of earlier attempts
    began: float  # `time.monotonic()`
    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    def cost_of(self, usage: Usage) -> Decimal | None:
        """In US dollars; None when no price is known."""
        if self.price is None:
            return None
        dollars = usage.input_tokens * _decimal(self.price["input"])
        dollars += usage.output_tokens * _decimal(self.price["output"])
        return min(dollars / 1_000_000, LARGEST_COST).quantize(SMALLEST_COST)

    def count_turn(self, usage: Usage, cost: Decimal | None) -> None:
        self.turns += 1
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cost += cost or 0

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def deadline(self) -> float:
        """`time.monotonic()`"""
        return float(self.began + self.limits["seconds"] - self.seconds_before)

    @property
    def answer_tokens(self) -> int:
        """That the next answer may have."""
        return max(1, min(ANSWER_TOKENS, int(self.limits["tokens"]) - self.tokens))

    def usage(self) -> JsonObject:
        """As the step's output and errors tell it."""
        return {
            "turns": self.turns,
            "tool_calls": self.tool_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost": None if self.price is None else float(self.cost),
        }

    def check_turn(self) -> None:
        """Before a turn. Raises PermanentStepError: `ai.limit_*`, `ai.no_price`."""
        if self.turns >= self.limits["turns"]:
            raise self.over("ai.limit_turns", "turns")
        if self.tokens >= self.limits["tokens"]:
            raise self.over("ai.limit_tokens", "tokens")
        if self._most_cost is not None and self.cost >= self._most_cost:
            raise self.over("ai.limit_cost", "cost")
        self.check_seconds()

    def check_call(self) -> None:
        """Before a tool call. Raises as `check_turn`."""
        if self.tool_calls >= self.limits["tool_calls"]:
            raise self.over("ai.limit_tool_calls", "tool_calls")
        self.check_seconds()

    def check_answer(self) -> None:
        """After an answer, which may have taken more than was left. Raises as `check_turn`."""
        if self.tokens > self.limits["tokens"]:
            raise self.over("ai.limit_tokens", "tokens")
        if self._most_cost is not None and self.cost > self._most_cost:
            raise self.over("ai.limit_cost", "cost")

    def check_seconds(self) -> None:
        """Raises PermanentStepError: `ai.limit_seconds`."""
        if time.monotonic() >= self.deadline:
            raise self.over("ai.limit_seconds", "seconds")

    def judged(self, error: StepError) -> StepError:
        """An error that came when the time was over is that the time is over."""
        if error.retryable and time.monotonic() >= self.deadline:
            late = self.over("ai.limit_seconds", "seconds", cause=error.code)
            late.sent, late.answered = error.sent or late.sent, error.answered or late.answered
            return late
        return error

    def over(self, code: str, name: str, **more: Any) -> PermanentStepError:
        """It has come to this limit."""
        return self.failure(code, f"limits.{name} is {self.limits[name]}.", limit=self.limits[name], **more)

    def failure(self, code: str, message: str = "", **more: Any) -> PermanentStepError:
        """The end of the step, with what it has used."""
        has_asked = self.turns > 0
        return PermanentStepError(
            code, message, sent=has_asked, answered=has_asked, usage=self.usage(), **more
        )

    @property
    def _most_cost(self) -> Decimal | None:
        if self.limits.get("cost") is None:
            return None
        if self.price is None:
            raise self.failure("ai.no_price")
        return _decimal(self.limits["cost"])


def _decimal(number: Any) -> Decimal:
    return Decimal(str(number))
