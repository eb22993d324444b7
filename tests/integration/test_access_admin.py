"""API keys and the audit trail in the admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from lightfield.access.keys import create_key
from lightfield.access.models import ApiKey, AuditEntry
from tests.api_client import ApiCaller

pytestmark = pytest.mark.django_db

KEYS = "admin:access_apikey_changelist"
MAKE = "admin:access_apikey_add"
TRAIL = "admin:access_auditentry_changelist"


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def test_a_key_is_made_and_shown_on_that_page_only(browser):
    page = browser.post(reverse(MAKE), {"name": "Dashboard", "scope": "viewer", "days": "30"})

    (secret,) = set(re.findall(r"lf_[A-Za-z0-9_-]{43}", page.content.decode()))
    key = ApiKey.objects.get()
    assert (key.name, key.scope, key.prefix) == ("Dashboard", "viewer", secret[:11])
    assert key.expires_at is not None
    assert secret not in str(page.cookies)
    assert secret not in browser.get(reverse(KEYS)).content.decode()
    assert AuditEntry.objects.get(action="api_key.created").actor == "root"
    api = Client().get("/api/v1/runs", headers={"Authorization": f"Bearer {secret}"})
    assert api.status_code == 200


def test_the_form_starts_at_the_narrowest_scope_and_says_what_is_missing(browser):
    assert '<option value="viewer" selected>' in browser.get(reverse(MAKE)).content.decode()

    page = browser.post(reverse(MAKE), {"name": "", "scope": "viewer", "days": ""})

    assert "This field is required." in page.content.decode()
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_from_the_list_and_never_changed_or_deleted(browser):
    caller = ApiCaller()

    browser.post(reverse(KEYS), {"action": "revoke", "_selected_action": [str(caller.key.pk)]}, follow=True)

    assert caller.get("/runs").status_code == 401
    assert "revoked" in browser.get(reverse(KEYS)).content.decode()
    change = reverse("admin:access_apikey_change", args=[caller.key.pk])
    assert browser.post(change, {"name": "x", "scope": "admin"}).status_code == 403
    assert browser.post(reverse("admin:access_apikey_delete", args=[caller.key.pk])).status_code == 403


def test_who_may_only_look_at_keys_can_neither_make_nor_revoke_them():
    key, _ = create_key(name="CI", by="a tester")
    user = User.objects.create_user("auditor", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client = Client()
    client.force_login(user)

    assert client.get(reverse(KEYS)).status_code == 200
    assert client.get(reverse(MAKE)).status_code == 403
    client.post(reverse(KEYS), {"action": "revoke", "_selected_action": [str(key.pk)]})
    assert ApiKey.objects.get().revoked_at is None


def test_the_audit_trail_is_there_to_read_with_every_value_escaped(browser):
    create_key(name="<img src=x onerror=alert(1)>", by="<script>alert(2)</script>")

    page = browser.get(reverse(TRAIL)).content.decode()

    assert "api_key.created" in page
    assert "<script>alert(2)" not in page
    assert "<img src=x" not in page
    entry = AuditEntry.objects.get()
    assert browser.get(reverse(TRAIL) + f"?q={entry.subject}").status_code == 200
    assert browser.post(reverse("admin:access_auditentry_add")).status_code == 403
    assert browser.post(reverse("admin:access_auditentry_delete", args=[entry.pk])).status_code == 403
