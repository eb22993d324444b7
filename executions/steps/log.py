"""`log`: write a message to the run's timeline. The smallest step type; copy it to make another."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from workflows.step_types import Completed, FastStepType, StepConfig, StepContext, StepOutput, register

MESSAGE_LIMIT = 10_000  # characters, after its templates are filled in


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


Message = Annotated[str, Field(max_length=MESSAGE_LIMIT)]


class LogConfig(StepConfig):
    message: Annotated[Message, BeforeValidator(_as_text)]


class LogOutput(StepOutput):
    message: str


@register
class Log(FastStepType[LogConfig]):
    """Write a message to the timeline.

    Config: `message`; a value that is not text is written as JSON, null as nothing.

    Output: `{"message": <text>}`.
    """

    name = "log"
    summary = "Write a message to the timeline"
    Config = LogConfig
    Output = LogOutput

    def execute(self, config: LogConfig, context: StepContext) -> Completed:  # noqa: ARG002  as all steps
        return Completed({"message": config.message}, logged=config.message)
