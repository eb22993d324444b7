"""A failed run that was told, and a workflow that was paused by itself, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from executions.egress import current
from executions.notices import outgoing
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.browser import Browser, Page, a_browser, installed_chromium
from tests.failing import BROKEN, a_telling_workflow, let_notices_be_due, runs_of
from tests.servers import a_server, answering, http
from workflows import services

CHROMIUM = installed_chromium()
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed: the admin was NOT tried in a browser"
    ),
]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
PHONE, DESK = 390, 1440


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with a_browser(CHROMIUM) as running:
        yield running


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_who_is_told_and_why_it_was_paused_fit_a_phone_and_can_be_read(
    browser: Browser, live_server: Any, bellboy: Bellboy, settings: Any, is_dark: bool
) -> None:
    settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS = "127.0.0.0/8", []
    settings.EMAIL_HOST = "mail.invalid"
    page = _signed_in(browser, live_server.url)
    with a_server(
        answering(http("200 OK"), http("503 Away", b"The far side of operations is being restarted."))
    ) as far:
        workflow = a_telling_workflow(far.url, email=["ops@example.com"], pause_after_failures=3)
        told, *_ = runs_of(bellboy, workflow, BROKEN)
        outgoing.send_due()
        let_notices_be_due()
        failed, *_ = runs_of(bellboy, workflow, BROKEN, BROKEN)
        outgoing.send_due()
        (waiting,) = runs_of(bellboy, workflow, BROKEN)
    current.close()
    services.snapshot_draft(workflow_id=workflow.pk, by="ada")

    paths = [f"/admin/executions/run/{run.pk}/change/" for run in (told, failed, waiting)]
    paths += [
        f"/admin/workflows/workflow/{workflow.pk}/change/",
        f"/admin/workflows/workflowversion/{workflow.active_version_id}/change/",
    ]
    for path in paths:
        for width in (PHONE, DESK):
            page.show_as(width=width, is_dark=is_dark)
            page.open(live_server.url + path)
            page.run("document.querySelectorAll('#main details').forEach((one) => (one.open = true))")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert not page.run(CONTRAST)
    assert page.complaints == []


def _signed_in(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.sign_in(url, a_person().cookies[settings.SESSION_COOKIE_NAME].value)
    return page
