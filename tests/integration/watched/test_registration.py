"""Which models can be watched, and what a project is told of one that cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps

from executions.models import Run
from lightfield.local.boot import ROOT
from tests.capturing import capturing
from tests.watched_app.models import Dated, Hotel, Invoice, PaperByTitle, Place, Restaurant, Safe
from triggers.models import OutboxEvent
from triggers.records import checks, database, watchable, watching, who_asks
from triggers.records.registration import register, register_all

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    before = {watch.model: watch for watch in watching.all_watches()}
    yield
    assert {watch.model: watch for watch in watching.all_watches()} == before


def a_model(**body: Any) -> Any:
    return type("Thing", (models.Model,), {"__module__": __name__, **body})


def meta(**options: Any) -> Any:
    return type("Meta", (), {"app_label": "watched_app", **options})


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "an abstract model": (
        lambda: Dated,
        {},
        "watched_app.Dated cannot be watched: it has no table of its own; watch the model",
    ),
    "a proxy": (lambda: PaperByTitle, {}, "it has no table of its own; watch the model that has"),
    "a child": (
        lambda: Restaurant,
        {},
        "its fields lie in several tables (multi-table inheritance); watch the model it",
    ),
    "a child of two": (lambda: Hotel, {}, "its fields lie in several tables"),
    "a key of two columns": (
        lambda: a_model(
            Meta=meta(),
            pk=models.CompositePrimaryKey("a", "b"),
            a=models.IntegerField(),
            b=models.IntegerField(),
        ),
        {},
        "its primary key is made of several fields; give it one of its own",
    ),
    "a run": (lambda: Run, {}, "it belongs to the engine"),
    "an event": (lambda: OutboxEvent, {}, "it belongs to the engine"),
    "a field that is not there": (
        lambda: ContentType,
        {"exclude": ["secret"]},
        "exclude names 'secret', which is no field that events tell; there are app_label, model.",
    ),
    "a column instead of its field": (
        lambda: a_model(Meta=meta(), owner=models.ForeignKey(User, models.CASCADE, related_name="+")),
        {"exclude": ["owner_id"]},
        "exclude names 'owner_id', which is no field that events tell; there are owner.",
    ),
    "the key": (
        lambda: ContentType,
        {"exclude": ["id"]},
        "exclude names 'id', which is no field that events tell",
    ),
    "a text as list": (
        lambda: ContentType,
        {"exclude": "model"},
        "exclude is a list of names, such as ['model']",
    ),
    "a name with a space": (
        lambda: ContentType,
        {"entity": "my type"},
        "'my type' is no name for it; give it an entity of",
    ),
    "a name with capitals": (lambda: ContentType, {"entity": "Type"}, "'Type' is no name for it"),
    "a name that is too long": (lambda: ContentType, {"entity": "a" * 101}, "is no name for it"),
    "a name of letters from elsewhere": (lambda: ContentType, {"entity": "größe"}, "is no name for it"),
    "a name that another has": (
        lambda: ContentType,
        {"entity": "invoice"},
        "watched_app.Invoice is called 'invoice' already; give one of them another entity.",
    ),
    "other options": (lambda: Safe, {}, "it is watched already, with other options; say it in one place"),
    "another name for the same": (
        lambda: Invoice,
        {"entity": "bill"},
        "it is watched already, with other options",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@isolate_apps("tests.watched_app")
def test_what_cannot_be_watched_is_refused_with_what_to_do(what: str) -> None:
    model, options, told = REFUSED[what]
    with pytest.raises(ImproperlyConfigured) as caught:
        register(model(), **options)
    assert told in str(caught.value)
    assert "cannot be watched: " in str(caught.value)


@isolate_apps("tests.watched_app")
def test_a_model_that_was_swapped_out_is_refused() -> None:
    with (
        override_settings(OLD_USER="auth.User"),
        pytest.raises(ImproperlyConfigured, match=r"replaced by auth\.User; watch"),
    ):
        watchable(a_model(Meta=meta(swappable="OLD_USER")))


def test_registering_the_same_again_changes_nothing() -> None:
    watch = watching.find(Invoice)
    assert register(Invoice) is watch
    assert watchable(entity="safe_box", exclude=["secret"])(Safe) is Safe
    assert Place._save_table is not models.Model._save_table  # type: ignore[attr-defined]


def test_the_fields_of_a_user_are_told_without_the_password() -> None:
    watch = watching.named("user")
    assert watch is not None
    assert watch.exclude == {"password", "last_login"}
    assert {"username", "email"} <= watch.fields.keys()
    assert not {"password", "id", "last_login"} & watch.fields.keys()


SETTINGS: dict[str, tuple[Any, str]] = {
    "a list": (["auth.User"], 'LIGHTFIELD_WATCH: expected a dict such as {"billing.Invoice": {}}.'),
    "no options": ({"auth.Group": None}, "LIGHTFIELD_WATCH['auth.Group']: expected a dict of options"),
    "an unknown option": (
        {"auth.Group": {"fields": []}},
        "no such option: fields; there are entity and exclude.",
    ),
    "an unknown app": ({"billing.Invoice": {}}, "LIGHTFIELD_WATCH['billing.Invoice']: No installed app"),
    "an unknown model": ({"auth.Invoice": {}}, "LIGHTFIELD_WATCH['auth.Invoice']: App 'auth' doesn't have"),
    "no label": ({"Invoice": {}}, "Models are named as 'app_label.Model'"),
    "a class": ({User: {}}, "Models are named as 'app_label.Model'"),
    "a number as name": ({"auth.Group": {"entity": 1}}, "entity is a name, in quotes."),
    "a text as list": ({"auth.Group": {"exclude": "name"}}, "exclude is a list of names"),
    "a list of numbers": ({"auth.Group": {"exclude": [1]}}, "exclude is a list of names"),
    "a model that cannot": (
        {"executions.Run": {}},
        "executions.Run cannot be watched: it belongs to the engine",
    ),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_a_setting_that_is_wrong_is_refused_with_what_to_do(what: str) -> None:
    value, told = SETTINGS[what]
    with pytest.raises(ImproperlyConfigured) as caught:
        register_all(value)
    assert told in str(caught.value)


class ToTheArchive:
    """A router that keeps invoices elsewhere."""

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "archive" if model is Invoice else None


def test_a_watched_model_that_a_router_sends_elsewhere_is_told() -> None:
    with override_settings(DATABASE_ROUTERS=[ToTheArchive()]):
        (found,) = checks.check_routes()
    assert found.id == "triggers.W001"
    assert found.msg.startswith("watched_app.Invoice is watched, and a router sends its writes to 'archive'")
    assert checks.check_routes() == []


def test_a_mode_that_nobody_knows_is_told() -> None:
    assert checks.check_settings() == []
    with override_settings(LIGHTFIELD_CAPTURE="triggers"):
        (found,) = checks.check_settings()
    assert (found.id, found.hint) == ("triggers.E001", "Set it to one of orm, trigger.")


@pytest.mark.django_db(transaction=True)
def test_tables_that_are_arranged_for_another_mode_are_told() -> None:
    # Given tables as migrate left them
    database.arrange()
    assert checks.check_tables(databases=["default"]) == []

    # When the setting changes, and migrate has not run
    with override_settings(LIGHTFIELD_CAPTURE="trigger"):
        found = checks.check_tables(databases=["default"])
        assert len(found) == len(watching.all_watches()) + len(who_asks.TABLES)
        assert {one.id for one in found} == {"triggers.W002"}

    # Then it is silent again once that is done
    with capturing("trigger"):
        assert checks.check_tables(databases=["default"]) == []
    assert checks.check_tables(databases=[]) == checks.check_tables() == []


@pytest.mark.django_db(transaction=True)
def test_a_watched_model_without_a_table_is_told_and_harms_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            'ALTER TABLE watched_app_invoice RENAME TO "away"; CREATE VIEW watched_app_invoice AS SELECT * FROM away'
        )
        try:
            database.arrange()
            assert [one.msg for one in checks.check_tables(databases=["default"])] == [
                'The table "watched_app_invoice" is not arranged for LIGHTFIELD_CAPTURE=orm.'
            ]
        finally:
            cursor.execute('DROP VIEW watched_app_invoice; ALTER TABLE "away" RENAME TO watched_app_invoice')
    database.arrange()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "no issues"),
        ("LIGHTFIELD_CAPTURE = 'triggers'", "triggers.E001"),
        (
            "LIGHTFIELD_WATCH = {'billing.Invoice': {}}",
            "LIGHTFIELD_WATCH['billing.Invoice']: No installed app",
        ),
    ],
)
def test_a_project_of_ones_own_is_checked(line: str, told: str, tmp_path: Any) -> None:
    """In a child, with an app installed as any project installs it."""
    (tmp_path / "project.py").write_text(f"from tests.settings_watched import *\n{line}\n")
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "project", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, str(ROOT / "manage.py"), "check"]
    found = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert told in found.stdout + found.stderr
    assert (found.returncode == 0) == (told == "no issues")
