"""Which model a step means, where it is, whose key goes there, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.core import checks

from executions.agents.provided import PUBLIC, check_settings, model_of, named, price_of, prices_in
from executions.agents.values import ModelSpec
from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import PermanentStepError
from workflows.secret_text import SecretName, SecretText

OWN = SecretText([SecretName("model_key")])
OWN_PARTS = ({"secret": "model_key"},)


@pytest.fixture(autouse=True)
def nothing_set(settings: Any) -> Any:
    settings.LIGHTFIELD_AI_BASE_URL = settings.LIGHTFIELD_AI_MODEL = settings.LIGHTFIELD_AI_API_KEY = ""
    settings.LIGHTFIELD_AI_PRICES = ""
    return settings


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("gpt-5", ("openai", "gpt-5")),
        ("openai:gpt-5", ("openai", "gpt-5")),
        ("anthropic:claude-x", ("anthropic", "claude-x")),
        ("llama3:8b", ("openai", "llama3:8b")),
        ("openai:llama3:8b", ("openai", "llama3:8b")),
        (" gpt-5 ", ("openai", "gpt-5")),
    ],
)
def test_given_a_name_then_its_provider_is_what_stands_before_a_colon_that_we_know(
    model: str, meant: Any
) -> None:
    assert named(model) == meant


def test_given_nothing_named_then_the_installations_model_is_asked_where_it_is(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_BASE_URL = "gpt-5", "https://models.example.com/v1/"
    settings.LIGHTFIELD_AI_API_KEY = "sk-x"
    assert model_of(None, None, None) == ModelSpec("openai", "gpt-5", "https://models.example.com/v1", None)


def test_given_another_model_of_the_same_provider_then_it_is_asked_in_the_same_place(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_API_KEY = "anthropic:claude-x", "sk-x"
    assert model_of("anthropic:claude-y", None, None) == ModelSpec(
        "anthropic", "claude-y", PUBLIC["anthropic"], None
    )


def test_given_a_model_of_another_provider_then_it_needs_a_key_of_the_steps_own(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_API_KEY = "gpt-5", "sk-x"
    settings.LIGHTFIELD_AI_BASE_URL = "https://models.example.com/v1"
    with pytest.raises(PermanentStepError) as raised:
        model_of("anthropic:claude-x", None, None)
    assert raised.value.code == "ai.no_key"
    own = model_of("anthropic:claude-x", None, OWN)
    assert own == ModelSpec("anthropic", "claude-x", PUBLIC["anthropic"], OWN_PARTS)


def test_given_a_base_url_of_the_step_then_nothing_of_the_installations_goes_there(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_API_KEY = "gpt-5", "sk-x"
    assert model_of("gpt-5", "https://else.example.com/v1", None).api_key == ()
    assert model_of("gpt-5", "https://else.example.com/v1", OWN).api_key == OWN_PARTS
    with pytest.raises(PermanentStepError) as raised:
        model_of(None, "https://else.example.com/v1", OWN)
    assert raised.value.code == "ai.no_model"


def test_given_a_key_of_the_step_and_no_base_url_then_it_goes_where_the_installation_asks(
    settings: Any,
) -> None:
    settings.LIGHTFIELD_AI_BASE_URL = "https://models.example.com/v1"
    assert model_of("gpt-5", None, OWN) == ModelSpec(
        "openai", "gpt-5", "https://models.example.com/v1", OWN_PARTS
    )


def test_given_an_installation_whose_models_need_no_key_then_none_is_asked_for(settings: Any) -> None:
    settings.LIGHTFIELD_AI_BASE_URL = "http://127.0.0.1:11434/v1"
    assert model_of("llama3:8b", None, None).api_key is None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((None, None, None), "ai.no_model"),
        (("", None, None), "ai.no_model"),
        (("openai:", None, None), "ai.no_model"),
        (("gpt-5", None, None), "ai.no_key"),
        (("gpt-5", None, ""), "ai.no_key"),
        (("x" * 201, None, OWN), "config.invalid"),
        (("gpt\n5", None, OWN), "config.invalid"),
        (("gpt-5", "ftp://x", OWN), "egress.denied_scheme"),
        (("gpt-5", "models.example.com", OWN), "egress.invalid_url"),
        (("gpt-5", "https://u:p@x.example.com", OWN), "egress.invalid_url"),
        (("gpt-5", "https://x.example.com/v1?a=b", OWN), "config.invalid"),
    ],
)
def test_given_a_config_that_names_no_model_then_the_code_says_what_is_missing(
    arguments: Any, code: str
) -> None:
    with pytest.raises(PermanentStepError) as raised:
        model_of(*arguments)
    assert raised.value.code == code


def test_given_anthropics_address_with_its_version_then_it_is_left_out() -> None:
    assert model_of("anthropic:c", "https://a.example.com/v1/", OWN).base_url == "https://a.example.com"


def test_given_prices_then_a_models_own_is_found_and_its_providers_first(settings: Any) -> None:
    settings.LIGHTFIELD_AI_PRICES = (
        '{"gpt-5": {"input": 1.25, "output": 10}, "anthropic:gpt-5": {"input": 0, "output": 1}}'
    )
    assert price_of(ModelSpec("openai", "gpt-5", "", None)) == {"input": 1.25, "output": 10.0}
    assert price_of(ModelSpec("anthropic", "gpt-5", "", None)) == {"input": 0.0, "output": 1.0}
    assert price_of(ModelSpec("openai", "gpt-6", "", None)) is None


@pytest.mark.parametrize(
    "prices",
    [
        "{",
        "[]",
        "7",
        "[" * 100_000,
        '{"gpt-5": 1}',
        '{"gpt-5": {"input": 1}}',
        '{"gpt-5": {"input": 1, "output": "10"}}',
        '{"gpt-5": {"input": true, "output": 1}}',
        '{"gpt-5": {"input": -1, "output": 1}}',
        '{"gpt-5": {"input": NaN, "output": 1}}',
        '{"gpt-5": {"input": 1e9, "output": 1}}',
        '{"gpt-5": {"input": 1, "output": 1, "cached": 1}}',
        '{"": {"input": 1, "output": 1}}',
    ],
)
def test_given_prices_that_cannot_be_read_then_the_start_ends_with_one_clear_line(
    settings: Any, prices: str
) -> None:
    with pytest.raises(InvalidSetting, match=r"LIGHTFIELD_AI_PRICES must be"):
        prices_in(prices)
    settings.LIGHTFIELD_AI_PRICES = prices
    found = [check for check in checks.run_checks() if check.id == "executions.E002"]
    assert len(found) == 1
    assert found[0].hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIGHTFIELD_AI_BASE_URL", "models.example.com"),
        ("LIGHTFIELD_AI_BASE_URL", "https://x.example.com/v1?key=1"),
        ("LIGHTFIELD_AI_MODEL", "anthropic:"),
        ("LIGHTFIELD_AI_API_KEY", "sk canary\nkey"),
    ],
)
def test_given_another_setting_that_cannot_be_used_then_it_is_named_and_a_key_is_not_shown(
    settings: Any, name: str, value: str
) -> None:
    setattr(settings, name, value)
    with pytest.raises(InvalidSetting, match=name) as raised:
        check_settings()
    assert "canary" not in str(raised.value)


def test_given_nothing_set_then_nothing_is_wrong() -> None:
    check_settings()


def test_given_what_publishing_asks_then_nothing_is_imported_that_speaks_with_models() -> None:
    """It takes seconds and 90 MB: web, beat and the other workers must never pay for it."""
    code = (
        "import django; django.setup(); import sys\n"
        "import executions.agents.provided, executions.agents.asking, executions.agents.keys, executions.tasks\n"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'httpx2') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
