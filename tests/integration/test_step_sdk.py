"""docs/howto/add-a-step-type.md and test-your-workflows.md: what they say to write does what they say."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from jsonschema import validators

from lightfield.kernel.catalogue import CATALOGUE, forget
from lightfield.local.boot import ROOT
from tests.api_client import ApiCaller
from tests.scripted import ScriptedFast, installed
from workflows import step_types
from workflows.step_catalogue import described
from workflows.step_types import JsonObject, SlowStepType, StepConfig, StepContext

HOWTO = (ROOT / "docs" / "howto" / "add-a-step-type.md").read_text()
TESTING = (ROOT / "docs" / "howto" / "test-your-workflows.md").read_text()
OF_THE_APP = ("convert_temperature", "forecast")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def examples_in(text: str) -> dict[str, Any]:
    """The tests that a page shows, by name; each block is a file of its own."""
    found: dict[str, Any] = {}
    for code in blocks(text, "python"):
        if "def test_" in code:
            names: dict[str, Any] = {}
            exec(code, names)
            found |= {name: value for name, value in names.items() if name.startswith("test_")}
    return found


@pytest.fixture
def weather_app() -> Iterator[None]:
    """The app's step types, for this test."""
    from tests.weather_app import steps

    for one in (steps.ConvertTemperature, steps.Forecast):
        step_types.register(one)
    try:
        yield
    finally:
        for name in OF_THE_APP:
            step_types.unregister(name)


def manage(*arguments: str) -> str:
    """A command of a project that has the app installed by its settings, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings_weather", "LIGHTFIELD_ROLE": "command"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_step_types_that_it_shows_are_those_of_the_test_app():
    shown = [block for block in blocks(HOWTO, "python") if "class Forecast(" in block]

    assert shown == [(ROOT / "tests" / "weather_app" / "steps.py").read_text()]


def test_an_app_in_the_settings_brings_its_step_types_and_codes():
    listed = {one["name"]: one for one in json.loads(manage("steps", "--json"))}

    assert set(OF_THE_APP) < set(listed)
    assert listed["forecast"]["app"] == "tests.weather_app"
    assert (listed["forecast"]["lane"], listed["convert_temperature"]["lane"]) == ("http", "fast")
    assert set(listed["forecast"]["config_schema"]["properties"]) == {"place", "days"}
    assert set(listed["forecast"]["output_schema"]["properties"]) == {"celsius", "sky"}
    assert listed["log"]["app"] == "executions"
    assert "weather.unknown_place (not retried)" in manage("errors", "weather.")


def test_the_command_shows_a_step_type_as_the_page_says():
    (shown,) = [block for block in blocks(HOWTO, "console") if "bin/manage steps forecast" in block]

    assert shown.partition("\n")[2] in manage("steps", "forecast").replace("tests.weather_app", "weather")


def test_the_command_lists_what_is_installed_here_and_refuses_what_is_not():
    out = io.StringIO()
    call_command("steps", stdout=out)
    lines = out.getvalue().splitlines()

    assert "log  (fast lane, executions)" in lines
    assert "  config: method, url, [headers], [auth], [query], [json], [body], [form], [timeout_seconds], [on_unknown], [allow_redirects]" in lines  # fmt: skip
    assert "  output: passed" in lines
    with pytest.raises(CommandError, match=r"no step type 'nope'; installed are ai_agent, condition, "):
        call_command("steps", "nope")


@pytest.mark.django_db
def test_the_api_lists_the_same():
    listed = ApiCaller("viewer").get("/step-types").json()["results"]

    out = io.StringIO()
    call_command("steps", "--json", stdout=out)
    assert listed == json.loads(out.getvalue())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("weather_app")
@pytest.mark.parametrize("name", examples_in(HOWTO))
def test_the_tests_of_a_step_type_that_it_shows_pass(name):
    examples_in(HOWTO)[name]()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", examples_in(TESTING))
def test_the_tests_of_a_workflow_that_it_shows_pass(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    examples_in(TESTING)[name]()


def test_the_agent_step_is_listed_with_what_it_may_be_permitted_and_what_it_gives():
    listed = {one.name: one for one in described()}["ai_agent"]

    permitted = listed.config_schema["properties"]["tools"]["items"]["anyOf"]
    kinds = [listed.config_schema["$defs"][one["$ref"].rpartition("/")[2]] for one in permitted]
    assert {one["properties"]["type"]["const"] for one in kinds} == {"http", "read_records", "write_records"}
    assert all(one["description"] for one in kinds)
    assert listed.output_schema is not None
    assert set(listed.output_schema["properties"]) == {"output", "usage", "tool_calls"}
    assert {"type": "null"} in listed.output_schema["properties"]["usage"]["properties"]["cost"]["anyOf"]
    validators.validator_for(listed.config_schema).check_schema(listed.config_schema)


class Anything(StepConfig):
    place: str = "Bern"


class Plain(SlowStepType[Anything]):
    lane = "http"
    Config = Anything

    def execute(self, request: JsonObject, context: StepContext) -> JsonObject:
        return request


class Frozen(Plain):
    def freeze(self, config: Anything) -> JsonObject:
        return {"at": "now", **config.model_dump()}


class FrozenEarly(Frozen):
    freezes_early = True


def test_a_slow_step_type_needs_no_more_than_execute():
    assert Plain().freeze(Anything()) == {"place": "Bern"}
    assert Plain().time_limit({}) == 30.0
    assert Plain.freezes_early


def test_a_freeze_of_ones_own_is_not_asked_early_unless_it_says_so():
    assert not Frozen.freezes_early
    assert FrozenEarly.freezes_early


class Unspeakable(StepConfig):
    """A field for which there is no JSON Schema."""

    called: Callable[[], None] | None = None


@pytest.mark.django_db
def test_given_an_app_whose_config_has_no_schema_then_the_others_are_listed_all_the_same(caplog):
    with installed("unspeakable", ScriptedFast, Config=Unspeakable):
        listed = ApiCaller("viewer").get("/step-types").json()["results"]
        out = io.StringIO()
        call_command("steps", stdout=out)
        call_command("steps", "unspeakable", stdout=out)

    assert {
        one["name"]: bool(one["config_schema"]) for one in listed if one["name"] in ("log", "unspeakable")
    } == {"log": True, "unspeakable": False}
    assert "unspeakable  (fast lane, " in out.getvalue()
    assert "not_described" in caplog.text


def test_codes_of_the_app_are_gone_with_it():
    """Other tests count what is in the catalogue."""
    forget("weather.unknown_place", "weather.unavailable")
    assert "weather.unavailable" not in CATALOGUE
