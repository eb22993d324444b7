"""`sleep`: wait without holding a worker. The wait is a row, so a restart does not shorten it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from workflows.step_types import FastStepType, StepConfig, StepContext, StepOutput, Wait, register

YEAR_SECONDS = 365 * 86_400


def _not_a_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Expected a number.")  # pydantic would read true as 1
    return value


Seconds = Annotated[float, Field(ge=0, le=YEAR_SECONDS)]


class SleepConfig(StepConfig):
    seconds: Annotated[Seconds, BeforeValidator(_not_a_truth_value)]


class SleepOutput(StepOutput):
    until: str


@register
class Sleep(FastStepType[SleepConfig]):
    """Wait, then go on.

    Config: `seconds`, 0 to 31,536,000 (a year); fractions are kept.

    Output: `{"until": <instant>}`, set by the engine from the database's clock.
    """

    name = "sleep"
    summary = "Wait for some time"
    Config = SleepConfig
    Output = SleepOutput

    def execute(self, config: SleepConfig, context: StepContext) -> Wait:  # noqa: ARG002  as all steps
        return Wait(config.seconds)
