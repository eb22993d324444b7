"""Bringing the app into a running test, tables and all, and taking it out again without a trace.

The product's settings do not know it. `tests.settings_watched` shows the ordinary way, which a child process takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth import get_user_model
from django.db import connection

from tests import emptying
from triggers.records import database, registration, watching

SCHEMA = "watched_elsewhere"
PARTITIONED = """
CREATE TABLE watched_app_reading (id bigint PRIMARY KEY, value integer NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE watched_app_reading_low PARTITION OF watched_app_reading FOR VALUES FROM (0) TO (100);
CREATE TABLE watched_app_reading_high PARTITION OF watched_app_reading FOR VALUES FROM (100) TO (1000)
"""
USERS = {"auth.User": {"entity": "user", "exclude": ["last_login"]}}


_config = AppConfig.create("tests.watched_app")
_watches: list[watching.Watch] = []  # what the decorators said when the module was loaded


def load() -> None:
    """Import the models, and have nobody else see them: tests name them before they are installed."""
    with _registered():
        _config.import_models()
        _watches[:] = [watch for watch in watching.all_watches() if watch.model in _models()]
    for watch in _watches:
        watching.forget(watch.model)


@contextmanager
def installed() -> Iterator[None]:
    """The app with its tables, and users watched by the setting LIGHTFIELD_WATCH."""
    with _registered(), _tables():
        for watch in _watches:
            watching.add(watch)
        registration.register_all(USERS)
        database.arrange()
        try:
            yield
        finally:
            _forget()


@contextmanager
def _registered() -> Iterator[None]:
    _config.apps = apps
    _config.models = apps.all_models[_config.label]
    apps.app_configs[_config.label] = _config
    apps.clear_cache()  # users get to know who refers to them
    try:
        yield
    finally:
        del apps.app_configs[_config.label]
        apps.clear_cache()


def _models() -> list[Any]:
    return [model for model in _config.get_models() if not model._meta.proxy]


@contextmanager
def _tables() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}; {PARTITIONED}")
    with connection.schema_editor() as editor:
        for model in _models():
            if model._meta.managed:
                editor.create_model(model)
    emptying.forget_tables()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            for model in _models():
                cursor.execute(f"DROP TABLE {connection.ops.quote_name(model._meta.db_table)} CASCADE")
            cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
        emptying.forget_tables()


def _forget() -> None:
    user = get_user_model()
    for model in [*_models(), user]:
        watching.forget(model)
    for name in ("save_base", "_save_table"):
        delattr(user, name)  # wrapped when it was registered
    database.arrange()
