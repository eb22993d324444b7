"""Step types about the weather: one that computes, one that asks a service."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field

from executions import egress
from lightfield.kernel.catalogue import Entry, add
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from workflows.step_types import (
    Completed,
    FastStepType,
    SlowStepType,
    StepConfig,
    StepContext,
    StepOutput,
    register,
)

add(
    Entry("weather.unknown_place", False, None, "The service knows no such place.", "Correct the name."),
    Entry(
        "weather.unavailable", True, None, "The service cannot answer now.", "Nothing, if a retry succeeds."
    ),
)


class ConvertConfig(StepConfig):
    celsius: Annotated[float, Field(ge=-273.15)]


class ConvertOutput(StepOutput):
    fahrenheit: float


@register
class ConvertTemperature(FastStepType[ConvertConfig]):
    """Celsius to Fahrenheit, rounded to a hundredth."""

    name = "convert_temperature"
    summary = "Convert a temperature to Fahrenheit"
    Config = ConvertConfig
    Output = ConvertOutput

    def execute(self, config: ConvertConfig, context: StepContext) -> Completed:
        return Completed({"fahrenheit": round(config.celsius * 9 / 5 + 32, 2)})


class ForecastConfig(StepConfig):
    place: Annotated[str, Field(min_length=1, max_length=200)]
    days: Annotated[int, Field(ge=1, le=7)] = 1


class ForecastOutput(StepOutput):
    celsius: float
    sky: str


@register
class Forecast(SlowStepType[ForecastConfig]):
    """The weather at a place in so many days, as weather.example foresees it."""

    name = "forecast"
    lane = "http"
    summary = "Ask for the weather at a place"
    seconds = 10.0
    Config = ForecastConfig
    Output = ForecastOutput

    def execute(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        answer = egress.request(
            method="GET",
            url="https://weather.example/v1/forecast",
            params={"place": request["place"], "days": request["days"]},
            headers={"Idempotency-Key": context.idempotency_key},
            timeout_seconds=context.seconds_left(),
            before_sending=context.before_sending,
        )
        if answer.status_code == 404:
            raise PermanentStepError(
                "weather.unknown_place", sent=True, answered=True, place=request["place"]
            )
        if answer.status_code != 200:
            raise TransientStepError(
                "weather.unavailable", sent=True, answered=True, status_code=answer.status_code
            )
        told = json.loads(answer.body)
        return {"celsius": told["celsius"], "sky": told["sky"]}
