"""The page at a webhook's address in a real browser: readable everywhere, and nothing for its policy to refuse.

Needs an installed Chromium, as the admin's tests do. `LIGHTFIELD_SCREENSHOTS=folder` keeps what it looked like.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import a_browser, installed_chromium

CHROMIUM = installed_chromium()
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium is installed: the page was NOT tried in a browser"
    ),
]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
SEEN = [(1440, False), (1440, True), (390, False), (390, True)]


def test_the_page_can_be_read_wide_and_narrow_light_and_dark_and_its_policy_refuses_nothing(live_server: Any):
    assert CHROMIUM is not None
    folder = os.environ.get("LIGHTFIELD_SCREENSHOTS")
    with a_browser(CHROMIUM) as browser:
        page = browser.new_page()
        grounds = set()
        for width, is_dark in SEEN:
            page.show_as(width=width, is_dark=is_dark)
            page.open(f"{live_server.url}/hooks/whatever")
            assert page.run("document.querySelector('h1').innerText") == "This is an address for programs"
            assert not page.run(CONTRAST)
            assert page.run("document.documentElement.scrollWidth <= window.innerWidth"), width
            grounds.add((is_dark, page.run("getComputedStyle(document.body).backgroundColor")))
            if folder:
                shot = base64.b64decode(page.call("Page.captureScreenshot")["data"])
                Path(folder, f"hook-{width}-{'dark' if is_dark else 'light'}.png").write_bytes(shot)

    assert len(grounds) == 2
    # It says 405 of itself, and a browser says so too
    assert [one for one in page.complaints if "405" not in one and "favicon" not in one] == []
