"""Loaded by `tests.settings_weather`."""

from __future__ import annotations

from django.apps import AppConfig


class WeatherConfig(AppConfig):
    name = "tests.weather_app"
    label = "weather"

    def ready(self) -> None:
        from tests.weather_app import steps, tools  # noqa: F401  registers the step types and the kind of tool
