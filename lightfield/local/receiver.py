"""The far end of `bin/demo`: a small web service that fails first, is slow once, and lets in only who knows its token.

    POST /welcome    503; the second request is held open until its sender is gone; later ones are answered 200
    GET  /seen       what came in so far, as JSON: of each whether it had the token

A process of its own: `LIGHTFIELD_DEMO_TOKEN=… python -m lightfield.local.receiver PORT`.
"""

from __future__ import annotations

import hmac
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN_VARIABLE = "LIGHTFIELD_DEMO_TOKEN"
HELD_SECONDS = 60.0
HOST = "127.0.0.1"


class Receiver(ThreadingHTTPServer):
    """Remembers every request with its status; None while it is held or was never answered."""

    daemon_threads = True

    def __init__(self, port: int, token: str) -> None:
        super().__init__((HOST, port), Answers)
        self.expected = f"Bearer {token}"
        self.seen: list[dict[str, Any]] = []
        self.lock = threading.Lock()

    def remember(self, path: str, key: str | None, authorization: str) -> tuple[dict[str, Any], int]:
        """Note a request; the note, and how many there were for the path before it."""
        is_known = hmac.compare_digest(authorization.encode(), self.expected.encode())
        note = {"path": path, "idempotency_key": key, "has_token": is_known, "status": None}
        with self.lock:
            before = sum(earlier["path"] == path for earlier in self.seen)
            self.seen.append(note)
        return note, before


class Answers(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.lock:
            self._answer(200, self.server.seen)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        note, before = self.server.remember(
            self.path, self.headers.get("Idempotency-Key"), self.headers.get("Authorization", "")
        )
        if not note["has_token"]:
            note["status"] = 401
            return self._answer(401, {"error": "who are you?"})
        if before == 0:
            note["status"] = 503
            return self._answer(503, {"error": "try again"})
        if before == 1:
            time.sleep(HELD_SECONDS)  # its sender is killed meanwhile
            self.close_connection = True
            return None
        note["status"] = 200
        return self._answer(200, {"received": body})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: /seen tells it all."""


if __name__ == "__main__":
    Receiver(int(sys.argv[1]), os.environ[TOKEN_VARIABLE]).serve_forever()
