"""A question as pydantic-ai's messages, and its answer as ours. The only other file that knows those types is `models_asked`."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition

from executions.agents.values import (
    CallResult,
    CallWanted,
    Exchange,
    JsonObject,
    Question,
    Reply,
    Told,
    Usage,
)
from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

NAME_CHARS: Final = 200  # of a tool or model, as a row of the journal can keep it
MOST_TOKENS: Final = (1 << 31) - 1  # of one answer, as a row can keep them
CHARS_OF_A_TOKEN: Final = 4  # where a provider does not count: so many bytes are reckoned as one
_NOT_MADE: Final = "This call was not made."
_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}


def parameters(question: Question) -> ModelRequestParameters:
    """Instructions and tools. A tool's schema goes out as it is: the strict form that some providers have knows less."""
    tools = [
        ToolDefinition(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=tool.parameters,
            strict=False,
        )
        for tool in question.tools
    ]
    return ModelRequestParameters(
        function_tools=tools,
        allow_text_output=not (question.must_call and tools),
        instruction_parts=[InstructionPart(content=question.instructions)] if question.instructions else None,
    )


def messages(question: Question) -> list[ModelMessage]:
    """All that was said so far."""
    said: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart(content=question.prompt)])]
    for exchange in question.exchanges:
        said += _exchange(exchange)
    return said


def _exchange(exchange: Exchange) -> tuple[ModelResponse, ModelRequest]:
    reply, told = exchange
    parts: list[Any] = [_result(result) for result in _results(reply, told)]
    if told.text or not parts:
        parts.append(UserPromptPart(content=told.text or "Go on."))
    return _kept(reply.raw) or _rebuilt(reply), ModelRequest(parts=parts)


def _results(reply: Reply, told: Told) -> list[CallResult]:
    """One for each call, in their order: providers refuse a history in which one is missing."""
    given = {result.id: result for result in told.results}
    return [
        given.get(call.id) or CallResult(call.id, call.name, _NOT_MADE, is_error=True) for call in reply.calls
    ]


def _result(result: CallResult) -> ToolReturnPart:
    """As text: what a tool found must not be taken for a file or a link that the library would fetch."""
    content = result.content
    return ToolReturnPart(
        tool_name=result.name,
        content=content if isinstance(content, str) else _spelled(content),
        tool_call_id=result.id,
        outcome="failed" if result.is_error else "success",
    )


def _spelled(value: Any) -> str:
    """Alike whether it was just told or comes from the journal, whose jsonb sorts fields: what was said before stays as it was
    said, and a provider that remembers beginnings finds this one."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _kept(raw: JsonObject | None) -> ModelResponse | None:
    """The answer as the library kept it: with what only its provider understands, signed thoughts for one."""
    if raw is None:
        return None
    try:
        (kept,) = ModelMessagesTypeAdapter.validate_python([raw])
    except (ValidationError, ValueError):
        return None  # of another version of the library
    return kept if isinstance(kept, ModelResponse) else None


def _rebuilt(reply: Reply) -> ModelResponse:
    parts: list[Any] = [TextPart(content=reply.text)] if reply.text or not reply.calls else []
    parts += [
        ToolCallPart(
            call.name,
            call.arguments if isinstance(call.arguments, str) else _spelled(call.arguments),
            tool_call_id=call.id,
        )
        for call in reply.calls
    ]
    return ModelResponse(parts=parts)


def reply(response: ModelResponse, *, asked_bytes: int, answered_bytes: int) -> Reply:
    """The answer in our words. `asked_bytes`, `answered_bytes`: of the two bodies, for providers that count no tokens."""
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    refusal = (response.provider_details or {}).get("refusal")
    usage = Usage(_tokens(response.usage.input_tokens), _tokens(response.usage.output_tokens))
    if not (usage.input_tokens or usage.output_tokens):
        usage = Usage(_reckoned(asked_bytes), _reckoned(answered_bytes))
    return Reply(
        text="".join(texts) or (refusal if isinstance(refusal, str) else ""),
        calls=tuple(_call(part) for part in response.parts if isinstance(part, ToolCallPart)),
        usage=usage,
        model=(response.model_name or "")[:NAME_CHARS],
        finish=_FINISH.get(response.finish_reason or "", "unknown"),  # type: ignore[arg-type]  # every value of it is a finish
        raw=ModelMessagesTypeAdapter.dump_python([response], mode="json")[0],
    )


def _call(part: ToolCallPart) -> CallWanted:
    return CallWanted(part.tool_call_id, part.tool_name[:NAME_CHARS], _arguments(part.args))


def _arguments(given: Any) -> JsonObject | str:
    """An object that can be kept, or the text as it came."""
    if given is None or given == "":
        return {}
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    try:
        read = strict_json.parse(text.encode("utf-8", "replace"))
    except RequestRefused:
        return text.translate({0: "\ufffd"})
    return read if isinstance(read, dict) else text


def _tokens(counted: Any) -> int:
    return min(max(int(counted), 0), MOST_TOKENS) if isinstance(counted, int | float) else 0


def _reckoned(size: int) -> int:
    return -(-size // CHARS_OF_A_TOKEN)
