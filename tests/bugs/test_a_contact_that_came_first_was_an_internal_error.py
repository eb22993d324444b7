"""Two people add the same contact at once in the admin: the second is told, and gets no page of an internal error."""

from __future__ import annotations

from typing import Any

import pytest

from crm import services
from crm.models import Account, Contact
from tests.admin_client import a_person

pytestmark = pytest.mark.django_db


def test_given_a_contact_with_this_address_that_came_first_when_saved_then_the_form_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first(*, record: Contact, by: str) -> None:
        Contact.objects.create(email="ada@example.com")  # after the form has judged
        create(record=record, by=by)

    create = services.create_record
    monkeypatch.setattr(services, "create_record", first)
    answer = a_person().post("/admin/crm/contact/add/", {"email": "Ada@example.com"}, follow=True)
    assert answer.status_code == 200
    assert "Nothing was saved: Another contact has this e-mail address." in answer.content.decode()


def test_given_a_record_deleted_while_it_was_edited_then_the_form_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = Account.objects.create(name="Acme")

    def first(**given: Any) -> Any:
        Account.objects.all().delete()
        return edit(**given)

    edit = services.edit_record
    monkeypatch.setattr(services, "edit_record", first)
    answer = a_person().post(f"/admin/crm/account/{account.pk}/change/", {"name": "Apex", "custom": "{}"})
    assert answer.status_code == 302
