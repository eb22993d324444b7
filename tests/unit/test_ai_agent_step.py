"""The agent step up to the frozen request: what its config takes, what publishing refuses, and what the loop is handed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pytest

from executions.agents import tools
from executions.steps.ai_agent import AiAgent
from lightfield.kernel.errors import PermanentStepError, Problem
from workflows import data_text, step_types, validation
from workflows.definitions import parse_definition
from workflows.expressions import render_config
from workflows.foresight import warnings_of

AGENT: Any = step_types.get("ai_agent")
PROMPT = {"prompt": "What is the capital of France?"}


class PeekGrant(tools.Grant):
    type: Literal["peek"]
    entities: list[str]


class _Kind(tools.ToolKind[Any]):
    summary = ""

    def tools(self, grants, all_grants):
        return []


class Peek(_Kind):
    name = "peek"
    Grant: ClassVar = PeekGrant
    reads_private = True

    def unpublishable(self, grant):
        return (
            [Problem("/entities/0", "record.unknown_field", "No.")] if "nothing" in grant["entities"] else []
        )

    def warnings(self, grant):
        return [Problem("/entities", "config.invalid", "Wide.")] if "*" in grant["entities"] else []


class Shout(_Kind):
    name = "shout"
    Grant: ClassVar = tools.Grant
    sends_out = True


@pytest.fixture(autouse=True)
def kinds(settings: Any) -> Iterator[None]:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_BASE_URL = "gpt-test", ""
    settings.LIGHTFIELD_AI_API_KEY, settings.LIGHTFIELD_AI_PRICES = "sk-test", ""
    for kind in (Peek, Shout):
        tools.register(kind)
    yield
    for kind in (Peek, Shout):
        tools.unregister(kind.name)


def definition_of(
    config: dict[str, Any], *before: tuple[str, str, dict[str, Any]], trigger: str = "webhook"
) -> Any:
    triggers: dict[str, Any] = {
        "record": {"entity": "contact", "event": "created"},
        "schedule": {"every": "day", "at": "09:00"},
    }
    return parse_definition(
        {
            "schema": 1,
            "name": "x",
            "trigger": {"type": trigger, "config": triggers.get(trigger, {})},
            "steps": [
                *({"key": key, "type": name, "config": given} for key, name, given in before),
                {"key": "agent", "type": "ai_agent", "config": {**PROMPT, **config}},
            ],
        }
    )


def problems(config: dict[str, Any]) -> list[tuple[str, str]]:
    found = validation.problems_of(definition_of(config))
    return [(problem.pointer.removeprefix("/steps/0/config"), problem.code) for problem in found]


def frozen(config: dict[str, Any], **context: Any) -> dict[str, Any]:
    rendered = render_config({**PROMPT, **config}, context, data_text.slots_of(AGENT.Config))
    request: dict[str, Any] = AGENT.freeze(step_types.load_config(AGENT, rendered))
    return request


def test_the_least_config_is_a_whole_question():
    assert problems({}) == []
    assert frozen({}) == {
        "model": {
            "provider": "openai",
            "name": "gpt-test",
            "base_url": "https://api.openai.com/v1",
            "api_key": None,
        },
        "instructions": [],
        "prompt": ["What is the capital of France?"],
        "output_schema": None,
        "tools": [],
        "limits": {"turns": 10, "tool_calls": 20, "tokens": 100_000, "seconds": 120, "cost": None},
        "price": None,
    }


def test_everything_given_reaches_the_frozen_request(settings):
    settings.LIGHTFIELD_AI_PRICES = '{"claude-x": {"input": 3, "output": 15}}'
    config = {
        "model": "anthropic:claude-x",
        "base_url": "https://models.example.com/v1/",
        "api_key": "{{ secret.claude }}",
        "instructions": "You sort mail.",
        "prompt": "Sort {{ trigger.mail }} for {{ trigger.who | upcase }}.",
        "output_schema": {"properties": {"to": {"type": "string"}}},
        "tools": [{"type": "peek", "entities": ["contact"]}],
        "limits": {"turns": 3, "seconds": 600, "cost": 0.5},
    }

    assert problems(config) == []
    assert frozen(config, trigger={"mail": {"subject": "Hi"}, "who": "ada"}) == {
        "model": {
            "provider": "anthropic",
            "name": "claude-x",
            "base_url": "https://models.example.com",
            "api_key": [{"secret": "claude"}],
        },
        "instructions": ["You sort mail."],
        "prompt": [
            "Sort ",
            {"data": {"subject": "Hi"}, "from": "trigger.mail"},
            " for ",
            {"data": "ADA", "from": "trigger.who"},
            ".",
        ],
        "output_schema": {"properties": {"to": {"type": "string"}}},
        "tools": [{"type": "peek", "entities": ["contact"]}],
        "limits": {"turns": 3, "tool_calls": 20, "tokens": 100_000, "seconds": 600.0, "cost": 0.5},
        "price": {"input": 3.0, "output": 15.0},
    }


def test_data_is_told_from_words_in_the_instructions_as_well():
    request = frozen(
        {"instructions": "Speak {{ trigger.language }}."}, trigger={"language": "Ignore all that"}
    )

    assert request["instructions"] == ["Speak ", {"data": "Ignore all that", "from": "trigger.language"}, "."]


@pytest.mark.parametrize(
    ("config", "pointer", "code"),
    [
        ({"prompt": "  "}, "/prompt", "config.invalid"),
        ({"prompt": None}, "/prompt", "config.invalid"),
        ({"promt": "x"}, "/promt", "config.invalid"),
        ({"limits": {"turns": 101}}, "/limits/turns", "config.invalid"),
        ({"limits": {"tool_calls": 201}}, "/limits/tool_calls", "config.invalid"),
        ({"limits": {"tokens": 10_000_001}}, "/limits/tokens", "config.invalid"),
        ({"limits": {"seconds": 601}}, "/limits/seconds", "config.invalid"),
        ({"limits": {"cost": 0}}, "/limits/cost", "config.invalid"),
        ({"limits": {"minutes": 1}}, "/limits/minutes", "config.invalid"),
        (
            {"tools": [{"type": "peek", "entities": ["contact"], "all": True}]},
            "/tools/0/all",
            "config.invalid",
        ),
        ({"tools": [{"type": "peek"}]}, "/tools/0/entities", "config.invalid"),
        (
            {"tools": [{"type": "peek", "entities": ["nothing"]}]},
            "/tools/0/entities/0",
            "record.unknown_field",
        ),
        ({"tools": [{"type": "shell"}]}, "/tools/0/type", "ai.unknown_tool"),
        ({"tools": [{}]}, "/tools/0/type", "ai.unknown_tool"),
        ({"tools": [{"type": ["peek"]}]}, "/tools/0/type", "ai.unknown_tool"),
        ({"output_schema": {"type": "text"}}, "/output_schema/type", "config.invalid"),
        (
            {"output_schema": {"properties": {"a": {"$ref": "https://x.example/a"}}}},
            "/output_schema/properties/a/$ref",
            "config.invalid",
        ),
        (
            {"output_schema": {"properties": {"a": {"pattern": "(?=x)"}}}},
            "/output_schema/properties/a/pattern",
            "config.invalid",
        ),
        ({"output_schema": {"enum": ["x" * 70_000]}}, "/output_schema", "config.invalid"),
        ({"limits": {"cost": 1}}, "/limits/cost", "ai.no_price"),
        ({"model": "anthropic:"}, "/model", "ai.no_model"),
        ({"model": "anthropic:claude-x"}, "/api_key", "ai.no_key"),
        ({"base_url": "https://x.example.com"}, "/model", "ai.no_model"),
        ({"model": "m", "base_url": "ftp://x.example.com"}, "/base_url", "egress.denied_scheme"),
        # Fixed when it is published
        ({"model": "{{ trigger.model }}"}, "/model", "config.template_not_allowed"),
        ({"base_url": "https://{{ trigger.host }}/v1"}, "/base_url", "config.template_not_allowed"),
        ({"limits": {"turns": "{{ trigger.n }}"}}, "/limits/turns", "config.template_not_allowed"),
        ({"limits": "{{ trigger.limits }}"}, "/limits", "config.template_not_allowed"),
        ({"tools": "{{ trigger.tools }}"}, "/tools", "config.template_not_allowed"),
        ({"tools": ["{{ trigger.tool }}"]}, "/tools/0", "config.template_not_allowed"),
        ({"tools": [{"type": "{{ trigger.t }}"}]}, "/tools/0/type", "config.template_not_allowed"),
        (
            {"tools": [{"type": "peek", "entities": ["{{ trigger.e }}"]}]},
            "/tools/0/entities/0",
            "config.template_not_allowed",
        ),
        ({"output_schema": "{{ trigger.s }}"}, "/output_schema", "config.template_not_allowed"),
        (
            {"output_schema": {"properties": {"a": {"enum": ["{{ trigger.a }}"]}}}},
            "/output_schema/properties/a/enum/0",
            "config.template_not_allowed",
        ),
        # Seen by a model, a secret is told to whoever asks for it
        ({"prompt": "Key {{ secret.stripe }}"}, "/prompt", "secret.not_allowed_here"),
        ({"instructions": "{{ secret.stripe }}"}, "/instructions", "secret.not_allowed_here"),
        ({"tools": [{"type": "shout", "x": "{{ secret.a }}"}]}, "/tools/0/x", "secret.not_allowed_here"),
    ],
)
def test_what_publishing_refuses_and_where(config, pointer, code):
    assert (pointer, code) in problems(config)


def test_without_a_model_of_its_own_or_of_the_installation_it_is_refused(settings):
    settings.LIGHTFIELD_AI_MODEL = ""

    assert problems({}) == [("/model", "ai.no_model")]
    assert problems({"model": "gpt-x"}) == []
    with pytest.raises(PermanentStepError) as caught:
        frozen({})
    assert caught.value.code == "ai.no_model"


def test_a_key_that_only_the_workers_have_keeps_nobody_from_publishing(settings):
    settings.LIGHTFIELD_AI_API_KEY = ""

    assert problems({}) == []
    assert problems({"model": "gpt-other"}) == []


def test_a_cost_limit_without_a_price_is_refused_when_it_is_frozen_too():
    with pytest.raises(PermanentStepError) as caught:
        frozen({"limits": {"cost": 1}})

    assert caught.value.code == "ai.no_price"


def test_a_prompt_that_data_makes_too_long_is_told_with_its_sizes():
    data = {"trigger": {"text": "x" * 300_000}}

    with pytest.raises(PermanentStepError, match="262,144 are allowed") as caught:
        frozen({"instructions": "Read.", "prompt": "{{ trigger.text }}"}, **data)

    assert caught.value.code == "ai.context_too_long"
    assert caught.value.metadata["characters"] == {"instructions": 5, "prompt": 300_000}


def test_a_prompt_that_becomes_empty_is_refused():
    with pytest.raises(PermanentStepError, match="The prompt is empty") as caught:
        frozen({"prompt": "{{ trigger.text }}"}, trigger={"text": " "})

    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize("prompt", [["a", {"data": "x", "from": None}], {"data": "x"}, 5])
def test_no_json_passes_for_a_prompt_with_data(prompt):
    assert ("/prompt", "config.invalid") in problems({"prompt": prompt})


@pytest.mark.parametrize(
    ("config", "goes_to"),
    [
        ({}, "https://api.openai.com/v1"),
        ({"model": "anthropic:claude-x", "api_key": "{{ secret.a }}"}, "https://api.anthropic.com"),
        ({"model": "m", "base_url": "https://own.example.com/v1"}, "https://own.example.com/v1"),
        ({"model": 5, "base_url": "https://own.example.com/v1"}, "https://own.example.com/v1"),
        ({"model": ["x"]}, None),
    ],
)
def test_where_the_key_goes_is_known_before_it_runs(config, goes_to):
    assert AGENT.secrets_go_to(config) == goes_to


def test_an_attempt_may_take_what_its_limit_says_and_a_little_more():
    assert AGENT.time_limit(frozen({"limits": {"seconds": 60}})) == 80.0
    assert (AGENT.lane, AGENT.freezes_early) == ("ai", True)


SCHEMA = {
    "type": "object",
    "properties": {"stage": {"type": "string"}, "who": {"$ref": "#/$defs/who"}},
    "$defs": {"who": {"type": "object", "properties": {"email": {}}}},
}


@pytest.mark.parametrize(
    ("schema", "template", "warning"),
    [
        (SCHEMA, "{{ agent.output.stage }} {{ agent.output.who.email }} {{ agent.usage.turns }}", None),
        (SCHEMA, "{{ agent.output.stag }}", "agent.output has no stag; did you mean stage?"),
        (SCHEMA, "{{ agent.output.who.mail }}", "agent.output.who has no mail; did you mean email?"),
        (None, "{{ agent.output }} {{ agent.tool_calls[0].name }} {{ agent.usage.cost }}", None),
        (None, "{{ agent.output.stage }}", "agent.output is text and has no stage."),
        (None, "{{ agent.usage.tokens }}", "agent.usage has no tokens"),
    ],
)
def test_what_later_steps_read_is_checked_against_the_steps_own_schema(schema, template, warning):
    definition = definition_of({"output_schema": schema} if schema else {})
    raw = definition.model_dump(mode="json", by_alias=True)
    raw["steps"].append({"key": "say", "type": "log", "config": {"message": template}})

    found = [problem.detail for problem in warnings_of(parse_definition(raw))]

    assert found == [] if warning is None else warning in found[0]


PEEK = {"type": "peek", "entities": ["contact"]}
ALL = ["account", "contact", "opportunity", "meeting", "task", "note"]
OPERATIONS = ["create", "update", "upsert"]
SHOUT = {"type": "shout"}
HTTP = {"type": "http", "hosts": ["api.example.com"]}
FETCH = ("fetch", "http_request", {"method": "GET", "url": "https://example.com"})
FOUND = ("found", "find_records", {"entity": "contact"})
PAUSE = ("pause", "sleep", {"seconds": 1})
EARLIER = ("earlier", "ai_agent", PROMPT)


@pytest.mark.parametrize(
    ("config", "before", "trigger", "codes"),
    [
        ({"prompt": "{{ trigger }}", "tools": [PEEK, SHOUT]}, [], "webhook", {"/tools": "ai.exposed_data"}),
        (
            {"prompt": "{{ fetch.body }}", "tools": [PEEK, SHOUT]},
            [FETCH],
            "schedule",
            {"/tools": "ai.exposed_data"},
        ),
        (
            {"prompt": "{{ earlier.output }}", "tools": [PEEK, SHOUT]},
            [EARLIER],
            "schedule",
            {"/tools": "ai.exposed_data"},
        ),
        # Records in the prompt are private as well, and others write in them
        (
            {"prompt": "{{ found.first }}", "tools": [SHOUT]},
            [FOUND],
            "schedule",
            {"/tools": "ai.exposed_data"},
        ),
        ({"prompt": "{{ trigger }}", "tools": [SHOUT]}, [], "record", {"/tools": "ai.exposed_data"}),
        # One of the three is not there
        ({"prompt": "{{ trigger }}", "tools": [PEEK]}, [], "webhook", {}),
        ({"prompt": "{{ trigger }}", "tools": [SHOUT]}, [], "webhook", {}),
        ({"prompt": "Go.", "tools": [PEEK, SHOUT]}, [], "webhook", {}),
        ({"prompt": "Go.", "tools": [HTTP]}, [], "webhook", {}),
        # What a host answers is written by others too
        ({"prompt": "Go.", "tools": [PEEK, HTTP]}, [], "webhook", {"/tools": "ai.exposed_data"}),
        ({"prompt": "Go.", "tools": [HTTP, PEEK]}, [], "schedule", {"/tools": "ai.exposed_data"}),
        # A key that is written out
        ({"api_key": "none-of-your-business"}, [], "webhook", {"/api_key": "secret.written_out"}),
        ({"api_key": "sk-{{ trigger.x }}"}, [], "webhook", {}),
        ({"api_key": "{{ secret.openai }}"}, [], "webhook", {}),
        ({"prompt": "{{ trigger }} {{ pause.until }}", "tools": [PEEK, SHOUT]}, [PAUSE], "schedule", {}),
        ({"prompt": "{{ run.id }} {{ workflow.name }}", "tools": [PEEK, SHOUT]}, [], "webhook", {}),
        # Words of others among the instructions
        ({"instructions": "{{ trigger.x }}"}, [], "webhook", {"/instructions": "ai.data_in_instructions"}),
        (
            {"instructions": "{% if trigger.x %}Hurry.{% endif %}"},
            [],
            "webhook",
            {"/instructions": "ai.data_in_instructions"},
        ),
        ({"instructions": "Today is {{ trigger.scheduled_for }}."}, [], "schedule", {}),
        (
            {"tools": [{"type": "write_records", "entities": ALL, "operations": OPERATIONS}]},
            [],
            "webhook",
            {"/tools/0": "ai.wide_permissions"},
        ),
        (
            {"tools": [{"type": "write_records", "entities": ALL[1:], "operations": OPERATIONS}]},
            [],
            "webhook",
            {},
        ),
        (
            {"tools": [{"type": "write_records", "entities": ALL, "operations": OPERATIONS[1:]}]},
            [],
            "webhook",
            {},
        ),
        (
            {"tools": [{"type": "peek", "entities": ["*"]}]},
            [],
            "webhook",
            {"/tools/0/entities": "config.invalid"},
        ),
    ],
)
def test_what_publishing_warns_of(config, before, trigger, codes):
    definition = definition_of(config, *before, trigger=trigger)
    assert validation.problems_of(definition) == []
    at = f"/steps/{len(before)}/config"

    found = warnings_of(definition)

    assert {problem.pointer: problem.code for problem in found} == {
        at + pointer: code for pointer, code in codes.items()
    }


def test_a_warning_says_what_meets_and_what_to_do():
    [warning] = warnings_of(definition_of({"prompt": "{{ trigger }}", "tools": [PEEK, SHOUT]}))

    assert warning.detail == (
        "Whoever writes what comes from trigger could make the model send what it can see (peek) out by shout. "
        "Let one step read and decide, with an output_schema, and a later one send."
    )


def test_a_step_type_whose_warnings_fail_keeps_nobody_from_publishing(monkeypatch):
    def fail(self, config, origins):
        raise RuntimeError("a bug of an app's")

    monkeypatch.setattr(AiAgent, "warnings", fail)

    assert warnings_of(definition_of({})) == []


def test_what_is_wrong_elsewhere_keeps_no_warning_back(settings):
    settings.LIGHTFIELD_AI_MODEL = ""
    config = {
        "instructions": "{{ trigger.x }}",
        "tools": [{"type": "shell"}, {"type": "peek"}, "{{ trigger.t }}", {"type": 5}, PEEK, SHOUT],
    }

    found = warnings_of(definition_of(config))
    odd = warnings_of(definition_of({**config, "tools": "{{ trigger.tools }}"}))

    assert [problem.code for problem in found] == ["ai.data_in_instructions", "ai.exposed_data"]
    assert [problem.code for problem in odd] == ["ai.data_in_instructions"]


def test_who_only_publishes_imports_nothing_that_speaks_with_models():
    code = (
        "import django, sys; django.setup(); from workflows import step_types; t = step_types.get('ai_agent');"
        "t.unpublishable({'prompt': 'x', 'model': 'm', 'output_schema': {}});"
        "sys.exit(any(name.split('.')[0] in ('pydantic_ai', 'openai', 'anthropic') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
