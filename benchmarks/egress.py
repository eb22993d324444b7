"""CPU of one request through our egress, as a ratio to a plain `requests.Session`.

.lightfield/venv/bin/python -m benchmarks.egress
"""

from __future__ import annotations

import time
from collections.abc import Callable

import requests

from benchmarks import bare
from executions.egress.client import Client
from executions.egress.policy import Policy, parse_allow
from tests.acceptance import sink as sinks

REQUESTS, ROUNDS = 500, 5
HEADERS = {"Content-Type": "application/json"}


def milliseconds(send: Callable[[], object]) -> float:
    """CPU of this thread per call, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(REQUESTS):
            send()
        best = min(best, time.thread_time() - started)
    return best / REQUESTS * 1000


def main() -> None:
    bare.configure()
    with sinks.running() as sink, requests.Session() as session:
        url = f"{sink.url}/ok"
        client = Client(Policy(allow=parse_allow(f"127.0.0.1:{sink.port}")))
        plain = milliseconds(lambda: session.post(url, data=b"{}", headers=HEADERS, timeout=5))
        ours = milliseconds(
            lambda: client.request(method="POST", url=url, headers=HEADERS, body=b"{}", timeout_seconds=5)
        )
    print(f"plain requests.Session {plain:.3f} ms, our egress {ours:.3f} ms, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
