"""One reading of a host's name: for the URL of a request, and for the hosts that a secret is bound to. Pure.

Were they read twice, a difference between the two would be a host that a secret is sent to and was not bound to.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import idna

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
MAX_NAME_CHARS = 253


class NotAHostName(ValueError):
    """The message goes on behind "its" or "the": `host name is not valid`."""


@dataclass(frozen=True)
class HostName:
    """A name or a dotted IPv4 address in its one form: lower case, ASCII, without the root's dot."""

    text: str
    literal: ipaddress.IPv4Address | None = None
    has_root_dot: bool = False


def read(text: str) -> HostName:
    """What a person or a URL wrote between the scheme and the port. Raises NotAHostName."""
    host = text.lower()
    if len(host) > MAX_NAME_CHARS + 1:
        raise NotAHostName("host name is too long")
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise NotAHostName("host name is not valid") from None
    name = host.removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise NotAHostName("host name is not valid")
    if _NUMBER.fullmatch(labels[-1]):
        # Resolvers take 127.1, 0x7f.1, 017700000001 and 2130706433 for 127.0.0.1; we take one form.
        try:
            literal = ipaddress.IPv4Address(name)
        except ValueError:
            raise NotAHostName("IPv4 address is not written as four decimal numbers") from None
        return HostName(str(literal), literal)
    return HostName(name, has_root_dot=host != name)


def read_ipv6(text: str) -> ipaddress.IPv6Address:
    """What stood between brackets. Raises NotAHostName."""
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        raise NotAHostName("IPv6 address is not valid") from None
