"""Where secrets may stand in a definition, in which form, and that no data can pass for one."""

from __future__ import annotations

from typing import Any

import pytest

from lightfield.kernel.errors import PermanentStepError
from workflows import secret_rules, step_types, validation
from workflows.definitions import parse_definition
from workflows.expressions import render_config
from workflows.secret_text import SecretName, SecretText, slots_of

URL = "https://api.example.com/v1"
HTTP: Any = step_types.get("http_request")
SECRET = SecretText([SecretName("stripe")])


def problems(config: dict[str, Any], step_type: str = "http_request") -> list[tuple[str, str]]:
    definition = parse_definition(
        {
            "schema": 1,
            "name": "x",
            "trigger": {"type": "manual", "config": {}},
            "steps": [{"key": "a", "type": step_type, "config": config}],
        }
    )
    found = validation.problems_of(definition)
    assert [problem for problem in found if problem.code.startswith("secret.")] == secret_rules.problems_of(
        definition
    )
    return [(problem.pointer.removeprefix("/steps/0/config"), problem.code) for problem in found]


def request(**config: Any) -> dict[str, Any]:
    return {"method": "POST", "url": URL, **config}


@pytest.mark.parametrize(
    "config",
    [
        {"headers": {"Authorization": "Bearer {{ secret.stripe }}"}},
        {"headers": {"X-Key": "{{secret.stripe}}", "X-Plain": "{{ trigger.a }}"}},
        {"headers": {"X-Both": "{{ secret.one }}:{{ secret.two }}"}},
        {"headers": {"X-Mixed": "{{ trigger.id | upcase }} {{- secret.stripe -}} "}},
        {"headers": {"X-Key": '{{ secret["stripe"] }}'}},
        {"auth": {"type": "bearer", "token": "{{ secret.stripe }}"}},
        {"auth": {"type": "basic", "username": "{{ secret.user }}", "password": "{{ secret.stripe }}"}},
        {"auth": {"type": "basic", "username": "lightfield"}},
        {"auth": {"type": "header", "name": "X-Api-Key", "value": "k {{ secret.stripe }}"}},
    ],
)
def test_header_values_and_auth_take_secrets(config):
    assert problems(request(**config)) == []


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"url": "https://api.example.com/{{ secret.stripe }}"}, "/url"),
        ({"url": "https://{{ secret.stripe }}.example.com/"}, "/url"),
        ({"query": {"key": "{{ secret.stripe }}"}}, "/query/key"),
        ({"query": {"key": ["{{ secret.stripe }}"]}}, "/query/key/0"),
        ({"json": {"deep": [{"key": "{{ secret.stripe }}"}]}}, "/json/deep/0/key"),
        ({"json": "{{ secret.stripe }}"}, "/json"),
        ({"body": "key={{ secret.stripe }}"}, "/body"),
        ({"form": {"key": "{{ secret.stripe }}"}}, "/form/key"),
        ({"headers": "{{ secret.stripe }}"}, "/headers"),
        ({"auth": "{{ secret.stripe }}"}, "/auth"),
        ({"auth": {"type": "header", "name": "{{ secret.stripe }}", "value": "x"}}, "/auth/name"),
        ({"method": "{{ secret.stripe }}"}, "/method"),
        ({"timeout_seconds": "{{ secret.stripe }}"}, "/timeout_seconds"),
        ({"on_unknown": "{{ secret.stripe }}"}, "/on_unknown"),
    ],
)
def test_any_other_place_is_refused_by_its_pointer(config, pointer):
    assert (pointer, "secret.not_allowed_here") in problems(request(**config))


@pytest.mark.parametrize(
    ("step_type", "config", "pointer"),
    [
        ("log", {"message": "{{ secret.stripe }}"}, "/message"),
        ("condition", {"left": "{{ secret.stripe }}", "operator": "is", "right": "x"}, "/left"),
        ("condition", {"all": [{"left": 1, "operator": "is", "right": "{{ secret.a }}"}]}, "/all/0/right"),
        ("sleep", {"seconds": "{{ secret.stripe }}"}, "/seconds"),
    ],
)
def test_steps_that_send_nothing_take_no_secrets(step_type, config, pointer):
    assert (pointer, "secret.not_allowed_here") in problems(config, step_type)


@pytest.mark.parametrize(
    "template",
    [
        "{{ secret.stripe | append: 'x' }}",
        "{{ secret.stripe | base64_encode }}",
        "{{ secret.stripe | default: 'x' }}",
        "{{ secret.stripe.size }}",
        "{{ secret.stripe[0] }}",
        "{{ secret }}",
        "{{ secret | json }}",
        "{{ secret[trigger.name] }}",
        "{{ secret.Stripe }}",
        "{{ trigger.a | append: secret.stripe }}",
        "{{ trigger.a[secret.stripe] }}",
        "{% if secret.stripe == 'a' %}x{% endif %}",
        "{% if trigger.a %}{{ secret.stripe }}{% endif %}",
        "{% assign a = secret.stripe %}{{ a }}",
        "{% capture a %}{{ secret.stripe }}{% endcapture %}{{ a | size }}",
        "{% for c in secret.stripe %}{{ c }}{% endfor %}",
        "{% case secret.stripe %}{% when 'a' %}x{% endcase %}",
        "{{ secret.stripe }}{% if trigger.a == secret.stripe %}y{% endif %}",
    ],
)
def test_nothing_can_be_done_with_a_secret_but_to_send_it(template):
    found = problems(request(headers={"X-Key": template}))

    assert found == [("/headers/X-Key", "secret.not_allowed_here")]
    with pytest.raises(PermanentStepError) as refusal:
        render_config({"X-Key": template}, {"trigger": {"a": "b", "name": "stripe"}})
    assert refusal.value.code == "secret.not_allowed_here"


def test_a_template_becomes_text_and_references():
    rendered = render_config(
        {"a": "Bearer {{ secret.stripe }}", "b": "{{ trigger.n }}-{{ secret.x }}-{{ trigger.n | plus: 1 }}"},
        {"trigger": {"n": 1}},
    )

    assert rendered["a"].as_json() == ["Bearer ", {"secret": "stripe"}]
    assert rendered["b"].as_json() == ["1-", {"secret": "x"}, "-2"]
    assert str(rendered["b"]) == "1-{{ secret.x }}-2"
    assert SecretText.from_json(rendered["b"].as_json()) == rendered["b"]


def test_data_that_looks_like_a_reference_stays_data():
    payload = {
        "text": "{{ secret.stripe }}",
        "parts": ["Bearer ", {"secret": "stripe"}],
        "auth": {"type": "bearer", "token": {"secret": "stripe"}},
    }
    config = request(headers={"X-A": "{{ trigger.text }}", "X-B": "{{ secret.own }} {{ trigger.text }}"})

    frozen = HTTP.freeze(step_types.load_config(HTTP, render_config(config, {"trigger": payload})))

    assert frozen["headers"]["X-A"] == "{{ secret.stripe }}"
    assert frozen["sealed_headers"] == [
        {"name": "X-B", "text": [{"secret": "own"}, " {{ secret.stripe }}"], "basic": False}
    ]
    for wrong in ({"headers": {"X": "{{ trigger.parts }}"}}, {"auth": "{{ trigger.auth }}"}):
        rendered = render_config(request(**wrong), {"trigger": payload})
        with pytest.raises(PermanentStepError) as refusal:
            step_types.load_config(HTTP, rendered)
        assert refusal.value.code == "config.invalid"


@pytest.mark.parametrize("config", [{"json": {"a": SECRET}}, {"url": SECRET}, {"query": {"a": SECRET}}])
def test_were_one_to_come_through_the_config_would_refuse_it(config):
    with pytest.raises(PermanentStepError) as refusal:
        step_types.load_config(HTTP, request(**config))
    assert refusal.value.code == "config.invalid"


def test_slots_are_read_off_the_config_model():
    assert slots_of(HTTP.Config) == {
        ("headers", "*"),
        ("auth", "token"),
        ("auth", "username"),
        ("auth", "password"),
        ("auth", "value"),
    }
    assert slots_of(step_types.get("log").Config) == frozenset()


@pytest.mark.parametrize(
    ("auth", "frozen"),
    [
        ({"type": "bearer", "token": "t0ken"}, {"Authorization": "Bearer t0ken"}),
        ({"type": "basic", "username": "Aladdin", "password": "open sesame"}, {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}),
        ({"type": "header", "name": "X-Key", "value": "v"}, {"X-Key": "v"}),
    ],
)  # fmt: skip
def test_auth_without_secrets_is_a_header_like_any_other(auth, frozen):
    request_ = HTTP.freeze(step_types.load_config(HTTP, request(auth=auth)))

    assert request_["headers"] == frozen
    assert "sealed_headers" not in request_


@pytest.mark.parametrize(
    "config",
    [
        {"auth": {"type": "basic", "username": "a:b"}},
        {"auth": {"type": "header", "name": "X Y", "value": "v"}},
        {"auth": {"type": "header", "name": "Idempotency-Key", "value": "v"}},
        {"auth": {"type": "bearer"}},
        {"auth": {"type": "digest", "token": "x"}},
        {"auth": {"type": "bearer", "token": "x"}, "headers": {"authorization": "y"}},
    ],
)
def test_auth_that_cannot_be_sent_is_refused(config):
    assert [code for _, code in problems(request(**config))] == ["config.invalid"]


def test_the_plan_names_the_secrets_of_a_step():
    definition = parse_definition(
        {
            "schema": 1,
            "name": "x",
            "steps": [
                {"key": "a", "type": "http_request", "config": request(headers={"X": "{{ secret.b }}{{ secret.a }}"})},
                {"key": "b", "type": "log", "config": {"message": "hello"}},
            ],
        }
    )  # fmt: skip

    assert [step.get("secrets") for step in validation.plan_of(definition)] == [["a", "b"], None]
