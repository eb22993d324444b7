"""Which models there are: what a step names, what the installation sets (LIGHTFIELD_AI_*), and what they cost. Nothing is imported
that speaks with models."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from django.conf import settings

from executions.agents.values import ModelSpec, Provider
from executions.egress.urls import parse_target
from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import PermanentStepError, StepError
from workflows.secret_text import SecretSlot, SecretText, parts_of

# Where a provider is when nobody says otherwise.
PUBLIC: Final[Mapping[Provider, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
LONGEST_NAME: Final = 200  # characters of a model's name
MOST_PRICES: Final = 1000
DEAREST: Final = 1_000_000  # US dollars per million tokens
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KEY = re.compile(r"[\x21-\x7e]+")


def named(model: str) -> tuple[Provider, str]:
    """The provider and its own name of the model: `anthropic:claude-…`; without a provider that we know it is OpenAI's shape.

    A colon alone says nothing: others have models called `llama3:8b`.
    """
    prefix, colon, rest = model.strip().partition(":")
    if colon and prefix in PUBLIC:
        return cast(Provider, prefix), rest.strip()
    return "openai", model.strip()


def model_of(model: str | None, base_url: str | None, api_key: SecretSlot | None) -> ModelSpec:
    """Which model a step means, and where, from its config and LIGHTFIELD_AI_*.

    A step that names a base_url is given nothing of the installation's: neither its model nor its key. Without a base_url a
    model of the installation's provider is asked at LIGHTFIELD_AI_BASE_URL; of another provider, at that one's public address.

    `api_key` of what comes back: parts of the step's own; None, the installation's; empty, none is sent (an address that
    somebody named may need none).

    Raises:
        PermanentStepError: `ai.no_model`, `ai.no_key`, `config.invalid`, and of a base_url `egress.invalid_url` or
            `egress.denied_scheme`.
    """
    wanted = model or ("" if base_url else settings.LIGHTFIELD_AI_MODEL)
    provider, name = named(wanted)
    if not name:
        raise PermanentStepError("ai.no_model")
    if len(name) > LONGEST_NAME or _CONTROL.search(name):
        raise PermanentStepError(
            "config.invalid", "The model's name is too long or holds control characters."
        )
    own = None if api_key is None else tuple(SecretText(parts_of(api_key)).as_json())
    if base_url:
        return ModelSpec(provider, name, address(provider, base_url), own or ())
    if provider != installed_provider():
        if not own:
            raise PermanentStepError("ai.no_key", _no_key(provider))
        return ModelSpec(provider, name, PUBLIC[provider], own)
    if not own and not settings.LIGHTFIELD_AI_API_KEY and not settings.LIGHTFIELD_AI_BASE_URL:
        raise PermanentStepError("ai.no_key", _no_key(provider))
    return ModelSpec(provider, name, installed_address(), own or None)


def _no_key(provider: Provider) -> str:
    return f"There is no API key for {PUBLIC[provider]}."


def installed_provider() -> Provider:
    """Whose shape of questions LIGHTFIELD_AI_BASE_URL takes: that of LIGHTFIELD_AI_MODEL."""
    return named(settings.LIGHTFIELD_AI_MODEL)[0]


def installed_address() -> str:
    """Where the installation's models are asked, and the only place that LIGHTFIELD_AI_API_KEY goes to."""
    provider = installed_provider()
    return address(provider, settings.LIGHTFIELD_AI_BASE_URL or PUBLIC[provider])


def address(provider: Provider, base_url: str) -> str:
    """A base URL as it is kept: without a slash at its end; of Anthropic without `/v1`, which its client adds.

    Raises:
        PermanentStepError: `egress.invalid_url`, `egress.denied_scheme`, `config.invalid`.
    """
    if "?" in base_url or "#" in base_url:
        raise PermanentStepError("config.invalid", "A base_url has no query and no fragment.")
    url = parse_target(base_url.strip()).url.rstrip("/")
    return url.removesuffix("/v1") if provider == "anthropic" else url


def price_of(spec: ModelSpec) -> dict[str, float] | None:
    """US dollars per million tokens, `{"input", "output"}`; None when nobody has set any.

    A price under `openai:gpt-5` is preferred to one under `gpt-5`.
    """
    prices = prices_in(settings.LIGHTFIELD_AI_PRICES)
    found = prices.get(f"{spec.provider}:{spec.name}") or prices.get(spec.name)
    return None if found is None else dict(found)


@lru_cache(maxsize=8)
def prices_in(setting: str) -> Mapping[str, Mapping[str, float]]:
    """Read LIGHTFIELD_AI_PRICES: `{"gpt-5": {"input": 1.25, "output": 10}}`. Raises `InvalidSetting`, naming the model."""
    if not setting.strip():
        return {}
    try:
        table = json.loads(setting)
    except (ValueError, RecursionError):
        raise _bad_prices("JSON") from None
    if not isinstance(table, dict) or len(table) > MOST_PRICES:
        raise _bad_prices(f"an object of at most {MOST_PRICES} models")
    return {_model_name(name): _price(name, price) for name, price in table.items()}


def _model_name(name: str) -> str:
    if not name.strip() or len(name) > LONGEST_NAME:
        raise _bad_prices(f"of names of 1 to {LONGEST_NAME} characters")
    return name.strip()


def _price(name: str, price: Any) -> dict[str, float]:
    if not isinstance(price, dict) or price.keys() != {"input", "output"}:
        raise _bad_prices(f'made of {{"input": …, "output": …}}, also for {name[:80]!r}')
    for figure in price.values():
        if isinstance(figure, bool) or not isinstance(figure, int | float) or not 0 <= figure <= DEAREST:
            raise _bad_prices(
                f"made of US dollars per million tokens, 0 to {DEAREST}, also for {name[:80]!r}"
            )
    return {kind: float(figure) for kind, figure in price.items() if math.isfinite(figure)}


def _bad_prices(wanted: str) -> InvalidSetting:
    return InvalidSetting("LIGHTFIELD_AI_PRICES", wanted)


def check_settings() -> None:
    """Judge LIGHTFIELD_AI_*. Raises `InvalidSetting`, which says nothing of the key's value."""
    prices_in(settings.LIGHTFIELD_AI_PRICES)
    if settings.LIGHTFIELD_AI_BASE_URL:
        try:
            installed_address()
        except StepError as error:
            raise InvalidSetting(
                "LIGHTFIELD_AI_BASE_URL", f"a URL like https://api.openai.com/v1: {error.message}"
            ) from None
    name = named(settings.LIGHTFIELD_AI_MODEL)[1]
    if settings.LIGHTFIELD_AI_MODEL and (not name or len(name) > LONGEST_NAME or _CONTROL.search(name)):
        raise InvalidSetting(
            "LIGHTFIELD_AI_MODEL", "a model's name, with openai: or anthropic: before it or nothing"
        )
    if settings.LIGHTFIELD_AI_API_KEY and not _KEY.fullmatch(settings.LIGHTFIELD_AI_API_KEY):
        raise InvalidSetting("LIGHTFIELD_AI_API_KEY", "ASCII without blanks")
