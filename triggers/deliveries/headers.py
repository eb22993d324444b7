"""Which of a request's headers may be kept. Pure.

A list of what is shown, not of what is hidden: a secret travels under any name, and nobody needs the others' values.
Names are kept, so that a person sees that a header came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

REDACTED: Final = "[redacted]"
MOST: Final = 40  # headers; the rest is a number
MOST_VALUE: Final = 200  # characters
MOST_NAME: Final = 60
LEFT_OUT: Final = "[left out]"  # the name under which the number of those beyond stands

# Values that are ids by their nature: random, and no secret.
IDS: Final = frozenset(
    {
        "idempotency-key",
        "svix-id",
        "svix-timestamp",
        "traceparent",
        "webhook-id",
        "webhook-timestamp",
        "x-correlation-id",
        "x-github-delivery",
        "x-github-event",
        "x-github-hook-id",
        "x-request-id",
    }
)
# Values that people need to tell senders apart. Whatever looks like a secret in them is replaced.
PLAIN: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "expect",
        "host",
        "transfer-encoding",
        "user-agent",
        "x-event-type",
    }
)

_PREFIXES: Final = r"\b(?:whsec_|[sr]k_|gh[a-z]_|xox[a-z]-|lf_|eyJ)\S+|\bBearer\s+\S+"
_PREFIXED: Final = re.compile(_PREFIXES, re.IGNORECASE)
_TOKEN_LIKE: Final = re.compile(_PREFIXES + r"|[a-z0-9_+-]{32,}=*", re.IGNORECASE)
# An address of ours has 43 such characters; one that is not this request's own may stand where an id should.
_ADDRESS: Final = re.compile(r"(?<![a-z0-9_-])[a-z0-9_-]{43}(?![a-z0-9_-])", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(r"[a-z0-9]{24,}")  # no word of any language: somebody mistook name and value
_UNSTORABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def kept(headers: Iterable[tuple[str, str]], *, token: str) -> dict[str, str]:
    """Names in lower case with the values that may be kept, at most 40 of 200 characters.

    Args:
        token: of the address; where it stands in a name or value, that is replaced.
    """
    found: dict[str, str] = {}
    beyond = 0
    for name, value in headers:
        if len(found) >= MOST:
            beyond += 1
            continue
        lowered = _clean(name.lower(), MOST_NAME)
        if _is_secret(lowered, token):
            lowered = REDACTED
        found[lowered] = _shown(lowered, value, token)
    if beyond:
        found[LEFT_OUT] = str(beyond)
    return found


def text(value: str, *, token: str, most: int) -> str:
    """A value of a sender's making that stands in a column of its own, e.g. the content type."""
    return _TOKEN_LIKE.sub(REDACTED, _without(token, _clean(value, 10 * most)))[:most]


def _shown(name: str, value: str, token: str) -> str:
    if name in IDS:
        without = _ADDRESS.sub(REDACTED, _without(token, _clean(value, 10 * MOST_VALUE)))
        return _PREFIXED.sub(REDACTED, without)[:MOST_VALUE]
    return text(value, token=token, most=MOST_VALUE) if name in PLAIN else REDACTED


def _is_secret(name: str, token: str) -> bool:
    """In the names of headers an underscore cannot be told from a dash."""
    own = token.lower().replace("_", "-")
    return bool(own and own in name.replace("_", "-")) or bool(_SECRET_NAME.search(name))


def _without(token: str, value: str) -> str:
    return value.replace(token, REDACTED) if token else value


def _clean(value: str, most: int) -> str:
    return _UNSTORABLE.sub("\ufffd", value[:most])
