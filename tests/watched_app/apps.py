"""Loaded by `tests.watched_app.installing`, and by `tests.settings_watched` as any project would."""

from __future__ import annotations

from django.apps import AppConfig


class WatchedConfig(AppConfig):
    name = "tests.watched_app"
    label = "watched_app"
    default_auto_field = "django.db.models.BigAutoField"
