"""The admin in a real browser: nothing written by people runs, nothing is too wide, and the editor helps.

Needs an installed Chromium; without one every test here says that it was skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from executions.circuits.models import Circuit
from executions.models import Run
from lightfield.access import credentials
from lightfield.kernel import bells
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.browser import Browser, Page, a_browser, installed_chromium
from tests.clockwork import a_schedule, an_overdue
from tests.factories import BY, a_definition, a_published_workflow, a_workflow, an_event
from tests.integration.test_credentials import SENT, calling
from tests.signing import a_signed_workflow
from tests.staging import nap, say
from tests.transcripts import a_run_that_tells
from triggers import previews, ticking
from triggers.deliveries import samples
from triggers.deliveries.models import Delivery
from triggers.models import Decision, Trigger
from workflows.models import Workflow

CHROMIUM = installed_chromium()
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed: the admin was NOT tried in a browser"
    ),
]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
CANARY = "<img src=x onerror='window.canary=1'><script>window.canary=1</script>"
PHONE, DESK = 390, 1400
WORD = "a_name_so_long_that_no_telephone_has_room_for_it_in_one_line_whatever_it_does"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with a_browser(CHROMIUM) as running:
        yield running


@pytest.fixture
def ada() -> Client:
    return a_person()


@pytest.fixture
def page(browser: Browser, ada: Client, live_server: Any) -> Page:
    page = browser.new_page()
    page.sign_in(live_server.url, ada.cookies[settings.SESSION_COOKIE_NAME].value)
    page.show_as(width=DESK)
    return page


def a_world(bellboy: Bellboy, words: str) -> list[str]:
    """Something of everything, saying `words`; the addresses of the pages that show it."""
    steps = [
        {**say("note", "{{ trigger.note }}"), "name": words},
        {**say("fail", "{{ trigger.missing }}"), "name": words},
        say("never"),
    ]
    workflow = a_published_workflow(name=words, description=words, steps=steps)
    event = an_event(workflow, payload={"note": words, words: words}, idempotency_key=words)
    bells.ring_dispatch(event.shard)
    bellboy.answer_all()
    run = Run.objects.get()
    own_change = an_event(workflow, caused_by=run.pk, depth=1, trace_id=run.trace_id)
    bells.ring_dispatch(own_change.shard)
    bellboy.answer_all()
    Decision.objects.create(
        trigger=Trigger.objects.get(workflow=workflow),
        at=timezone.now(),
        verdict="unchanged",
        subject=words[:200],
        detail={"watched": [words], "changed": [words], words: words},
    )
    deliveries = [
        Delivery.objects.create(
            trigger_id=event.trigger_id,
            workflow=workflow,
            event_id=event.pk,
            address=words[:64],
            content_type=words[:100],
            headers={words: words},
            digest=b"d" * 32,
            size=7,
            **columns,
        )
        for columns in (
            {"verdict": "accepted", "answer": 202},
            {
                "verdict": "body_mismatch",
                "answer": 409,
                "code": words[:80],
                "detail": {words: words},
                "body": words,
            },
        )
    ]
    Circuit.objects.create(
        host=f"https://{words}"[:300],
        state="open",
        code=words[:80],
        opened_at=timezone.now(),
        retry_at=timezone.now(),
    )
    samples.take(workflow_id=workflow.pk, by=words)
    agents_run = a_run_that_tells(bellboy, words)
    warned = a_workflow(name=words, steps=[say("a"), say("b", "{{ a.mesage }} {{ a." + WORD + " }}")])
    draft = a_workflow(name=words, steps=[{"key": "a", "type": "http_request", "config": {"method": words}}])
    return [
        "/admin/",
        "/admin/workflows/workflow/",
        "/admin/workflows/workflow/add/?starter=check",
        "/admin/workflows/workflow/add/?starter=record",
        f"/admin/workflows/workflow/{workflow.pk}/change/",
        f"/admin/workflows/workflow/{draft.pk}/change/",
        f"/admin/workflows/workflow/{warned.pk}/change/",
        "/errors/template.unresolved",
        f"/admin/workflows/workflow/{workflow.pk}/run/",
        f"/admin/workflows/workflow/{workflow.pk}/archive/",
        f"/admin/workflows/workflow/{workflow.pk}/decisions/",
        f"/admin/workflows/workflowversion/{workflow.active_version_id}/change/?against=draft",
        "/admin/executions/run/",
        f"/admin/executions/run/{run.pk}/change/",
        f"/admin/executions/run/{agents_run.pk}/change/",
        "/admin/triggers/outboxevent/",
        f"/admin/triggers/outboxevent/{event.pk}/change/",
        f"/admin/triggers/outboxevent/{own_change.pk}/change/",
        "/admin/triggers/delivery/",
        *(f"/admin/triggers/delivery/{delivery.pk}/change/" for delivery in deliveries),
        "/admin/executions/lane/",
        "/admin/executions/circuit/",
        "/admin/access/auditentry/",
    ]


def test_what_people_write_never_runs_and_the_content_policy_has_nothing_to_refuse(
    page: Page, live_server: Any, bellboy: Bellboy
) -> None:
    for path in a_world(bellboy, CANARY):
        page.open(live_server.url + path)
        assert page.run("window.canary === undefined && !document.querySelector('[onerror]')"), path
        assert page.run("document.body.innerText.length > 100"), path
    assert page.complaints == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_a_phone_and_can_be_read(
    page: Page, live_server: Any, bellboy: Bellboy, is_dark: bool
) -> None:
    paths = a_world(bellboy, "Quarterly reconciliation of invoices with the ledger")
    wide, poor = {}, {}
    for path in paths:
        page.show_as(width=PHONE, is_dark=is_dark)
        page.open(live_server.url + path)
        page.run("document.querySelectorAll('#main details').forEach((one) => (one.open = true))")
        if found := page.run(CONTRAST):
            poor[path] = found
        for width in (PHONE, DESK):
            page.show_as(width=width, is_dark=is_dark)
            if (needed := page.run("document.documentElement.scrollWidth")) > width:
                wide[path, width] = needed
    assert wide == {}
    assert poor == {}


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_page_of_a_schedule_fits_a_phone_and_its_marks_can_be_read(
    page: Page, live_server: Any, monkeypatch: pytest.MonkeyPatch, is_dark: bool
) -> None:
    before = datetime.fromisoformat("2026-10-23T12:00:00+00:00")
    monkeypatch.setattr(previews, "database_now", lambda: before)
    overdue = an_overdue("all")
    ticking.fire_due()
    marked = a_schedule({"cron": "*/30 2 * * *", "timezone": "Europe/Berlin"}, name="Nightly books")
    aside = a_schedule()
    Trigger.objects.filter(pk=aside.pk).update(error_code="schedule.set_aside", next_due_at=None)

    for trigger in (overdue, marked, aside):
        for width in (PHONE, DESK):
            page.show_as(width=width, is_dark=is_dark)
            page.open(f"{live_server.url}/admin/triggers/trigger/{trigger.pk}/change/")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert not page.run(CONTRAST)
        count = page.run("document.querySelectorAll('.lf-marked').length")
        assert count == (4 if trigger == marked else 0)
    assert page.complaints == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_page_of_a_webhook_fits_a_phone_and_shows_a_made_secret_once(
    page: Page, live_server: Any, is_dark: bool
) -> None:
    triggers = [a_signed_workflow("calendly").trigger, a_published_workflow().trigger]
    made = f"{live_server.url}/admin/triggers/trigger/{triggers[0].pk}/change/"
    for width in (PHONE, DESK):
        page.show_as(width=width, is_dark=is_dark)
        for trigger in triggers:
            page.open(f"{live_server.url}/admin/triggers/trigger/{trigger.pk}/change/")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert not page.run(CONTRAST)

    page.open(made)
    page.run("document.querySelector('form[action$=\"/secrets/\"] button').click()")
    page.wait_until("document.querySelector('[aria-label=\"Copy the secret\"]')")
    secret = page.run("document.querySelector('[aria-label=\"Copy the secret\"]').dataset.copy")
    page.open(made)

    assert not page.run(f"document.documentElement.outerHTML.includes({json.dumps(secret)})")
    assert page.run(f"document.body.innerText.includes({json.dumps('…' + secret[-4:])})")
    assert page.complaints == []


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_pages_of_secrets_fit_a_phone_and_forget_what_was_typed_in(
    page: Page, live_server: Any, is_dark: bool
) -> None:
    row = credentials.create(sent={**SENT, "description": "Quarterly reconciliation of invoices"}, by=BY)
    a_published_workflow(name="Reconcile invoices with the ledger", steps=[calling()])
    base = f"{live_server.url}/admin/access/credential/"
    for width in (PHONE, DESK):
        page.show_as(width=width, is_dark=is_dark)
        for path in ("", "add/", f"{row.pk}/change/", f"{row.pk}/delete/"):
            page.open(base + path)
            assert page.run("document.documentElement.scrollWidth") <= width, path
            assert not page.run(CONTRAST), path
            assert not page.run(f"document.documentElement.outerHTML.includes({json.dumps(SENT['value'])})")

    page.open(f"{base}{row.pk}/change/")
    typed = "typed in and refused"
    page.run(f"document.querySelector('[name=value]').value = {json.dumps(typed)}")
    page.run("document.querySelector('[name=hosts]').value = '*.example.com'")
    page.run("document.querySelector('[name=_save]').click()")
    page.wait_until("document.body.innerText.includes('Name each host')")

    assert page.run("document.querySelector('[name=value]').type") == "password"
    assert not page.run(f"document.documentElement.outerHTML.includes({json.dumps(typed)})")
    assert page.complaints == []


def test_on_a_phone_a_list_names_what_it_shows(page: Page, live_server: Any) -> None:
    a_published_workflow()
    page.show_as(width=PHONE)
    page.open(f"{live_server.url}/admin/access/auditentry/")
    shown = page.run(
        "[...document.querySelectorAll('.result-list tr.data-row > td')]"
        ".map((cell) => [cell.dataset.label, getComputedStyle(cell, '::before').display !== 'none'])"
    )
    assert {label for label, is_shown in shown if is_shown} == {"Who", "Did what", "Done to", "Details"}

    page.open(f"{live_server.url}/admin/triggers/trigger/")
    assert page.run(
        "[...document.querySelectorAll('.result-list td')].map((cell) => cell.dataset.label)"
    ).count("Shard")


def editor_says(page: Page) -> Any:
    return page.run("document.querySelector('[data-editor-state]').textContent")


def test_the_editor_numbers_lines_marks_errors_indents_and_formats(page: Page, live_server: Any) -> None:
    page.open(f"{live_server.url}/admin/workflows/workflow/add/?starter=manual")
    area = "document.querySelector('#id_definition')"
    lines = page.run(f"{area}.value.split('\\n').length")
    assert (
        page.run("document.querySelector('.lf-editor-gutter').textContent.trim().split('\\n').length")
        == lines
    )

    # An error is told with its line while typing, and that line is marked
    page.run(f"{area}.focus(), {area}.select()")
    page.type('{\n  "name": "x"\n  "schema": 1\n}')
    page.wait_until("document.querySelector('.lf-line-bad')")
    assert editor_says(page) == "Line 3, column 3: a comma is missing before this"
    assert page.run("document.querySelector('.lf-line-bad').textContent") == "3"

    # Format keeps what JSON.parse would change
    page.run(f"{area}.focus(), {area}.select()")
    page.type('{"n":12345678901234567890,"a":[],"o":{},"f":1.0,"t":"{{ a.b }} \\"q\\" {x}"}')
    page.run("document.querySelector('[data-editor-format]').click()")
    assert page.run(f"{area}.value") == (
        '{\n  "n": 12345678901234567890,\n  "a": [],\n  "o": {},\n  "f": 1.0,\n  "t": "{{ a.b }} \\"q\\" {x}"\n}'
    )
    assert page.run("document.querySelector('.lf-j-template').textContent") == "{{ a.b }}"

    # Tab indents; after Escape it leaves
    page.run(f"{area}.setSelectionRange(0, 0)")
    page.press("Tab", 9)
    assert page.run(f"{area}.value.startsWith('  {{')")
    page.press("Escape", 27)
    page.press("Tab", 9)
    assert page.run(f"document.activeElement !== {area}")


def test_a_refused_definition_leads_to_its_line(page: Page, live_server: Any) -> None:
    page.open(f"{live_server.url}/admin/workflows/workflow/add/?starter=manual")
    typed = json.dumps(a_definition(steps=[{"key": "Bad Key", "type": "log"}]), indent=2)
    page.run(f"document.querySelector('#id_definition').value = {json.dumps(typed)}")
    page.run("document.querySelector('[name=_save]').click()")
    page.wait_until("document.querySelector('[data-goto]')")

    page.run("document.querySelector('[data-goto]').click()")

    chosen = "(() => { const e = document.activeElement; return e.value.slice(e.selectionStart, e.selectionEnd) })()"
    assert page.run(chosen) == '"key": "Bad Key",'
    assert not Workflow.objects.exists()


def test_a_workflow_is_made_published_and_run_with_the_mouse_alone(
    page: Page, live_server: Any, bellboy: Bellboy
) -> None:
    def click(selector: str, then: str) -> None:
        page.run(f"document.querySelector({json.dumps(selector)}).click()")
        page.wait_until(then)

    page.open(f"{live_server.url}/admin/workflows/workflow/add/?starter=manual")
    click("[name=_publish]", "document.body.innerText.includes('Published as version 1.')")
    click(".lf-deeds a[href$='/run/']", "document.querySelector('#id_payload')")
    click("form .lf-button-primary", "document.body.innerText.includes('This page shows the run as soon as')")
    bellboy.answer_all()

    # The page renews itself, and keeps closed what the person closed
    page.run("document.querySelector('#payload').open = false")
    page.wait_until("document.querySelector('#lf-live .lf-row')")
    assert page.run("document.querySelector('#payload').open") is False
    assert Run.objects.get().status == "completed"
    assert page.complaints == []


def test_cancelling_asks_and_no_means_no(page: Page, live_server: Any, bellboy: Bellboy) -> None:
    workflow = a_published_workflow(steps=[nap()])
    event = an_event(workflow)
    bells.ring_dispatch(event.shard)
    bellboy.answer_all()
    run = Run.objects.get()
    page.open(f"{live_server.url}/admin/executions/run/{run.pk}/change/")

    for answer, status in (("false", "waiting"), ("true", "cancelled")):
        page.run(f"window.confirm = () => {answer}")
        page.run("document.querySelector('form.lf-deed button').click()")
        if answer == "true":
            page.wait_until("document.body.innerText.includes('The run is cancelled.')")
        run.refresh_from_db()
        assert run.status == status
