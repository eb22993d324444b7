"""Two shapes of one conversation: OpenAI's chat completions and Anthropic's messages, as a server reads and writes them.

Sources: OpenAI's API reference, "Create chat completion" and its streaming; Anthropic's, "Create a Message" and "Streaming messages".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Conversation:
    """What a model was sent. It knows nothing else: the same conversation is answered in the same way."""

    shape: str  # openai or anthropic
    model: str
    turn: int  # the how-manieth answer is wanted, from 1
    instructions: str
    texts: tuple[str, ...]  # of the user, in order
    results: tuple[Any, ...]  # of tools, in order, as JSON where they are
    tools: tuple[str, ...]  # names
    must_call: bool
    most_tokens: int | None
    body: dict[str, Any] = field(repr=False)


def read(shape: str, body: dict[str, Any]) -> Conversation:
    """Raises KeyError, TypeError, ValueError, AttributeError for what is no request of that shape."""
    instructions, texts, results = _text(body.get("system")), [], []
    turn = 1
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        if role in ("system", "developer"):
            instructions += _text(content)
        elif role == "assistant":
            turn += 1
        elif role == "tool":
            results.append(_json(_text(content)))
        else:
            texts.append(_text(content))
            results += [_json(_text(block.get("content"))) for block in _blocks(content, "tool_result")]
    tools = [tool["function"] if shape == "openai" else tool for tool in body.get("tools", ())]
    choice = body.get("tool_choice")
    return Conversation(
        shape=shape,
        model=body["model"],
        turn=turn,
        instructions=instructions,
        texts=tuple(filter(None, texts)),
        results=tuple(results),
        tools=tuple(tool["name"] for tool in tools),
        must_call=choice == "required"
        or (isinstance(choice, dict) and choice.get("type") in ("any", "tool")),
        most_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        body=body,
    )


def _blocks(content: Any, kind: str) -> list[dict[str, Any]]:
    return [block for block in content if block.get("type") == kind] if isinstance(content, list) else []


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(block["text"] for block in _blocks(content, "text"))
    return content if isinstance(content, str) else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


Answer = dict[str, Any]  # see `scripted_model`: text, calls, finish, usage


def answer(conversation: Conversation, said: Answer) -> dict[str, Any]:
    """The body of a success."""
    return (_completion if conversation.shape == "openai" else _message)(conversation, said)


def _calls(conversation: Conversation, said: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, call in enumerate(said.get("calls", ()), 1):
        yield call.get("id", f"call_{conversation.turn}_{number}"), call


def _usage(said: Answer) -> tuple[int, int, int]:
    usage = said.get("usage", {})
    return usage.get("input", 100), usage.get("output", 20), usage.get("cached", 0)


def _completion(conversation: Conversation, said: Answer) -> dict[str, Any]:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": call["name"], "arguments": _written(call)}}
        for call_id, call in _calls(conversation, said)
    ]
    message = {"role": "assistant", "content": said.get("text"), **({"tool_calls": calls} if calls else {})}
    read_in, written, cached = _usage(said)
    return {
        "id": f"chatcmpl-{conversation.turn}",
        "object": "chat.completion",
        "created": 1,
        "model": conversation.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": said.get("finish", "tool_calls" if calls else "stop"),
            }
        ],
        "usage": {
            "prompt_tokens": read_in,
            "completion_tokens": written,
            "total_tokens": read_in + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def _written(call: dict[str, Any]) -> str:
    arguments = call.get("arguments", {})
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def _message(conversation: Conversation, said: Answer) -> dict[str, Any]:
    """Of the tokens that went in, Anthropic counts those from its cache apart."""
    content: list[dict[str, Any]] = [{"type": "text", "text": said["text"]}] if said.get("text") else []
    for call_id, call in _calls(conversation, said):
        content.append(
            {"type": "tool_use", "id": call_id, "name": call["name"], "input": call.get("arguments", {})}
        )
    finish = said.get("finish", "tool_calls" if said.get("calls") else "stop")
    read_in, written, cached = _usage(said)
    return {
        "id": f"msg_{conversation.turn}",
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "content": content,
        "stop_reason": _STOP_REASONS.get(finish, finish),
        "stop_sequence": None,
        "usage": {
            "input_tokens": read_in - cached,
            "output_tokens": written,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
        },
    }


def refusal(shape: str, kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    """The body of an error."""
    if shape == "openai":
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def streamed(conversation: Conversation, said: Answer) -> bytes:
    """The same answer as server-sent events, which nobody asked for."""
    whole = answer(conversation, said)
    events: list[tuple[str, Any]]
    if conversation.shape == "openai":
        choice = whole["choices"][0]
        piece = {
            **whole,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": choice["message"]}],
        }
        events = [("", piece)]
    else:
        events = [
            ("message_start", {"type": "message_start", "message": whole}),
            ("message_stop", {"type": "message_stop"}),
        ]
    lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events]
    return "".join([*lines, "data: [DONE]\n\n" if conversation.shape == "openai" else ""]).encode()


def filled_in(said: Any, conversation: Conversation) -> Any:
    """A script's answer with what it takes out of the conversation; null where there is no such thing."""
    if isinstance(said, dict):
        if said.keys() == {"$result"}:
            return _result(said["$result"], conversation)
        if said.keys() == {"$find"}:
            found = re.search(said["$find"], "\n".join(conversation.texts))
            return found[1] if found else None
        return {name: filled_in(value, conversation) for name, value in said.items()}
    return [filled_in(item, conversation) for item in said] if isinstance(said, list) else said


def _result(path: str, conversation: Conversation) -> Any:
    number, *names = path.split(".")
    try:
        found = conversation.results[int(number) - 1]
        for name in names:
            found = found[int(name) if isinstance(found, list) else name]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return found
