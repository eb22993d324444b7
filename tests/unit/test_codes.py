"""Codes of errors: each is in the catalogue, with what it means and what to do."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from lightfield.kernel.catalogue import CATALOGUE, Entry, add, forget
from lightfield.kernel.errors import PermanentStepError, RequestRefused, TransientStepError
from workflows.step_types import StepContext


@pytest.mark.parametrize("kind", [PermanentStepError, TransientStepError, RequestRefused])
def test_an_error_whose_code_nobody_catalogued_cannot_be_raised(kind):
    with pytest.raises(KeyError):
        kind("http.no_such_code")


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_a_namespace_a_meaning_and_a_remedy(code):
    assert re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code)
    assert CATALOGUE[code].meaning.strip()
    assert CATALOGUE[code].remedy.strip()


WEATHER = Entry("weather.no_station", True, None, "No station is near.", "Name another place.")


def test_an_app_adds_codes_of_its_own_and_raises_them():
    add(WEATHER)
    add(WEATHER)  # `ready()` may run twice
    try:
        assert TransientStepError("weather.no_station").message == "No station is near."
        with pytest.raises(ValueError, match="another meaning"):
            add(Entry("weather.no_station", False, None, "Something else.", "Nothing."))
    finally:
        forget("weather.no_station")
    assert "weather.no_station" not in CATALOGUE


@pytest.mark.parametrize("code", ["http.of_mine", "weather", "Weather.x", "weather.x.y", "weather. x", ""])
def test_an_app_cannot_add_to_our_namespaces_nor_what_is_no_code(code):
    with pytest.raises(ValueError, match=r"is no code|namespace of your own"):
        add(Entry(code, False, None, "x", "y"))
    assert code not in CATALOGUE


def test_a_step_without_time_left_times_out():
    context = StepContext(
        run_id="r",
        step_key="s",
        attempt=2,
        trace_id="0" * 32,
        idempotency_key="k",
        deadline=time.monotonic() - 1,
    )
    with pytest.raises(TransientStepError) as refused:
        context.seconds_left()
    assert refused.value.code == "step.timeout"
    assert 0 < replace(context, deadline=time.monotonic() + 60).seconds_left() <= 60
