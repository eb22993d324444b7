"""How much is said when a model is asked once more: all that was said before goes out again, and it is bounded here. Pure.

Tokens bound it as well, but those a provider counts, and one that counts too few must not make a question of 100 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from executions.agents.values import Exchange, Reply, Told, ToolSpec

MOST_BYTES: Final = 8 << 20  # of one question
PART_BYTES: Final = 256  # around one message, call, result or tool, in any provider's shape


class Conversation:
    """What a model was told, and what it said. `bytes` is at least what a question has as JSON when it is sent."""

    def __init__(self, instructions: str, prompt: str, tools: Iterable[ToolSpec]) -> None:
        self.instructions, self.prompt, self.tools = instructions, prompt, tuple(tools)
        self.exchanges: list[Exchange] = []
        self.bytes = 4 * PART_BYTES + _size(instructions) + _size(prompt)
        self.bytes += sum(
            PART_BYTES + _size([tool.name, tool.description, tool.parameters]) for tool in self.tools
        )

    def add(self, exchange: Exchange) -> None:
        reply, told = exchange
        self.exchanges.append(exchange)
        # Which of the two is sent is decided by the library's version.
        self.bytes += max(_size(reply.raw), _of_answer(reply)) + _of_told(told)


def _of_answer(reply: Reply) -> int:
    calls = sum(PART_BYTES + _size([call.id, call.name]) + _as_text(call.arguments) for call in reply.calls)
    return PART_BYTES + _size(reply.text) + calls


def _of_told(told: Told) -> int:
    results = sum(
        PART_BYTES + _size([result.id, result.name]) + _as_text(result.content) for result in told.results
    )
    return PART_BYTES + _size(told.text) + results


def _as_text(value: Any) -> int:
    """JSON inside a text of the question's JSON, which quotes it once more."""
    return _size(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
