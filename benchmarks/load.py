"""A closed loop of HTTP connections: each sends its next request when the last was answered."""

from __future__ import annotations

import http.client
import json
import queue
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit


def send(url: str, bodies: Iterable[dict[str, Any]], *, connections: int = 8) -> list[int]:
    """POST every body; returns the status codes."""
    target = urlsplit(url)
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for body in bodies:
        waiting.put(body)
    statuses: list[int] = []

    def converse() -> None:
        connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)
        while True:
            try:
                body = waiting.get_nowait()
            except queue.Empty:
                return connection.close()
            connection.request("POST", target.path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)

    threads = [threading.Thread(target=converse) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses
