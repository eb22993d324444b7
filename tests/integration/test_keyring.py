"""Secrets at rest: what opens them, and what does not."""

from __future__ import annotations

import base64

import pytest

from lightfield.access import keyring
from lightfield.access.keyring import UnreadableSecret
from lightfield.kernel.env import InvalidSetting

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()


@pytest.fixture(autouse=True)
def one_key(settings):
    settings.LIGHTFIELD_ENCRYPTION_KEYS = OLD


def test_a_secret_comes_back_as_it_was():
    sealed = keyring.encrypt("grüße 🗝", bound_to="row:1")

    assert keyring.decrypt(sealed, bound_to="row:1") == "grüße 🗝"


def test_the_same_secret_is_sealed_differently_each_time():
    assert keyring.encrypt("s", bound_to="row:1") != keyring.encrypt("s", bound_to="row:1")


def test_a_ciphertext_copied_to_another_row_does_not_open():
    sealed = keyring.encrypt("s", bound_to="row:1")

    with pytest.raises(UnreadableSecret) as refusal:
        keyring.decrypt(sealed, bound_to="row:2")
    assert refusal.value.code == "secret.unreadable"


@pytest.mark.parametrize("position", [0, 4, 8, 20, -1])
def test_a_changed_ciphertext_does_not_open(position):
    sealed = keyring.encrypt("secret", bound_to="row:1")
    other = "A" if sealed[position] != "A" else "B"
    changed = sealed[:position] + other + sealed[position + 1 :] if position >= 0 else sealed[:-1] + other

    with pytest.raises(UnreadableSecret):
        keyring.decrypt(changed, bound_to="row:1")


@pytest.mark.parametrize("text", ["", "plain", "lf1.", "lf1.old", "lf1.old.", "lf1.old.====", "lf1.old.AAAA"])
def test_what_is_no_ciphertext_is_refused(text):
    with pytest.raises(UnreadableSecret):
        keyring.decrypt(text, bound_to="row:1")


def test_given_a_new_first_key_then_old_secrets_open_and_new_ones_use_it(settings):
    sealed = keyring.encrypt("s", bound_to="row:1")

    settings.LIGHTFIELD_ENCRYPTION_KEYS = f"{NEW}, {OLD}"

    assert keyring.decrypt(sealed, bound_to="row:1") == "s"
    assert keyring.encrypt("s", bound_to="row:1").startswith("lf1.new.")


def test_given_a_key_that_was_taken_away_then_its_secrets_do_not_open_and_the_error_names_it(settings):
    sealed = keyring.encrypt("s", bound_to="row:1")
    settings.LIGHTFIELD_ENCRYPTION_KEYS = NEW

    with pytest.raises(UnreadableSecret, match="'old'"):
        keyring.decrypt(sealed, bound_to="row:1")


@pytest.mark.parametrize(
    "listing",
    [
        "",
        " , ",
        "nonsense",
        "id:" + base64.b64encode(b"short").decode(),
        f"{OLD},{OLD}",
        ":" + OLD[4:],
        "a b:" + OLD[4:],
        "id:!!!",
    ],
)
def test_an_unusable_list_of_keys_is_an_invalid_setting(settings, listing):
    settings.LIGHTFIELD_ENCRYPTION_KEYS = listing

    with pytest.raises(InvalidSetting, match="LIGHTFIELD_ENCRYPTION_KEYS") as refusal:
        keyring.encrypt("s", bound_to="row:1")
    assert "short" not in str(refusal.value)
