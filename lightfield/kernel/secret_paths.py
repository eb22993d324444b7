"""Addresses of webhooks are secrets: what is cut out of a text before it is logged, however the address is spelled."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "…"
# `hooks/` in any spelling that a server may undo, and what follows it up to where a path must end
_ADDRESS: Final = re.compile(
    r"""((?:h|%(?:25)*[64]8)(?:(?:o|%(?:25)*[64]f)){2}(?:k|%(?:25)*[64]b)(?:s|%(?:25)*[75]3)"""
    r"""(?:\\?/|%(?:25)*2f)+)[^\s"'<>\\?#]+""",
    re.IGNORECASE,
)
# What looks like the token of one behind any other path, and is no name of a file: a sender that mistypes `hooks`
_TOKEN: Final = re.compile(r"((?:[/=]|%(?:25)*2f))[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-]|\.py\b)", re.IGNORECASE)


def without_addresses(text: str) -> str:
    """`POST /hooks/abc HTTP/1.1` becomes `POST /hooks/… HTTP/1.1`."""
    return _TOKEN.sub(rf"\1{HIDDEN}", _ADDRESS.sub(rf"\1{HIDDEN}", text))
