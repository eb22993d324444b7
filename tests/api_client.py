"""A caller of the API with a key of its own, through every middleware, as the web server would."""

from __future__ import annotations

import copy
import json
from typing import Any

from django.test import Client

from lightfield.access.keys import create_key
from lightfield.access.models import Scope

BASE = "/api/v1"


class ApiCaller:
    """`caller.get("/runs")`, `caller.post("/workflows", {...}, idempotency_key="k")`. Answers as Django's client does."""

    def __init__(self, scope: str = Scope.ADMIN, *, name: str = "tests") -> None:
        self.key, self.secret = create_key(name=name, scope=Scope(scope), by="a tester")
        self.client = Client(raise_request_exception=False)

    def twin(self) -> ApiCaller:
        """The same key with a client of its own, for another thread: Django's client keeps state."""
        twin = copy.copy(self)
        twin.client = Client(raise_request_exception=False)
        return twin

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.call("DELETE", path, **headers)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """`path` below /api/v1, or absolute as a page's `next` is. `body` is JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path = path if path.startswith(("http", "/api/", "/hooks/")) else BASE + path
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method,
            path,
            raw,
            content_type=sent.pop("content-type", "application/json"),
            headers={"Authorization": f"Bearer {self.secret}", **sent},
        )

    def pages(self, path: str, *, link: str = "next") -> list[list[dict[str, Any]]]:
        """Every page from `path` on, following `next` (or `previous`)."""
        pages = []
        while path:
            answer = self.get(path)
            assert answer.status_code == 200, answer.content
            pages.append(answer.json()["results"])
            path = answer.json()[link]
        return pages


def code_of(answer: Any) -> tuple[int, str]:
    """Status and code of a problem document, which must be one."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors"}
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/errors/{problem['code']}"
    return answer.status_code, problem["code"]
