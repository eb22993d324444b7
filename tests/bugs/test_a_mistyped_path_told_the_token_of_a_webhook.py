"""Only what followed `hooks/` was cut out of log lines: `POST /hook/<token>` is a 404, which Django logs with its path."""

from __future__ import annotations

import secrets

import pytest

from lightfield.kernel.secret_paths import without_addresses
from triggers import tokens

PLACES = [
    "/hook/{}",
    "/{}",
    "/webhook/{}/",
    "/hooks:/{}?a=1",
    "/x?token={}",
    "%2Fhook%2F{}",
    "/hook/{}.",
    "/hook/{}.json",
]


@pytest.mark.parametrize("place", PLACES)
def test_a_token_behind_another_path_is_cut_out_too(place: str) -> None:
    for _ in range(20):
        token = secrets.token_urlsafe(tokens.TOKEN_BYTES)
        assert token not in without_addresses(f"Not Found: {place.format(token)}")


@pytest.mark.parametrize(
    "text",
    [
        'File "/srv/tests/test_a_name_that_is_as_long_as_a_token_is_no.py", line 7',
        "/api/v1/runs/0192f0c1-2b5e-7c3a-9d4e-5f6a7b8c9d0e",
        "sha256=" + "0" * 64,
        "traceparent=00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    ],
)
def test_what_is_no_token_stays(text: str) -> None:
    assert without_addresses(text) == text
