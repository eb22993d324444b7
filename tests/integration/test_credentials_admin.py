"""Secrets in the admin: typed in, never rendered back, told who uses them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from lightfield.access import credentials
from lightfield.access.models import AuditEntry, Credential
from tests.dom import dom_of
from tests.factories import BY, a_published_workflow
from tests.integration.test_credentials import SENT, VALUE, a_credential, calling
from workflows import services

pytestmark = pytest.mark.django_db

LIST = "admin:access_credential_changelist"
ADD = "admin:access_credential_add"
FORM = {
    "name": "stripe",
    "description": "Payments",
    "hosts": "api.stripe.com\nAPI.stripe.com:8443",
    "value": VALUE,
}


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def change(row: Credential) -> str:
    return reverse("admin:access_credential_change", args=[row.pk])


def text(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_secret_is_typed_in_and_on_no_page_afterwards(browser):
    made = browser.post(reverse(ADD), FORM, follow=True)

    row = Credential.objects.get()
    assert (row.hosts, row.created_by) == (["api.stripe.com", "api.stripe.com:8443"], "root")
    assert credentials.opened(["stripe"])["stripe"].value == VALUE
    for page in (made, browser.get(reverse(LIST)), browser.get(change(row))):
        assert page.status_code == 200
        assert VALUE not in text(page)
        assert row.ciphertext not in text(page)
    assert VALUE not in str(made.cookies)
    assert not LogEntry.objects.exists()
    assert AuditEntry.objects.get(action="credential.created").actor == "root"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "Not Good"}, "Use 1 to 40 of a-z"),
        ({"hosts": "*.example.com"}, "no wildcards"),
        ({"hosts": ""}, "This field is required."),
        ({"value": f"{VALUE} "}, "begins or ends with a blank"),
        ({"value": "short"}, "Needs 8 to 4096"),
        ({"value": ""}, "This field is required."),
    ],
)
def test_a_form_that_is_shown_again_says_what_is_wrong_and_forgets_the_value(browser, wrong, said):
    page = text(browser.post(reverse(ADD), {**FORM, **wrong}))

    assert said in page
    assert VALUE not in page
    assert not Credential.objects.exists()


def test_an_empty_field_keeps_the_value_and_a_filled_one_replaces_it(browser):
    row = a_credential()

    browser.post(change(row), {**FORM, "description": "Other words", "hosts": "api.stripe.com", "value": ""})
    assert Credential.objects.get().description == "Other words"
    assert credentials.opened(["stripe"])["stripe"].value == VALUE

    browser.post(change(row), {**FORM, "hosts": "api.stripe.com", "value": "a new value of it"})
    assert credentials.opened(["stripe"])["stripe"].value == "a new value of it"


def test_one_more_host_needs_the_value_and_the_form_says_so_beside_the_field(browser):
    row = a_credential()

    page = text(browser.post(change(row), {**FORM, "hosts": "api.stripe.com\nevil.example", "value": ""}))

    assert "needs the value again" in page
    assert Credential.objects.get().hosts == ["api.stripe.com"]


def test_two_of_one_name_are_refused_beside_the_name(browser):
    a_credential()

    assert "Another secret has this name." in text(browser.post(reverse(ADD), FORM))


def test_another_name_while_workflows_read_it_is_refused_beside_the_name(browser):
    row = a_credential()
    a_published_workflow(name="Payments", steps=[calling()])

    page = text(browser.post(change(row), {**FORM, "name": "other", "hosts": "api.stripe.com"}))

    assert "Payments" in page
    assert Credential.objects.get().name == "stripe"


def test_the_list_tells_hosts_and_who_uses_it_in_few_queries(browser, django_assert_max_num_queries):
    for n in range(5):
        a_credential(name=f"s{n}")
    a_credential()
    a_published_workflow(name="Payments", steps=[calling()])

    with django_assert_max_num_queries(9):
        page = text(browser.get(reverse(LIST)))

    for part in ("api.stripe.com", "Payments", "…6789", "nobody"):
        assert part in page


def test_one_that_is_used_is_not_deleted_and_the_page_says_by_whom(browser):
    row = a_credential()
    workflow = a_published_workflow(name="Payments", steps=[calling()])
    delete = reverse("admin:access_credential_delete", args=[row.pk])

    refused = browser.post(delete, {"post": "yes"}, follow=True)
    assert "Payments" in text(refused)
    assert Credential.objects.exists()

    services.archive(workflow_id=workflow.pk, by=BY)
    browser.post(delete, {"post": "yes"})
    assert not Credential.objects.exists()
    assert AuditEntry.objects.get(action="credential.deleted").actor == "root"


def test_who_may_only_look_sees_no_form_that_writes():
    row = a_credential()
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_credential"))
    client = Client()
    client.force_login(user)

    assert client.get(reverse(LIST)).status_code == 200
    assert client.get(reverse(ADD)).status_code == 403
    looked = client.get(change(row))
    assert looked.status_code == 200
    assert 'name="value"' not in text(looked)
    assert client.post(change(row), {**FORM, "value": "some other value"}).status_code == 403
    assert credentials.opened(["stripe"])["stripe"].value == SENT["value"]


def test_a_page_is_titled_by_the_name_as_templates_write_it(browser):
    row = a_credential()

    titles = [dom_of(browser.get(page)).all("h1")[0].text.split() for page in (change(row), reverse(ADD))]

    assert titles == [["Secrets", "chevron_right", "stripe"], ["Secrets", "chevron_right", "New", "secret"]]


def test_names_and_words_are_escaped(browser):
    a_credential(description="<img src=x onerror=alert(1)>")

    assert "<img src=x" not in text(browser.get(reverse(LIST)))
