"""Loaded by `tests.settings_killer`."""

from __future__ import annotations

from django.apps import AppConfig


class KillerConfig(AppConfig):
    name = "tests.killer_app"
    label = "killer_app"

    def ready(self) -> None:
        from tests.killer_app import steps  # noqa: F401  registers the step types
