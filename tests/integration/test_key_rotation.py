"""Sealing anew with the first key: everything opens before, meanwhile and afterwards, and no edit is lost."""

from __future__ import annotations

import base64
import threading
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.core import checks
from django.core.management import call_command

from executions.notices.models import NoticeSecret
from lightfield.access import credentials, key_rotation, keyring, sealed_columns
from lightfield.access.models import Credential, StoredAnswer
from lightfield.access.sealed_columns import COLUMNS
from tests.api_client import ApiCaller
from tests.concurrency import race
from tests.factories import BY, a_published_workflow
from tests.integration.test_credentials import SENT, VALUE
from tests.signing import SECRETS, a_signed_workflow
from triggers import services as triggers
from triggers import webhook_secrets
from triggers.models import Trigger, WebhookSecret

pytestmark = pytest.mark.django_db(transaction=True)

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
BOTH = f"{NEW},{OLD}"


@pytest.fixture(autouse=True)
def sealed_with_the_old_key(settings: Any) -> None:
    settings.LIGHTFIELD_ENCRYPTION_KEYS = OLD


def some_of_everything() -> dict[str, Any]:
    """What can be opened, by what it is; each told as its plain text."""
    credentials.create(sent=SENT, by=BY)
    credentials.create(sent={**SENT, "name": "second", "value": "another-value"}, by=BY)
    a_signed_workflow()
    a_published_workflow(
        settings={"on_failure": {"webhook": {"url": "https://a.test/x", "secret": SECRETS["standard"]}}}
    )
    assert ApiCaller().post("/workflows", {"schema": 1, "name": "x"}, idempotency_key="k").status_code == 201
    return plain_texts()


def plain_texts() -> dict[str, Any]:
    return {
        "secrets": {name: opened.value for name, opened in credentials.opened(["stripe", "second"]).items()},
        "addresses": sorted(triggers.webhook_path(trigger) for trigger in Trigger.objects.all()),
        "webhook secrets": sorted(webhook_secrets.opened(WebhookSecret.objects.all())),
        "notice secrets": [
            keyring.decrypt(row.ciphertext, bound_to=f"notice-secret:{row.pk}")
            for row in NoticeSecret.objects.all()
        ],
        "answers": [
            keyring.decrypt(answer.body, bound_to=f"stored-answer:{answer.pk}")
            for answer in StoredAnswer.objects.all()
        ],
    }


def command(*options: str) -> tuple[int, str]:
    told = StringIO()
    try:
        call_command("rotate_keys", *options, stdout=told, no_color=True)
    except SystemExit as ended:
        return int(ended.code or 0), told.getvalue()
    return 0, told.getvalue()


def test_everything_is_sealed_with_the_first_key_and_opens_without_the_old_one(settings):
    before = some_of_everything()
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH

    code, told = command("--check")
    assert (code, "Still needed besides new: old." in told) == (1, True)
    code, told = command()

    assert code == 0, told
    assert "secrets:           2 by new; 2 sealed anew" in told
    assert "webhook addresses: 3 by new; 3 sealed anew" in told
    assert "webhook secrets:   1 by new; 1 sealed anew" in told
    assert "notice secrets:    1 by new; 1 sealed anew" in told
    assert "stored answers:    1 by new; 1 sealed anew" in told
    assert "No longer needed: old" in told
    settings.LIGHTFIELD_ENCRYPTION_KEYS = NEW
    assert plain_texts() == before
    assert command("--check")[0] == 0


def test_a_second_run_writes_nothing(settings):
    some_of_everything()
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH
    command()
    sealed = list(Credential.objects.order_by("pk").values_list("ciphertext", flat=True))

    assert command()[0] == 0

    assert list(Credential.objects.order_by("pk").values_list("ciphertext", flat=True)) == sealed


def test_every_column_with_ciphertexts_is_known():
    """A column that nobody declared would be left behind, and its key taken away."""
    some_of_everything()
    declared = {(column.model._meta.db_table, column.column) for column in COLUMNS}

    assert declared == set(columns_with_ciphertexts())


def columns_with_ciphertexts() -> list[tuple[str, str]]:
    return [
        (model._meta.db_table, str(field.column))
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.get_internal_type() in ("TextField", "CharField")
        and model._base_manager.filter(**{f"{field.name}__startswith": "lf1."}).exists()
    ]


def test_given_it_dies_in_the_middle_then_everything_opens_and_the_next_run_ends_it(settings):
    before = some_of_everything()
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH
    with pytest.raises(KeyboardInterrupt):
        rotate_and_die_after_the_first()
    assert plain_texts() == before
    assert command("--check")[0] == 1

    assert command()[0] == 0
    assert plain_texts() == before


def rotate_and_die_after_the_first() -> None:
    real = keyring.encrypt
    calls: list[int] = []

    def encrypt(plaintext: str, *, bound_to: str) -> str:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(plaintext, bound_to=bound_to)

    with mock.patch.object(keyring, "encrypt", encrypt):
        key_rotation.rotate()


def test_given_an_edit_between_its_reading_and_writing_then_the_edit_stays(settings):
    row = credentials.create(sent=SENT, by=BY)
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH
    real = keyring.encrypt
    edited: list[str] = []

    def edit_first(plaintext: str, *, bound_to: str) -> str:
        sealed = real(plaintext, bound_to=bound_to)
        if not edited:
            edited.append("once")
            credentials.change(credential_id=row.pk, sent={"value": "the value of the edit"}, by=BY)
        return sealed

    with mock.patch.object(keyring, "encrypt", edit_first):
        report = key_rotation.rotate()[0]

    assert (report.renewed, report.changed_meanwhile) == (0, 1)
    assert credentials.opened(["stripe"])["stripe"].value == "the value of the edit"


def test_under_load_every_read_succeeds_and_no_edit_is_lost(settings):
    """Two rotations at once, editors and readers; each editor knows the last value that it wrote."""
    rows = [credentials.create(sent={**SENT, "name": f"s{n}"}, by=BY) for n in range(8)]
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH
    over = threading.Event()
    last: dict[str, str] = {row.name: VALUE for row in rows}

    def edit(mine: list[Credential]) -> int:
        for number in range(25):
            for row in mine:
                value = f"value {number} of {row.name}"
                credentials.change(credential_id=row.pk, sent={"value": value}, by=BY)
                last[row.name] = value
        over.set()
        return 0

    def rotate() -> int:
        rounds = 0
        while not over.is_set() or not rounds:
            key_rotation.rotate()
            rounds += 1
        return rounds

    def read() -> int:
        reads = 0
        while not over.is_set():
            assert len(credentials.opened([row.name for row in rows])) == 8
            reads += 1
        return reads

    results = race(lambda: edit(rows[:4]), rotate, rotate, read, read)

    assert [result for result in results if isinstance(result, Exception)] == []
    key_rotation.rotate()
    settings.LIGHTFIELD_ENCRYPTION_KEYS = NEW
    assert {name: opened.value for name, opened in credentials.opened(list(last)).items()} == last


def test_what_cannot_be_opened_is_told_and_the_rest_is_sealed_anew(settings):
    some_of_everything()
    broken = Credential.objects.get(name="second")
    Credential.objects.filter(pk=broken.pk).update(hosts=["evil.example"])
    settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH

    code, told = command()

    assert code == 1
    assert str(broken.pk) in told
    assert "1 by new, 1 by old; 1 sealed anew" in told
    assert VALUE not in told


def test_given_a_key_was_taken_away_too_early_then_check_deploy_names_it(settings):
    some_of_everything()
    settings.LIGHTFIELD_ENCRYPTION_KEYS = NEW

    (found,) = [one for one in checks.run_checks(include_deployment_checks=True) if one.id == "access.E002"]

    assert "Not on the ring: old" in found.msg
    code, told = command("--check")
    assert (code, "Put back: old" in told) == (1, True)
    assert [row.of.title for row in sealed_columns.unreadable()].count("secrets") == 2
    assert not [one for one in checks.run_checks() if one.id == "access.E002"], "a start asks no database"


def test_more_rows_than_one_read_takes_are_all_found(settings):
    with mock.patch.object(sealed_columns, "BATCH", 3):
        for n in range(7):
            credentials.create(sent={**SENT, "name": f"s{n}"}, by=BY)
        settings.LIGHTFIELD_ENCRYPTION_KEYS = BOTH

        assert key_rotation.rotate()[0].renewed == 7
