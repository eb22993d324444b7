"""What an agent may be permitted about the weather: to ask for it, at places that its step names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from executions import egress
from executions.agents.tools import AnyGrant, Grant, Tool, ToolContext, ToolKind, register
from executions.agents.tools.arguments import denied, flaws_in, readable, shown
from executions.agents.values import ToolSpec
from lightfield.kernel.errors import Problem


class WeatherGrant(Grant):
    type: Literal["weather"]
    places: Annotated[list[str], Field(min_length=1, max_length=50)]


class WeatherTool(Tool):
    """`{"celsius", "sky"}`."""

    effect = "sends"

    def __init__(self, places: frozenset[str]) -> None:
        self.places = places
        self.spec = ToolSpec(
            "weather",
            "The weather now.",
            {
                "type": "object",
                "properties": {"place": {"type": "string", "enum": sorted(places)}},
                "required": ["place"],
                "additionalProperties": False,
            },
        )

    def judge(self, arguments: dict[str, Any]) -> None:
        place = arguments.get("place")
        if not isinstance(place, str) or place not in self.places:
            raise denied(
                f"ask for {shown(place)}", f"This step may ask for {', '.join(sorted(self.places))}."
            )

    def freeze(self, arguments: dict[str, Any], context: ToolContext) -> dict[str, Any]:
        self.judge(readable(arguments))
        return {"place": arguments["place"]}

    def call(self, asked: dict[str, Any], context: ToolContext) -> Any:
        self.judge(asked)
        answer = egress.request(
            method="GET",
            url="https://weather.example/v1/now",
            params={"place": asked["place"]},
            headers={"Idempotency-Key": context.key},
            timeout_seconds=context.seconds_left(),
            before_sending=context.before_sending,
            turn=egress.Turn(is_retry=context.is_retry, held_for=context.held_for),
        )
        if answer.status_code != 200:
            return {"status_code": answer.status_code}
        told = json.loads(answer.body)
        return {"celsius": told["celsius"], "sky": told["sky"]}


@register
class Weather(ToolKind[WeatherGrant]):
    name = "weather"
    summary = "Ask for the weather at some places"
    Grant = WeatherGrant
    sends_out = True
    reads_outside = True

    def unpublishable(self, grant: dict[str, Any]) -> list[Problem]:
        return flaws_in(WeatherGrant, grant)

    def tools(self, grants: Sequence[WeatherGrant], all_grants: Sequence[AnyGrant]) -> list[Tool]:
        return [WeatherTool(frozenset(place for grant in grants for place in grant.places))]
