"""A person at the admin, signed in, with the permissions the test gives."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

VIEWER = ("workflows.view_workflow", "workflows.view_workflowversion", "executions.view_run")


def a_person(*permissions: str, name: str = "ada", **client: Any) -> Client:
    """Staff with exactly these permissions (`app.codename`); a superuser when none are named."""
    user = User(username=name, is_staff=True, is_superuser=not permissions)
    user.set_unusable_password()  # hashing one takes half a second
    user.save()
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    person = Client(**client)
    person.force_login(user)
    return person
