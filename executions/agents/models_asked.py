"""Asking models of OpenAI's and Anthropic's shape, by pydantic-ai. Importing this takes seconds and 90 MB: only workers of the lane
`ai` do, before they claim their first step (`asking.prepare`)."""

from __future__ import annotations

import logging
import re
from collections.abc import Coroutine
from typing import Any, Final

import httpx2
from anthropic import AsyncAnthropic
from anthropic._base_client import get_platform as anthropics_platform
from openai import AsyncOpenAI
from openai._base_client import get_platform as openais_platform
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings

from executions.agents import conversations
from executions.agents.provided import PUBLIC
from executions.agents.transport import QuestionTransport, finished
from executions.agents.values import ModelSpec, Question, Reply
from lightfield.kernel.errors import PermanentStepError

PLACEHOLDER: Final = "no-key"  # all that a library ever has of an API key
# Names that say that OpenAI's own models answer, whatever stands in between.
_OPENAIS = re.compile(r"(?:.*/)?(?:gpt-|chatgpt-|o[1-9])")

for _name in ("httpx2", "openai", "anthropic"):
    # A line for each request, which the timeline tells anyway.
    logging.getLogger(_name).setLevel(logging.WARNING)


def ask_model(question: Question) -> Reply:
    """Send at most one request for the question, and return the model's answer. See `asking.Asks`.

    Raises:
        PermanentStepError: what the provider will not do however often it is asked (`model_errors`), `ai.no_key`, `secret.*`,
            `egress.*`, and `config.invalid` for a question that cannot be put into the provider's shape.
        TransientStepError: overload, limits and outages, `ai.invalid_answer`, and the `http.*` of an answer that did not come.
        LostRace: what `before_sending` raises.
    """
    transport = QuestionTransport(question)
    try:
        response = finished(_asked(question, transport))
        assert transport.answer is not None
        return conversations.reply(
            response, asked_bytes=transport.asked_bytes, answered_bytes=len(transport.answer.body)
        )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  libraries raise what they like at what a stranger answers
        if transport.error is not None:  # whatever the library has made of it
            raise transport.error from None
        if transport.answer is None:
            raise PermanentStepError(
                "config.invalid",
                f"The question cannot be put to {question.model.provider}: {_short(error)}",
                model=question.model.name,
            ) from None
        raise transport.invalid(_short(error)) from None


def _asked(question: Question, transport: QuestionTransport) -> Coroutine[Any, Any, ModelResponse]:
    # A new client for each question takes 0.2 ms, and shares nothing with any other: no cookie, no header, no connection.
    http = httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)
    model = _MAKERS[question.model.provider](question.model, http, question.seconds)
    return model.request(
        conversations.messages(question),
        ModelSettings(max_tokens=question.most_output_tokens),
        conversations.parameters(question),
    )


def _openai(spec: ModelSpec, http: httpx2.AsyncClient, seconds: float) -> Model[Any]:
    client = AsyncOpenAI(
        api_key=PLACEHOLDER, base_url=spec.base_url, http_client=http, max_retries=0, timeout=seconds
    )
    client._platform = openais_platform()  # it would ask in a thread, for which it needs an event loop
    if spec.base_url == PUBLIC["openai"]:
        return OpenAIChatModel(spec.name, provider=OpenAIProvider(openai_client=client))
    profile = OpenAIModelProfile(
        openai_chat_supports_max_completion_tokens=bool(_OPENAIS.match(spec.name))  # others know max_tokens
    )
    provider = OpenAICompatibleProvider("openai-compatible", openai_client=client)
    return OpenAIChatModel(spec.name, provider=provider, profile=profile)


def _anthropic(spec: ModelSpec, http: httpx2.AsyncClient, seconds: float) -> Model[Any]:
    client = AsyncAnthropic(
        api_key=PLACEHOLDER, base_url=spec.base_url, http_client=http, max_retries=0, timeout=seconds
    )
    client._platform = anthropics_platform()
    return AnthropicModel(spec.name, provider=AnthropicProvider(anthropic_client=client))


_MAKERS: Final = {"openai": _openai, "anthropic": _anthropic}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
