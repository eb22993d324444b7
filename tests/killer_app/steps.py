"""Steps that end their process without a word, as a crash in native code or the kernel's memory killer would."""

from __future__ import annotations

import os
import signal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from workflows.step_types import Completed, FastStepType, SlowStepType, StepContext, register

Way = Literal["exit", "signal", "memory", "hang"]
BLOCK = 16 << 20  # bytes


class KillerConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deaths: int = 1_000  # how many attempts, counted from the first, end their process
    way: Way = "exit"


def die(way: Way) -> None:
    """End this process, or give it no other way to end."""
    if way == "exit":
        os._exit(1)
    if way == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if way == "memory":
        hoard: list[bytearray] = []
        while True:
            hoard.append(bytearray(BLOCK))
    while True:
        signal.pause()


@register
class SlowKiller(SlowStepType[KillerConfig]):
    name = "slow_killer"
    lane = "http"
    summary = "Ends its process while it sends."
    Config = KillerConfig

    def freeze(self, config: KillerConfig) -> dict[str, Any]:
        return {"deaths": config.deaths, "way": config.way}

    def execute(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        if context.attempt <= request["deaths"]:
            die(request["way"])
        return {"attempt": context.attempt}

    def time_limit(self, request: dict[str, Any]) -> float:
        return 30.0


@register
class FastKiller(FastStepType[KillerConfig]):
    name = "fast_killer"
    summary = "Ends its process."
    Config = KillerConfig

    def execute(self, config: KillerConfig, context: StepContext) -> Completed:
        if context.attempt <= config.deaths:
            die(config.way)
        return Completed({"attempt": context.attempt})


@register
class Witness(SlowStepType[KillerConfig]):
    name = "witness"
    lane = "http"
    summary = "Tells what its process is like."
    Config = KillerConfig

    def freeze(self, config: KillerConfig) -> dict[str, Any]:
        return {}

    def execute(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        kinds = [
            os.readlink(f"/proc/self/fd/{number}").split(":")[0]
            for number in os.listdir("/proc/self/fd")[:-1]
        ]
        return {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "input": os.readlink("/proc/self/fd/0"),
            "sockets": kinds.count("socket"),
        }

    def time_limit(self, request: dict[str, Any]) -> float:
        return 30.0
