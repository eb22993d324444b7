"""Who may do what: every address of the API × every method × every kind of caller. A new address without an entry fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client
from django.urls import URLResolver, get_resolver

from lightfield.access.idempotency import MARK
from tests.api_client import ApiCaller, code_of

pytestmark = pytest.mark.django_db

SCOPES = ["viewer", "operator", "builder", "admin"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

# method, address: (narrowest scope of a key, permission of a signed-in member of staff)
MATRIX = {
    ("GET", "workflows"): ("viewer", "workflows.view_workflow"),
    ("POST", "workflows"): ("builder", "workflows.add_workflow"),
    ("GET", "workflows/<uuid:pk>"): ("viewer", "workflows.view_workflow"),
    ("PATCH", "workflows/<uuid:pk>"): ("builder", "workflows.change_workflow"),
    ("DELETE", "workflows/<uuid:pk>"): ("builder", "workflows.publish_workflow"),
    ("POST", "workflows/<uuid:pk>/publish"): ("builder", "workflows.publish_workflow"),
    ("POST", "workflows/<uuid:pk>/pause"): ("builder", "workflows.publish_workflow"),
    ("POST", "workflows/<uuid:pk>/resume"): ("builder", "workflows.publish_workflow"),
    ("POST", "workflows/<uuid:pk>/rotate-token"): ("builder", "triggers.change_trigger"),
    ("GET", "workflows/<uuid:pk>/webhook-secrets"): ("builder", "triggers.change_trigger"),
    ("POST", "workflows/<uuid:pk>/webhook-secrets"): ("builder", "triggers.change_trigger"),
    ("DELETE", "workflows/<uuid:pk>/webhook-secrets/<uuid:secret_id>"): (
        "builder",
        "triggers.change_trigger",
    ),
    ("POST", "workflows/<uuid:pk>/run"): ("operator", "workflows.run_workflow"),
    ("GET", "workflows/<uuid:pk>/decisions"): ("viewer", "triggers.view_outboxevent"),
    ("GET", "workflows/<uuid:pk>/decisions/summary"): ("viewer", "triggers.view_outboxevent"),
    ("GET", "workflows/<uuid:pk>/versions"): ("viewer", "workflows.view_workflow"),
    ("GET", "workflows/<uuid:pk>/versions/<int:number>"): ("viewer", "workflows.view_workflow"),
    ("GET", "workflows/<uuid:pk>/ticks"): ("viewer", "triggers.view_tick"),
    ("GET", "workflows/<uuid:pk>/schedule-preview"): ("viewer", "workflows.view_workflow"),
    ("POST", "workflows/<uuid:pk>/schedule-preview"): ("viewer", "workflows.view_workflow"),
    ("GET", "credentials"): ("builder", "access.view_credential"),
    ("POST", "credentials"): ("admin", "access.add_credential"),
    ("GET", "credentials/<uuid:pk>"): ("builder", "access.view_credential"),
    ("PATCH", "credentials/<uuid:pk>"): ("admin", "access.change_credential"),
    ("DELETE", "credentials/<uuid:pk>"): ("admin", "access.delete_credential"),
    ("GET", "webhook-presets"): ("viewer", "workflows.view_workflow"),
    ("GET", "errors"): ("viewer", ""),  # any member of staff
    ("GET", "errors/<str:pk>"): ("viewer", ""),
    ("GET", "step-types"): ("viewer", "workflows.view_workflow"),
    ("GET", "examples"): ("viewer", "workflows.view_workflow"),
    ("GET", "watchables"): ("viewer", "workflows.view_workflow"),
    ("GET", "events"): ("viewer", "triggers.view_outboxevent"),
    ("GET", "events/<uuid:pk>"): ("viewer", "triggers.view_outboxevent"),
    ("GET", "deliveries"): ("viewer", "triggers.view_delivery"),
    ("GET", "deliveries/<uuid:pk>"): ("viewer", "triggers.view_delivery"),
    ("POST", "deliveries/<uuid:pk>/send-again"): ("operator", "workflows.run_workflow"),
    ("GET", "workflows/<uuid:pk>/samples"): ("viewer", "triggers.view_outboxevent"),
    ("POST", "workflows/<uuid:pk>/samples"): ("builder", "workflows.change_workflow"),
    ("DELETE", "workflows/<uuid:pk>/samples"): ("builder", "workflows.change_workflow"),
    ("GET", "circuits"): ("viewer", "executions.view_circuit"),
    ("GET", "runs"): ("viewer", "executions.view_run"),
    ("GET", "runs/<uuid:pk>"): ("viewer", "executions.view_run"),
    ("GET", "runs/<uuid:pk>/timeline"): ("viewer", "executions.view_run"),
    ("GET", "runs/<uuid:pk>/steps/<slug:key>/turns"): ("viewer", "executions.view_run"),
    ("GET", "runs/<uuid:pk>/chain"): ("viewer", "executions.view_run"),
    ("POST", "runs/<uuid:pk>/cancel"): ("operator", "executions.cancel_run"),
    ("POST", "runs/<uuid:pk>/replay"): ("operator", "executions.replay_run"),
}
RECORDS = {
    "accounts": "account",
    "contacts": "contact",
    "opportunities": "opportunity",
    "meetings": "meeting",
    "tasks": "task",
    "notes": "note",
}
for _plural, _name in RECORDS.items():
    MATRIX |= {
        ("GET", f"crm/{_plural}"): ("viewer", f"crm.view_{_name}"),
        ("POST", f"crm/{_plural}"): ("builder", f"crm.add_{_name}"),
        ("GET", f"crm/{_plural}/<uuid:pk>"): ("viewer", f"crm.view_{_name}"),
        ("PATCH", f"crm/{_plural}/<uuid:pk>"): ("builder", f"crm.change_{_name}"),
        ("DELETE", f"crm/{_plural}/<uuid:pk>"): ("builder", f"crm.delete_{_name}"),
    }
# No key, no session; /hooks/ has its secret in the path.
OPEN = {"", "livez", "readyz", "api/schema", "api/docs", "errors/<str:code>"}
CELLS = sorted(MATRIX)
UNSAFE = [cell for cell in CELLS if cell[0] != "GET"]


def addresses() -> Iterator[tuple[str, Any]]:
    """Each with the view function behind it."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, prefix + str(pattern.pattern))
            else:
                yield prefix + str(pattern.pattern), pattern.callback

    return walk(get_resolver().url_patterns, "")


def url(address: str) -> str:
    ids = {
        "<str:pk>": "auth.missing",
        "<uuid:pk>": str(uuid.uuid4()),
        "<uuid:secret_id>": str(uuid.uuid4()),
        "<int:number>": "1",
        "<slug:key>": "agent",
    }
    for place, value in ids.items():
        address = address.replace(place, value)
    return f"/api/v1/{address}"


def test_every_address_has_its_entry():
    found, others = set(), set()
    for address, view in addresses():
        if address.startswith("api/v1/"):
            for method in view.actions:
                if method != "head":
                    found.add((method.upper(), address.removeprefix("api/v1/")))
        elif not address.startswith("admin/"):
            others.add(address)

    assert found == set(MATRIX)
    assert others == OPEN


def test_every_post_answers_once_under_an_idempotency_key():
    unmarked = {
        (view.cls.__name__, action)
        for address, view in addresses()
        if address.startswith("api/v1/")
        for method, action in view.actions.items()
        if method == "post" and not getattr(getattr(view.cls, action), MARK, False)
    }

    assert unmarked == {("WorkflowViewSet", "run")}  # keeps the key with its event


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_without_key_or_session_nothing_is_open(cell):
    method, address = cell

    answer = Client().generic(method, url(address))

    assert code_of(answer) == (401, "auth.missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="lightfield"'


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_may_what_its_scope_says(scope):
    caller = ApiCaller(scope)
    for method, address in CELLS:
        needed, _ = MATRIX[method, address]

        answer = caller.call(method, url(address), {})

        is_let_in = SCOPES.index(scope) >= SCOPES.index(needed)
        if is_let_in:
            assert answer.status_code in (200, 404, 422), (method, address, answer.content)
        else:
            assert code_of(answer) == (403, "auth.forbidden"), (method, address)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_session_may_what_its_permissions_say(cell):
    permission = MATRIX[cell][1]

    assert status_for(cell, staff(permission)) not in (401, 403)
    assert status_for(cell, User.objects.create_superuser("root")) not in (401, 403)
    every_other = {right for _, right in MATRIX.values()} - {permission}
    assert status_for(cell, staff(*every_other)) == 403 or not permission
    assert status_for(cell, staff(permission, is_staff=False)) == 403
    assert status_for(cell, staff(permission, is_active=False)) == 401


@pytest.mark.parametrize("cell", UNSAFE, ids=str)
def test_a_session_needs_the_csrf_token_for_every_unsafe_method(cell):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("root"))

    assert code_of(browser.generic(cell[0], url(cell[1]), "{}")) == (403, "auth.csrf")


@pytest.mark.parametrize("address", sorted({address for _, address in MATRIX}))
def test_methods_that_an_address_does_not_take_are_named(address):
    caller = ApiCaller()
    taken = {method for method, other in MATRIX if other == address}
    for method in [*METHODS, "OPTIONS", "TRACE"]:
        if method not in taken:
            answer = caller.call(method, url(address))
            assert code_of(answer) == (405, "request.method_not_allowed"), method
            assert taken <= set(answer.headers["Allow"].split(", "))
    assert code_of(Client().put(url(address))) == (401, "auth.missing")


def test_an_action_that_declares_no_right_is_refused_to_everybody(monkeypatch):
    from executions.api import RunViewSet

    monkeypatch.setattr(RunViewSet, "rights", {})

    assert code_of(ApiCaller().get("/runs")) == (403, "auth.forbidden")


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/v1", "/api/v1/", "/api/v1/workflow", "/api/v1/runs/", "/api/v2/runs"]
)
def test_an_unknown_address_is_a_problem_document_too(path):
    assert code_of(Client().get(path)) == (404, "request.not_found")


def staff(*permissions: str, is_staff: bool = True, is_active: bool = True) -> User:
    user = User.objects.create_user(f"user-{uuid.uuid4()}", is_staff=is_staff, is_active=is_active)
    for permission in filter(None, permissions):
        app, codename = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    return user


def status_for(cell: tuple[str, str], user: User) -> int:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    token = _get_new_csrf_string()
    browser.cookies["csrftoken"] = token
    answer = browser.generic(
        cell[0], url(cell[1]), "{}", content_type="application/json", headers={"X-CSRFToken": token}
    )
    if answer.status_code >= 400:
        code_of(answer)
    return int(answer.status_code)
