"""Secrets that somebody wrote into a definition instead of naming them: publishing tells where, and never what. Pure.

A definition is kept for ever, version by version, and is read by whoever may see the workflow. Nothing is refused: only its author
knows whether a text is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lightfield.kernel.errors import Problem
from workflows.expressions import is_template

CODE: Final = "secret.written_out"
LEAST_CHARS: Final = 8  # of what stands under a name that says secret: `X-CSRF-Token: fetch` is none

# How issuers begin what they issue, so that it is found where it does not belong.
_ISSUED: Final = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      sk-[A-Za-z0-9_-]{16,} | (?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{16,}
    | xox[a-z]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{10,}
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_-]{16,}
    | (?:AKIA|ASIA)[A-Z0-9]{16} | AIza[A-Za-z0-9_-]{30,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
    | (?:hf|gsk|npm)_[A-Za-z0-9]{20,} | shpat_[A-Fa-f0-9]{20,} | dop_v1_[A-Fa-f0-9]{20,}
    | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.
    )|-----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY-----""",
    re.VERBOSE,
)
_WHO: Final = frozenset({"authorization", "proxy-authorization"})
# Narrower than what is hidden: nobody need be warned of `X-Author`.
_NAMED: Final = re.compile(
    r"(?:.*[-_.])?(?:cookie|token|secret|password|credentials?|api-?key|(?:access|auth|secret|private|subscription)-key)",
    re.IGNORECASE,
)


def looks_issued(text: str) -> bool:
    """It holds what a known issuer's secrets look like."""
    return _ISSUED.search(text) is not None


def in_slot(value: Any, pointer: str) -> Iterator[Problem]:
    """Of a place that is there for a secret: any text without a template."""
    if isinstance(value, str) and value.strip() and (looks_issued(value) or not is_template(value)):
        yield _warning(pointer)


def in_header(name: str, value: Any, pointer: str) -> Iterator[Problem]:
    """Of a header's value: what looks issued, or is written out under a name that says what it is."""
    text = str(value).strip()
    if looks_issued(text) or (_says_secret(name, text) and not is_template(text)):
        yield _warning(pointer)


def _says_secret(name: str, text: str) -> bool:
    if name.lower() in _WHO:
        return text != ""
    return len(text) >= LEAST_CHARS and _NAMED.fullmatch(name[:200]) is not None


def _warning(pointer: str) -> Problem:
    return Problem(
        pointer,
        CODE,
        "This looks like a secret that is written out: whoever may see the workflow reads it. Keep it as a secret and "
        "write {{ secret.name }} here.",
    )
