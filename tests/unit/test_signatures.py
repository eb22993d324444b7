"""Signature schemes: vectors of their authors, every flipped byte, time, several secrets and signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.signing import KEY, OTHERS, SECRETS, Headers, signed
from triggers.signatures import (
    PRESETS,
    PRESETS_BY_NAME,
    Check,
    Preset,
    Verification,
    headers_of,
    preset_of,
    verify,
    verifying,
)
from triggers.signatures.delivery_key import delivery_key
from triggers.signatures.verifying import _DUMMY_KEY

BODY = b'{"id": "evt_1", "event_id": "e1", "n": 1}'
NOW = 1_790_000_000
NAMES = [preset.name for preset in PRESETS]
TIMED = ["standard", "svix", "stripe", "calendly"]

# From the specification's own tests.
STANDARD_VECTOR = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    b'{"test": 2432232314}',
    {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
)
# From GitHub's documentation, "Testing the webhook payload validation".
GITHUB_VECTOR = (
    "It's a Secret to Everybody",
    b"Hello, World!",
    {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
)


def judged(
    name: str, headers: Headers, body: bytes = BODY, *, secrets: list[str] | None = None, now: float = NOW
) -> Verification:
    given = [SECRETS[name]] if secrets is None else secrets
    return verify(PRESETS_BY_NAME[name].signing, headers=headers, raw=body, secrets=given, now=now)


def test_the_vector_of_the_standards_own_tests_verifies():
    secret, body, headers = STANDARD_VECTOR

    verification = judged("standard", headers, body, secrets=[secret], now=1614265330)

    assert verification == Verification(None, "msg_p5jXN8AQM9LWM0D4loKWxJek")


def test_the_vector_of_githubs_documentation_verifies():
    secret, body, headers = GITHUB_VECTOR

    assert judged("github", headers, body, secrets=[secret]).is_signed


def test_what_the_standardwebhooks_package_signs_verifies():
    package = pytest.importorskip("standardwebhooks", reason="needs requirements-dev.txt")
    at = datetime.fromtimestamp(NOW, UTC)

    for id, body in (("msg_1", '{"a": "ü"}'), ("m" * 300, ""), ("msg_2", "[1, 2]")):
        signature = package.Webhook(SECRETS["standard"]).sign(id, at, body)
        headers = {"webhook-id": id, "webhook-timestamp": str(NOW), "webhook-signature": signature}
        assert judged("standard", headers, body.encode()).is_signed


def test_what_the_stripe_package_signs_verifies():
    package = pytest.importorskip("stripe", reason="needs requirements-dev.txt")

    for body in ('{"id": "evt_1", "a": "ü"}', "[]"):
        signature = package.WebhookSignature._compute_signature(f"{NOW}.{body}", SECRETS["stripe"])
        headers = {"stripe-signature": f"t={NOW},v1={signature}"}
        assert judged("stripe", headers, body.encode()).is_signed


@pytest.mark.parametrize("name", NAMES)
def test_what_each_sender_signs_verifies_and_another_secret_does_not(name):
    headers = signed(name, BODY, at=NOW)

    assert judged(name, headers).is_signed
    assert judged(name, headers, secrets=[OTHERS[name]]).failed is Check.NO_MATCHING_SIGNATURE
    assert judged(name, headers, secrets=[]).failed is Check.NO_SECRET


def flips_of(text: bytes) -> Iterator[bytes]:
    """Every single bit of every byte."""
    for place, byte in enumerate(text):
        for bit in range(8):
            yield text[:place] + bytes([byte ^ 1 << bit]) + text[place + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_bit_of_the_body_is_noticed(name):
    headers = signed(name, BODY, at=NOW)

    for body in flips_of(BODY):
        assert judged(name, headers, body).failed is Check.NO_MATCHING_SIGNATURE


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_bit_of_what_is_signed_in_the_headers_is_noticed(name):
    headers = {key: value for key, value in signed(name, BODY, at=NOW).items() if key != "x-github-delivery"}
    if "stripe-signature" in headers or "calendly-webhook-signature" in headers:
        headers = {key: value.removesuffix(",v0=00") for key, value in headers.items()}

    for key, value in headers.items():
        for flipped in flips_of(value.encode()):
            assert not judged(name, {**headers, key: flipped.decode("latin-1")}).is_signed


@pytest.mark.parametrize("name", NAMES)
def test_every_header_that_is_left_out_or_empty_is_noticed(name):
    headers = {key: value for key, value in signed(name, BODY, at=NOW).items() if key != "x-github-delivery"}

    for key in headers:
        assert judged(name, {**headers, key: ""}).failed is Check.MISSING_HEADER
        left = {other: value for other, value in headers.items() if other != key}
        assert judged(name, left).failed is Check.MISSING_HEADER


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_within_five_minutes_of_the_clock_a_signature_holds(name, seconds):
    assert judged(name, signed(name, BODY, at=NOW + seconds)).is_signed


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("seconds", [-(10**9), -301, 301, 10**9])
def test_beyond_five_minutes_it_does_not_in_either_direction(name, seconds):
    headers = signed(name, BODY, at=NOW + seconds)

    assert judged(name, headers).failed is Check.TIMESTAMP_OUTSIDE_TOLERANCE
    assert judged(name, headers, secrets=[OTHERS[name]]).failed is Check.NO_MATCHING_SIGNATURE


@pytest.mark.parametrize("name", NAMES)
def test_while_a_secret_is_replaced_either_of_two_verifies(name):
    both = [OTHERS[name], SECRETS[name]]

    assert judged(name, signed(name, BODY, at=NOW), secrets=both).is_signed
    assert judged(name, signed(name, BODY, at=NOW, secret=OTHERS[name]), secrets=both).is_signed


def with_signatures(name: str, *others: str) -> Headers:
    """The right signature behind others of the same version."""
    headers = signed(name, BODY, at=NOW)
    if name == "standard":
        listed = [*(f"v1,{other}" for other in others), headers["webhook-signature"]]
        return {**headers, "webhook-signature": " ".join(listed)}
    time, _, right = headers["stripe-signature"].partition(",")
    return {"stripe-signature": ",".join([time, *(f"v1={other}" for other in others), right])}


@pytest.mark.parametrize("name", ["standard", "stripe"])
def test_any_of_eight_signatures_may_be_the_right_one(name):
    assert judged(name, with_signatures(name, *["no"] * 7)).is_signed


@pytest.mark.parametrize("name", ["standard", "stripe"])
@pytest.mark.parametrize("count", [8, 999])
def test_more_than_eight_signatures_are_not_looked_at(name, count):
    assert judged(name, with_signatures(name, *["no"] * count)).failed is Check.TOO_MANY_SIGNATURES


def test_signatures_of_other_versions_are_passed_over():
    headers = signed("standard", BODY, at=NOW)
    right = headers["webhook-signature"]

    assert judged("standard", {**headers, "webhook-signature": f"v1a,abc v2,{right[3:]} {right}"}).is_signed
    for other in (f"v1a,{right[3:]}", f"v2,{right[3:]}", right[3:], "v1", "v1,"):
        given = {**headers, "webhook-signature": other}
        assert judged("standard", given).failed is Check.NO_MATCHING_SIGNATURE


def test_given_a_dot_in_the_id_then_the_border_to_the_time_cannot_be_moved():
    # Given a body that is a number, so that time and body could change places: "a" . NOW . "5"
    headers = signed("standard", b"5", at=NOW, id="a.7")

    assert judged("standard", headers, b"5").failed is Check.MALFORMED_HEADER


@pytest.mark.parametrize("time", ["", "x", "1e9", "+5", " 5", "5_0", "-5", "１", "5" * 13, "5.0"])
@pytest.mark.parametrize("name", ["standard", "stripe"])
def test_a_time_is_digits_and_nothing_else(name, time):
    headers = signed(name, BODY, at=NOW)
    given = (
        {**headers, "webhook-timestamp": time}
        if name == "standard"
        else {"stripe-signature": headers["stripe-signature"].replace(str(NOW), time)}
    )

    assert judged(name, given).failed in (Check.MALFORMED_HEADER, Check.MISSING_HEADER)


@pytest.mark.parametrize("header", ["v1=ab", f"t={NOW},t={NOW},v1=ab", "nonsense", ",,,"])
def test_stripes_header_has_one_time(header):
    assert judged("stripe", {"stripe-signature": header}).failed is Check.MALFORMED_HEADER


@pytest.mark.parametrize("header", ["md5=ab", "ab", "SHA256=ab"])
def test_githubs_header_names_its_algorithm(header):
    assert judged("github", {"x-hub-signature-256": header}).failed is Check.MALFORMED_HEADER


def test_whoever_knew_the_key_of_nobody_would_still_be_nobody():
    body = b"{}"
    headers = signed("github", body, secret=_DUMMY_KEY.decode("latin-1"))
    forged = {**headers, "x-hub-signature-256": f"sha256={_mac_of_nobody(body)}"}

    assert judged("github", forged, body).failed is Check.NO_MATCHING_SIGNATURE
    assert judged("github", forged, body, secrets=[]).failed is Check.NO_SECRET


def _mac_of_nobody(body: bytes) -> str:
    return hmac.new(_DUMMY_KEY, body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("secrets", [[], [SECRETS["github"]], [SECRETS["github"], OTHERS["github"]]])
@pytest.mark.parametrize("headers", [{}, signed("github", BODY), {"x-hub-signature-256": "md5=1"}])
def test_whatever_is_asked_as_many_hmacs_are_computed(secrets, headers, monkeypatch):
    computed: list[bytes] = []
    mac = verifying._mac

    def counted(key: bytes, before: bytes, raw: bytes) -> bytes:
        computed.append(raw)
        return mac(key, before, raw)

    monkeypatch.setattr(verifying, "_mac", counted)

    judged("github", headers, secrets=secrets)

    assert computed == [BODY, BODY]


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared: list[tuple[bytes, bytes]] = []

    def spy(expected: bytes, given: bytes) -> bool:
        compared.append((expected, given))
        return False

    monkeypatch.setattr(hmac, "compare_digest", spy)

    judged("standard", with_signatures("standard", "one", "two"), secrets=[SECRETS["standard"]])

    assert len(compared) == 2 * 3  # two keys, one of them nobody's, and three signatures
    assert {given for _, given in compared} >= {b"one", b"two"}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("standard", "whsec_" + base64.b64encode(KEY[:23]).decode()),
        ("standard", "whsec_" + base64.b64encode(KEY * 3).decode()),
        ("standard", base64.b64encode(KEY).decode()),
        ("standard", "whsec_not base64 at all ************"),
        ("standard", "whsec_" + "ü" * 32),
        ("stripe", "sk_live_0123456789abcdef"),
        ("stripe", "whsec_short"),
        ("github", "short"),
        ("github", "x" * 256),
        ("github", "a line\nand another one"),
        ("calendly", ""),
    ],
)
def test_what_cannot_be_a_secret_is_told_without_repeating_it(name, secret):
    flaw = PRESETS_BY_NAME[name].signing.flaw_of(secret)

    assert flaw
    assert not secret or secret not in flaw


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_that_is_made_has_its_schemes_form_and_is_new(name):
    scheme = PRESETS_BY_NAME[name].signing
    made = {scheme.new_secret() for _ in range(10)}

    assert len(made) == 10
    assert {scheme.flaw_of(secret) for secret in made} == {""}
    secret = made.pop()
    assert judged(name, signed(name, BODY, at=NOW, secret=secret), secrets=[secret]).is_signed


def test_the_padding_of_a_standard_secret_may_be_missing():
    bare = SECRETS["standard"].rstrip("=")

    assert PRESETS_BY_NAME["standard"].signing.flaw_of(bare) == ""
    assert judged("standard", signed("standard", BODY, at=NOW), secrets=[bare]).is_signed


@pytest.mark.parametrize(
    ("name", "headers", "signed_id", "key", "is_replayable"),
    [
        ("standard", {}, "msg_1", "msg_1", False),
        ("stripe", {}, None, "evt_1", False),
        ("typeform", {}, None, "e1", False),
        ("github", {"x-github-delivery": "d-1"}, None, f"d-1.{'ab' * 32}", True),
        ("github", {}, None, None, True),
        ("calendly", {}, None, None, True),
    ],
)
def test_the_first_id_that_there_is_tells_deliveries_apart(name, headers, signed_id, key, is_replayable):
    def of(idempotency_key: str | None) -> Any:
        return delivery_key(
            PRESETS_BY_NAME[name].signing,
            signed_id=signed_id,
            body={"id": "evt_1", "event_id": "e1"},
            body_digest=b"\xab" * 32,
            headers=headers,
            idempotency_key=idempotency_key,
        )

    assert (of(None).key, of(None).is_replayable) == (key, is_replayable)
    # A key that nobody signed comes after what is signed, and before what is not
    assert of("k").key == ("k" if is_replayable else key)


@pytest.mark.parametrize(
    "body", [None, [], {}, {"id": 1}, {"id": ""}, {"id": None}, {"id": "x" * 2000}, "id"]
)
def test_a_body_without_a_usable_id_has_none(body):
    assert PRESETS_BY_NAME["stripe"].signing.id_in(body) is None


@pytest.mark.parametrize("preset", PRESETS, ids=NAMES)
def test_every_preset_is_what_its_own_config_asks_for(preset: Preset) -> None:
    assert preset_of(preset.config) is preset
    assert preset_of({"scheme": preset.scheme}) is PRESETS_BY_NAME[preset.scheme]
    assert preset.label
    assert len(preset.steps) >= 3
    assert preset.signing.headers == tuple(header.lower() for header in preset.signing.headers)


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "stripe",
        {},
        {"scheme": "none"},
        {"scheme": "md5"},
        {"preset": "stripe"},
        {"scheme": "github", "preset": "stripe"},
        {"scheme": ["stripe"]},
    ],
)
def test_what_no_preset_fits_is_not_signed(signature):
    assert preset_of(signature) is None


def test_only_headers_that_a_scheme_reads_are_picked():
    environ = {"HTTP_WEBHOOK_ID": "1", "HTTP_X_HUB_SIGNATURE_256": "2", "HTTP_COOKIE": "3", "PATH_INFO": "4"}

    assert headers_of(environ) == {"webhook-id": "1", "x-hub-signature-256": "2"}
