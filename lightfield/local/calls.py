"""Calls to a running installation's HTTP API, with the standard library only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from lightfield.local.boot import CannotStart

SECONDS = 10.0


class Api:
    """The API below one address. `key` is the API key, once there is one."""

    def __init__(self, base: str, key: str = "") -> None:
        self.base = base
        self.key = key

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        """POST JSON; header names are given with underscores."""
        return self._call("POST", path, body, headers)

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, body, {})

    def delete(self, path: str) -> None:
        self._call("DELETE", path, None, {})

    def pages(self, path: str) -> list[dict[str, Any]]:
        """Every entry of a list, page by page."""
        entries: list[dict[str, Any]] = []
        next_page: str | None = f"{path}?limit=100"
        while next_page:
            page = self.get(next_page)
            entries += page["results"]
            next_page = page["next"]
        return entries

    def _call(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        """The answer's JSON; None when it has no content.

        Raises:
            CannotStart: the answer was an error; the message has its status and detail.
        """
        url = path if path.startswith("http") else self.base + path
        request = urllib.request.Request(url, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        if method != "GET":
            request.data = json.dumps(body if body is not None else {}).encode()
            request.add_header("Content-Type", "application/json")
        # The installation is on this machine, whatever proxy the environment names.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=SECONDS) as answer:
                return None if answer.status == 204 else json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace")
            raise CannotStart(f"{method} {path} was answered {error.code}: {said[:300]}") from error
        except (OSError, ValueError) as error:
            raise CannotStart(f"{method} {path} failed: {error}") from error
