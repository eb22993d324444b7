"""`/admin/login/` without `?next=`, which is what a bookmark of it says, led to `/accounts/profile/`: unfold's form
does not say where to go, as Django's own does, and 404 is what who signed in there saw first."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

pytestmark = pytest.mark.django_db


def test_signing_in_without_a_place_to_go_leads_to_the_overview() -> None:
    User.objects.create_superuser("ada", password="a long one for a test")

    answer = Client().post("/admin/login/", {"username": "ada", "password": "a long one for a test"})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
