"""A step type whose frozen request has `sealed_headers` and no `headers`, as in docs/secrets.md, made the run's page and API an internal error.

Found in a review of secrets.
"""

from __future__ import annotations

from typing import Any

import pytest

from executions.redaction import shown_request
from executions.secrets.sealed import SealedHeader
from workflows.secret_text import SecretName, SecretText

SEALED = SealedHeader("X-Key", SecretText(["v1 ", SecretName("stripe")])).as_json()


@pytest.mark.parametrize("rest", [{}, {"headers": None}, {"headers": [["a", "b"]]}])
def test_it_is_shown_with_the_sealed_ones(rest: dict[str, Any]) -> None:
    shown = shown_request({"url": "https://api.example.com/", "sealed_headers": [SEALED], **rest})

    assert shown["headers"] == {"X-Key": "v1 {{ secret.stripe }}"}
    assert "sealed_headers" not in shown


@pytest.mark.parametrize(
    "other", [None, 7, "x", {"a": "b"}, ["x"], [{"name": "x"}], [{"name": "x", "text": 7, "basic": False}]]
)
def test_what_another_step_type_means_by_that_name_is_shown_as_it_is(other: Any) -> None:
    assert shown_request({"sealed_headers": other}) == {"sealed_headers": other}
