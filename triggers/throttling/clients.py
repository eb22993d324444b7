"""Whom a request is counted against: the sender's network address, as far as it can be known.

What a client says of itself in `X-Forwarded-For` counts only as far as proxies of ours wrote it. The list is read from
its end: each proxy adds whom it got the request from, so the first one that is not ours is the sender.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.conf import settings

logger = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN: Final = "unknown"  # all who cannot be told apart are counted together
MOST_PROXIES: Final = 10  # in a row
LONGEST_ENTRY: Final = 64  # characters; an IPv6 address with zone and port is shorter

_has_warned = False


def client_of(meta: Mapping[str, Any]) -> str:
    """An IPv4 address, or the /64 of an IPv6 address: a single host has all of it to choose from.

    Args:
        meta: the WSGI environment.
    """
    remote = meta.get("REMOTE_ADDR") or ""
    if not settings.LIGHTFIELD_TRUSTED_PROXIES:
        if meta.get("HTTP_X_FORWARDED_FOR"):
            _warn_of_a_proxy(remote)
        return _counted(remote)
    forwarded = (meta.get("HTTP_X_FORWARDED_FOR") or "").split(",")[-MOST_PROXIES:]
    # What is remembered below is as long as senders like otherwise: 4,096 headers of 8 KB
    brief = ",".join(entry.strip()[:LONGEST_ENTRY] for entry in forwarded)
    return _behind_proxies(remote, brief, settings.LIGHTFIELD_TRUSTED_PROXIES)


def _warn_of_a_proxy(remote: str) -> None:
    """Once: a proxy of somebody's own network seems to stand in front, and then all senders are counted as one."""
    global _has_warned
    if _has_warned or ((address := _parsed(remote)) is not None and not address.is_private):
        return
    _has_warned = True
    logger.warning("proxy_not_trusted", extra={"address": remote, "setting": "LIGHTFIELD_TRUSTED_PROXIES"})


@lru_cache(maxsize=4096)
def _behind_proxies(remote: str, forwarded: str, proxies: tuple[Any, ...]) -> str:
    sender = remote
    for entry in reversed(forwarded.split(",")):
        if not _is_ours(sender, proxies):
            break
        named = _without_port(entry.strip())
        if _parsed(named) is None:
            break  # a proxy of ours wrote nothing that can be used: the proxy itself is counted
        sender = named
    return _counted(sender)


def _is_ours(address: str, proxies: tuple[Any, ...]) -> bool:
    """Whether it is a proxy that was named. Through a Unix socket, which has no address, only local ones come."""
    if not address:
        return True
    parsed = _parsed(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in proxies
    )


@lru_cache(maxsize=4096)
def _counted(address: str) -> str:
    parsed = _parsed(address)
    if parsed is None:
        return UNKNOWN
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(entry: str) -> str:
    """`192.0.2.1:4711` and `[2001:db8::1]:4711` are written by some proxies."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
