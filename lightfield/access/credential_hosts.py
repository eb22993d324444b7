"""The hosts that a secret is bound to: exact ones, as `host` (port 443) or `host:port`. Pure.

No wildcards: who can make a name under a domain could have the secret sent there. The normal form is what egress makes
of a URL's host (lower case, ASCII), so comparing is comparing text; what differs is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lightfield.kernel import host_names
from lightfield.kernel.host_names import NotAHostName

MOST: Final = 20
DEFAULT_PORT: Final = 443

_LITERAL_V6 = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?")
_NAME_AND_PORT = re.compile(r"([^:/\[\]@\\%\s?#]+)(?::([0-9]{1,5}))?")


class InvalidHost(ValueError):
    """The text is no host. The message is a sentence for people."""


def written(host: str, port: int) -> str:
    """The normal form of a place that a request goes to. `host` as in a `Target`: lower case, IPv6 without brackets."""
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port == DEFAULT_PORT else f"{bracketed}:{port}"


def normal(text: str) -> str:
    """The normal form of what a person wrote. Raises InvalidHost."""
    text = text.strip()
    if "*" in text:
        raise InvalidHost("Name each host: there are no wildcards.")
    if "://" in text or "/" in text:
        raise InvalidHost("Write the host alone, such as api.example.com, without https:// and path.")
    six = _LITERAL_V6.fullmatch(text)
    match = six or _NAME_AND_PORT.fullmatch(text)
    if match is None:
        raise InvalidHost("This is no host: write api.example.com or api.example.com:8443.")
    port = int(match[2]) if match[2] else DEFAULT_PORT
    if not 1 <= port <= 65535:
        raise InvalidHost("The port is not within 1 to 65535.")
    try:
        host = str(host_names.read_ipv6(match[1])) if six else host_names.read(match[1]).text
    except NotAHostName as error:
        raise InvalidHost(f"The {error}.") from None
    return written(host, port)


def normal_all(texts: Iterable[str]) -> list[str]:
    """The normal forms, each once, in order of the alphabet. Raises InvalidHost."""
    return sorted({normal(text) for text in texts})
