"""Answers in a provider's shape that hold what nobody promised: an answer that can be kept, or the code for one that cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executions.agents.asking import ask
from executions.agents.keeping import kept_reply
from executions.egress import current
from lightfield.kernel import strict_json
from lightfield.kernel.errors import StepError
from tests.scripted_models import a_question, a_scripted_model, spec_of

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = ["-5", "1e308", "1e400", "NaN", "Infinity", "-Infinity", "9223372036854775807", "9" * 400, "true", "null",
           '"7"', "[1]", '{"a": 1}', "2.5", "1e-400"]  # fmt: skip
TEXTS = [r'"\u0000"', r'"\ud800"', r'"a\ud83d"', "7", "null", "true", "[]", "[1, null]", '{"a": 1}', '""']
FORMS = {
    "openai": '{{"id":"x","object":"chat.completion","created":1,"model":{model},"choices":[{{"index":0,"finish_reason":{finish},'
    '"message":{{"role":"assistant","content":{text}{calls}}}}}],"usage":{usage}}}',
    "anthropic": '{{"id":"x","type":"message","role":"assistant","model":{model},"stop_reason":{finish},'
    '"content":[{{"type":"text","text":{text}}}{calls}],"usage":{usage}}}',
}
CALLS = {
    "openai": ',"tool_calls":[{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}]',
    "anthropic": ',{{"type":"tool_use","id":{id},"name":{name},"input":{arguments}}}',
}
ENDS = {"openai": '"stop"', "anthropic": '"end_turn"'}


def usage_of(provider: str, number: str, other: str = "1") -> str:
    names = (
        ("prompt_tokens", "completion_tokens") if provider == "openai" else ("input_tokens", "output_tokens")
    )
    return f'{{"{names[0]}": {number}, "{names[1]}": {other}}}'


def body_of(
    provider: str, *, text: str = '"x"', model: str = '"m"', usage: str = "", finish: str = "", **call: str
) -> str:
    made = {"id": '"a"', "name": '"look_up"', "arguments": '"{}"' if provider == "openai" else "{}", **call}
    return FORMS[provider].format(
        text=text,
        model=model,
        finish=finish or ENDS[provider],
        usage=usage or usage_of(provider, "1"),
        calls=CALLS[provider].format(**made) if call else "",
    )


def bodies_of(provider: str) -> dict[str, str]:
    found = {f"tokens {n[:20]}": body_of(provider, usage=usage_of(provider, n)) for n in NUMBERS}
    found |= {
        f"tokens {n[:20]} beside NUL": body_of(provider, usage=usage_of(provider, n), text=r'"\u0000"')
        for n in NUMBERS
    }
    found |= {f"usage {n[:20]}": body_of(provider, usage=n) for n in NUMBERS}
    for part in ("text", "model", "finish", "id", "name", "arguments"):
        found |= {
            f"{part} {text}": body_of(provider, **{part: text}) for text in [*TEXTS, "1e400", "9" * 400]
        }
    deep = "[" * 40 + "]" * 40
    found |= {
        "details": body_of(
            provider,
            usage=usage_of(provider, "1").replace(
                "}", ', "completion_tokens_details": {"reasoning_tokens": -9, "x": "y"}, "cost": 1e300}'
            ),
        )
    }
    found |= {
        "deep arguments": body_of(
            provider,
            arguments=json.dumps('{"a": ' + deep + "}") if provider == "openai" else '{"a": ' + deep + "}",
        )
    }
    return found


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> Any:
    settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS = "127.0.0.0/8", []
    yield
    current.close()


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_given_any_answer_then_it_can_be_kept_or_has_its_code(provider: Any) -> None:
    bodies = bodies_of(provider)
    unkept = {}
    scripts: Any = {name: [{"body": body}] for name, body in bodies.items()}
    with a_scripted_model(scripts) as server:
        for name in bodies:
            try:
                reply = kept_reply(ask(a_question(spec_of(server, provider, name=name))))
                told = [
                    reply.text,
                    reply.model,
                    reply.raw,
                    [[one.id, one.name, one.arguments] for one in reply.calls],
                ]
                strict_json.check(told, max_bytes=1 << 22)
                assert 0 <= reply.usage.input_tokens < 1 << 31
                assert 0 <= reply.usage.output_tokens < 1 << 31
                assert len(reply.model) <= 200
            except StepError as error:
                if error.code != "ai.invalid_answer":
                    unkept[name] = repr(error)
            except Exception as error:  # noqa: BLE001  whatever it is, it is to be told by its name
                unkept[name] = repr(error)
    assert unkept == {}
