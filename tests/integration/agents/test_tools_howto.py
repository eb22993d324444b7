"""docs/howto/add-a-kind-of-tool.md: what it says to write does what it says. docs/agent-tools.md: its permissions are such."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator

import pytest

from executions import egress
from executions.agents import tools
from executions.agents.tools.http import SENT_HEADERS, TOLD_HEADERS
from lightfield.local.boot import ROOT
from lightfield.testing import Fakes
from lightfield.testing.far_end import client_for
from tests.tool_calls import granted, teller

HOWTO = (ROOT / "docs" / "howto" / "add-a-kind-of-tool.md").read_text()
PAGE = (ROOT / "docs" / "agent-tools.md").read_text()
BERN = {"type": "weather", "places": ["Bern"]}


@pytest.fixture
def weather() -> Iterator[None]:
    """The app's kind of tool, for this test."""
    module = importlib.import_module("tests.weather_app.tools")
    tools.register(module.Weather)
    try:
        yield
    finally:
        tools.unregister("weather")


def test_the_page_shows_the_app_as_it_is():
    shown = re.findall(r"^```python\n(.*?)^```", HOWTO, flags=re.DOTALL | re.MULTILINE)
    assert shown == [(ROOT / "tests" / "weather_app" / "tools.py").read_text()]


@pytest.mark.usefixtures("weather")
def test_the_kind_of_the_page_permits_what_it_names_and_nothing_else():
    fakes = Fakes()
    fakes.http("https://weather.example/v1/now", json={"celsius": 21.5, "sky": "clear", "more": 1})
    before = egress.use(client_for(fakes))
    tell = teller(BERN, key="run:agent:call_9")
    try:
        assert tell("weather", {"place": "Bern"}) == {"celsius": 21.5, "sky": "clear"}
        assert tell("weather", {"place": "Paris"})["error"] == "ai.permission_denied"
        assert tell("weather", {"place": ["Bern"]})["error"] == "ai.permission_denied"
    finally:
        egress.use(before)
    (sent,) = fakes.requests
    assert sent.url == "https://weather.example/v1/now?place=Bern"
    assert sent.headers["idempotency-key"] == "run:agent:call_9"


@pytest.mark.usefixtures("weather")
def test_its_permission_is_fixed_when_it_is_published():
    kind = tools.find("weather")
    assert kind is not None
    assert kind.unpublishable(BERN) == []
    assert [one.pointer for one in kind.unpublishable({**BERN, "places": ["{{ trigger.x }}"]})] == [
        "/places/0"
    ]
    assert (kind.reads_private, kind.sends_out, kind.reads_outside) == (False, True, True)


def test_the_permissions_of_the_page_can_be_published_and_bring_the_tools_that_it_names():
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    grants = json.loads("{" + shown + "}")["tools"]
    for grant in grants:
        kind = tools.find(grant["type"])
        assert kind is not None
        assert kind.unpublishable(grant) == []
    assert all(f"`{name}`" in PAGE for name in granted(*grants))


def test_the_page_names_every_header():
    words = {word.lower() for word in re.findall(r"`([A-Za-z-]+)`", PAGE)}
    assert words >= {*SENT_HEADERS, *TOLD_HEADERS}
