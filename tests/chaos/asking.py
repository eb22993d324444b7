"""One call of the API by somebody who counts on no answer, and what all who make such calls have in common."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from lightfield.local.calls import Api

PATIENCE = 12.0  # seconds for one answer
PAUSE = 0.5  # between the tries of one deed


def call(api: Api, method: str, path: str, body: Any = None, *, key: str = "") -> tuple[int | None, Any]:
    """Status and JSON of the answer; None without one."""
    connection = http.client.HTTPConnection(urlsplit(api.base).netloc, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        return None, {}
    finally:
        connection.close()


class Asker:
    """Somebody outside: `number` threads that `work` over and over, `pause` seconds between, until told to finish."""

    def __init__(self, api: Api, work: Callable[[int], None], *, number: int, pause: float) -> None:
        self.api = api
        self.is_over = threading.Event()
        self.gives_up = threading.Event()
        self._work = work
        self._pause = pause
        self._threads = [
            threading.Thread(target=self._run, args=(count,), name=f"asker-{count}", daemon=True)
            for count in range(number)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float) -> bool:
        """Begin nothing new, and wait until what was begun is done. False: something never was."""
        self.is_over.set()
        give_up = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, give_up - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def abandon(self) -> None:
        self.is_over.set()
        self.gives_up.set()

    def insist(self, attempt: Callable[[], bool]) -> int:
        """Try until it is done. How often that took; 0: we gave up."""
        tries = 0
        while not self.gives_up.is_set():
            tries += 1
            if attempt():
                return tries
            self.gives_up.wait(PAUSE)
        return 0

    def _run(self, number: int) -> None:
        while not self.is_over.wait(self._pause):
            self._work(number)
