"""A real browser for tests: the Chromium that is installed, driven over a pipe. Nothing is downloaded.

Speaks the Chrome DevTools Protocol: JSON messages that end in NUL, commands on the browser's file descriptor
3, answers and events on its 4.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has no other way; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--remote-debugging-pipe",
)
PATIENCE_SECONDS = 30

# Puts the two pipes where the browser looks for them, and becomes the browser.
HAND_OVER = """
import fcntl, os, sys
high = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
os.dup2(high[0], 3), os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def installed_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserFailed(Exception):
    """It refused a command, ended, or did not answer in time."""


class Page:
    """One tab. `complaints` are what its console said: refused by the content policy, failed, thrown."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, session=self._session, **params)

    def show_as(self, *, width: int, height: int = 844, is_dark: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def sign_in(self, url: str, session_key: str) -> None:
        self.call("Network.setCookie", name="sessionid", value=session_key, url=url)

    def open(self, url: str) -> None:
        """Go there, and wait until scripts have run."""
        self._browser.forget(self._session, "Page.loadEventFired")
        self.call("Page.navigate", url=url)
        self._browser.wait_for(self._session, "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserFailed(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    def wait_until(self, condition: str) -> None:
        """Until a JavaScript condition holds, on this page or on the one that it leads to."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(BrowserFailed):  # the page is being left
                if self.run(condition):
                    return
            self._browser.listen(0.03)
        raise BrowserFailed(f"it never came true: {condition}")

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


class Browser:
    def __init__(self, path: str, profile: Path) -> None:
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(from_us), str(to_us), *command],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(from_us)
        os.close(to_us)
        self._out, self._in = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._rest = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._events: list[tuple[str, str]] = []
        self._pages: dict[str, Page] = {}

    def new_page(self) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        return page

    def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE_SECONDS
        while number not in self._answers:
            self._listen_until(end)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise BrowserFailed(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def forget(self, session: str, event: str) -> None:
        self._events = [seen for seen in self._events if seen != (session, event)]

    def wait_for(self, session: str, event: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while (session, event) not in self._events:
            self._listen_until(end)

    def quit(self) -> None:
        with contextlib.suppress(BrowserFailed, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def listen(self, seconds: float) -> bool:
        """Read what the browser says within that time. False: nothing."""
        ready, _, _ = select.select([self._in], [], [], max(0.0, seconds))
        if not ready:
            return False
        data = os.read(self._in, 1 << 20)
        if not data:
            raise BrowserFailed("the browser ended")
        *messages, self._rest = (self._rest + data).split(b"\0")
        for raw in messages:
            self._take(json.loads(raw))
        return True

    def _listen_until(self, end: float) -> None:
        if not self.listen(end - time.monotonic()):
            raise BrowserFailed("no answer in time")

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        session, method, params = message.get("sessionId", ""), message["method"], message["params"]
        self._events.append((session, method))
        page = self._pages.get(session)
        if page and method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            page.complaints.append(params["entry"]["text"])
        elif page and method == "Runtime.exceptionThrown":
            page.complaints.append(str(params["exceptionDetails"].get("exception", {}).get("description")))


@contextlib.contextmanager
def a_browser(path: str) -> Iterator[Browser]:
    """A browser with an empty profile of its own."""
    with tempfile.TemporaryDirectory(prefix="lightfield-browser-", ignore_cleanup_errors=True) as profile:
        browser = Browser(path, Path(profile))
        try:
            yield browser
        finally:
            browser.quit()
