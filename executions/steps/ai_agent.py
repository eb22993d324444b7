"""`ai_agent`: a model is asked, and may use the tools that the step permits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue, field_validator

from executions.agents import described, provided, schemas
from executions.agents.permissions import flaws_of_tools, warnings_of
from executions.agents.values import ModelSpec
from executions.secrets import written_out
from lightfield.kernel import strict_json
from lightfield.kernel.errors import PermanentStepError, Problem, StepError
from workflows.data_text import DataSlot, pieces_of
from workflows.expressions import templates_in
from workflows.secret_text import SecretSlot, SecretText
from workflows.shapes import ANYTHING, TEXT, Schema, of_fields
from workflows.step_types import JsonObject, SlowStepType, StepConfig, StepContext, register

MOST_CHARACTERS: Final = 256 * 1024  # of instructions and prompt together, data as JSON
FIXED: Final = ("model", "base_url", "output_schema", "tools", "limits")  # when the workflow is published
OR_NULL: Final = {"anyOf": [{"type": "number"}, {"type": "null"}]}
# Where a model is asked follows from the worker's environment too: what this process lacks, a worker may have.
OF_THE_WORKER: Final = "ai.no_key"


class AgentLimits(StepConfig):
    turns: int = Field(10, ge=1, le=100, description="Answers of the model.")
    tool_calls: int = Field(20, ge=0, le=200, description="Refused and failed ones included.")
    tokens: int = Field(100_000, ge=1, le=10_000_000, description="Read and written, over all turns.")
    seconds: float = Field(120, ge=1, le=600, description="Of work in all, whatever the number of attempts.")
    cost: float | None = Field(None, gt=0, le=1_000_000, description="US dollars; needs the model's price.")


class AiAgentConfig(StepConfig):
    model: Annotated[str, Field(min_length=1, max_length=220)] | None = Field(
        None, description="such as openai:gpt-5 or anthropic:claude-…; null: the installation's"
    )
    base_url: Annotated[str, Field(min_length=1, max_length=2048)] | None = Field(
        None, description="of an API like the provider's; null: the installation's, or the provider's own"
    )
    api_key: SecretSlot | None = Field(None, description="{{ secret.name }}; null: the installation's")
    instructions: DataSlot = Field("", description="Who the model is and what it must do.")
    prompt: DataSlot = Field(description="This task, with its data.")
    output_schema: dict[str, JsonValue] | None = Field(
        None, description="JSON Schema (2020-12) of the output; null: it is text"
    )
    tools: list[dict[str, JsonValue]] = Field(
        default_factory=list, max_length=50, description="What the step permits; nothing else can be done."
    )
    limits: AgentLimits = Field(
        default_factory=AgentLimits, description="turns, tool_calls, tokens, seconds and cost"
    )

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> JsonObject:
        """With the kinds of permissions that are installed."""
        return described.with_kinds(super().model_json_schema(*args, **kwargs))

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: DataSlot) -> DataSlot:
        if not str(prompt).strip():
            raise ValueError("The prompt is empty: say what the agent is to do.")
        return prompt


@register
class AiAgent(SlowStepType[AiAgentConfig]):
    """Ask a model, turn by turn, until it gives its output; do what it asks for by tools where the step permits it.

    Config: see `AiAgentConfig`. Only `instructions`, `prompt` and `api_key` take templates: what an agent may do, where it is
        asked and what bounds it is fixed when the workflow is published. What templates fill in is data: it reaches the
        model marked as such.

    Output: `{"output": text, or what output_schema says, "usage": {"turns", "tool_calls", "input_tokens",
        "output_tokens", "cost"}, "tool_calls": [{"name", "arguments", "result", "error"}]}`; `cost` in US dollars, null when
        no price is known.

    Delivery: every turn and tool call is journaled. What a tool writes is written exactly once; what it sends goes out
        under one key; a finished turn is never asked again, one that was lost with its worker is asked again.

    Raises:
        TransientStepError: the provider cannot be reached or takes no more (`ai.rate_limited`, `ai.overloaded`,
            `ai.unavailable`, `ai.invalid_answer`, `http.*`); honours `Retry-After` in seconds.
        PermanentStepError: `ai.limit_*`, `ai.invalid_output`, what the provider refuses, and a request that cannot be made.
    """

    name = "ai_agent"
    lane = "ai"
    summary = "Ask a model, with tools that you permit"
    Config = AiAgentConfig
    freezes_early = True

    def output_schema(self, config: JsonObject) -> Schema:
        own = config.get("output_schema")
        if _flaws_of_schema(own):  # of a draft: told by `unpublishable`; until it is mended nothing is known
            own = ANYTHING
        counts = ("turns", "tool_calls", "input_tokens", "output_tokens")
        usage = {name: {"type": "integer"} for name in counts} | {"cost": OR_NULL}
        call = of_fields({"name": TEXT, "arguments": ANYTHING, "result": ANYTHING, "error": ANYTHING})
        schema = of_fields(
            {
                "output": own if isinstance(own, dict) else TEXT,
                "usage": of_fields(usage),
                "tool_calls": {"type": "array", "items": call},
            }
        )
        # References look for their parts at the top.
        return {**schema, "$defs": own["$defs"]} if isinstance(own, dict) and "$defs" in own else schema

    def unpublishable(self, config: JsonObject) -> list[Problem]:
        return [
            Problem(
                pointer,
                "config.template_not_allowed",
                "This is fixed when the workflow is published: write the value itself.",
            )
            for name in FIXED
            for pointer, _ in templates_in(config.get(name), f"/{name}")
        ] or [
            *_flaws_of_model(config),
            *_flaws_of_schema(config.get("output_schema")),
            *flaws_of_tools(config.get("tools") or []),
        ]

    def warnings(self, config: JsonObject, origins: Mapping[str, str]) -> list[Problem]:
        return [*written_out.in_slot(config.get("api_key"), "/api_key"), *warnings_of(config, origins)]

    def secrets_go_to(self, config: JsonObject) -> object:
        try:
            return _model(config).base_url
        except (StepError, TypeError, AttributeError):  # told by `unpublishable`, or by the config's model
            return config.get("base_url")

    def freeze(self, config: AiAgentConfig) -> JsonObject:
        """The question as every attempt asks it; see `executions.agents`.

        Raises:
            PermanentStepError: `ai.no_model`, `ai.no_key`, `ai.no_price`, `ai.context_too_long`, `egress.invalid_url`,
                `egress.denied_scheme`, `config.invalid`.
        """
        model = provided.model_of(config.model, config.base_url, config.api_key)
        price = _price(model, config.limits.cost)
        texts = {"instructions": pieces_of(config.instructions), "prompt": pieces_of(config.prompt)}
        _check_length(texts)
        return {
            "model": {
                "provider": model.provider,
                "name": model.name,
                "base_url": model.base_url,
                "api_key": None if model.api_key is None else list(model.api_key),
            },
            **texts,
            "output_schema": config.output_schema,
            "tools": config.tools,
            "limits": config.limits.model_dump(mode="json"),
            "price": price,
        }

    def execute(self, request: JsonObject, context: StepContext) -> JsonObject:
        from executions.agents import loop  # a worker of this lane alone needs all that it takes

        return loop.run(request, context)

    def time_limit(self, request: JsonObject) -> float:
        from executions.agents import loop

        return loop.time_limit(request)


def _model(config: Mapping[str, Any]) -> ModelSpec:
    """The model of a config whose templates are not filled in. Raises as `provided.model_of`."""
    key = config.get("api_key")
    return provided.model_of(
        config.get("model"), config.get("base_url"), None if key is None else SecretText(["a key"])
    )


def _price(model: ModelSpec, cost: float | None) -> dict[str, float] | None:
    """Raises PermanentStepError: `ai.no_price`, when a cost is to be counted."""
    price = provided.price_of(model)
    if price is None and cost is not None:
        raise PermanentStepError(
            "ai.no_price", f"The cost is limited, and no price of {model.name} is known."
        )
    return price


def _flaws_of_model(config: JsonObject) -> list[Problem]:
    """What can be known of it before it is asked, by the settings of this process."""
    try:
        model = _model(config)
    except PermanentStepError as error:
        if error.code == OF_THE_WORKER and _is_installed(config):
            return []
        place = (
            "/base_url"
            if error.code.startswith("egress.")
            else "/api_key"
            if error.code == OF_THE_WORKER
            else "/model"
        )
        return [Problem(place, error.code, error.message)]
    try:
        _price(model, (config.get("limits") or {}).get("cost"))
    except PermanentStepError as error:
        return [Problem("/limits/cost", error.code, error.message)]
    return []


def _is_installed(config: JsonObject) -> bool:
    model = config.get("model")
    return not model or provided.named(model)[0] == provided.installed_provider()


def _flaws_of_schema(schema: Any) -> list[Problem]:
    found = [] if schema is None else schemas.flaws_in(schema)
    return [replace(problem, pointer=f"/output_schema{problem.pointer}") for problem in found]


def _check_length(texts: Mapping[str, Any]) -> None:
    """Raises PermanentStepError: `ai.context_too_long`; the metadata has the characters of each text."""
    lengths = {name: sum(_length(piece) for piece in pieces) for name, pieces in texts.items()}
    if (total := sum(lengths.values())) > MOST_CHARACTERS:
        raise PermanentStepError(
            "ai.context_too_long",
            f"Instructions and prompt have {total:,} characters with their data; {MOST_CHARACTERS:,} are allowed.",
            characters=lengths,
        )


def _length(piece: Any) -> int:
    if isinstance(piece, str):
        return len(piece)
    value = piece["data"]
    return len(value) if isinstance(value, str) else len(strict_json.canonical(value))
