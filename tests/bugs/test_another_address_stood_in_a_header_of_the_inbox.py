"""The address that is valid now stood in an id's header of what was sent to the one before, and names were kept
that were secrets.
"""

from __future__ import annotations

import secrets

from triggers.deliveries import headers
from triggers.tokens import TOKEN_BYTES


def test_no_address_of_ours_is_kept_under_an_id_whoevers_it_is():
    other = secrets.token_urlsafe(TOKEN_BYTES)
    given = [(name, f"/hooks/{other}") for name in headers.IDS] + [("Svix-Id", other)]

    assert other not in str(headers.kept(given, token="own"))


def test_ids_are_kept():
    ids = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "webhook-id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "idempotency-key": "a" * 64,
    }
    assert headers.kept(ids.items(), token="own") == ids


def test_a_name_that_is_a_secret_is_not_kept():
    token = "A_b" + "c" * 18 + "_D" + "e" * 20
    names = [token.replace("_", "-"), "whsec-MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", f"x-{'0123456789abcdef' * 2}"]

    assert headers.kept([(name, "v") for name in names], token=token) == {"[redacted]": "[redacted]"}
    assert headers.kept([("Content-Security-Policy-Report-Only", "v")], token=token) == {
        "content-security-policy-report-only": "[redacted]"
    }
