"""Steps that end their process without a word, as a crash in native code or the kernel's memory killer would."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

from workflows.step_types import Completed, FastStepType, SlowStepType, StepContext, register


class KillerConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deaths: int = 1_000  # how many attempts, counted from the first, end their process


@register
class SlowKiller(SlowStepType[KillerConfig]):
    name = "slow_killer"
    lane = "http"
    summary = "Ends its process while it sends."
    Config = KillerConfig

    def freeze(self, config: KillerConfig) -> dict[str, Any]:
        return {"deaths": config.deaths}

    def send(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        if context.attempt <= request["deaths"]:
            os._exit(1)
        return {"attempt": context.attempt}

    def time_limit(self, request: dict[str, Any]) -> float:
        return 30.0


@register
class FastKiller(FastStepType[KillerConfig]):
    name = "fast_killer"
    summary = "Ends its process."
    Config = KillerConfig

    def run(self, config: KillerConfig, context: StepContext) -> Completed:
        if context.attempt <= config.deaths:
            os._exit(1)
        return Completed({"attempt": context.attempt})
