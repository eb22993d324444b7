"""Which IP addresses belong to the public internet.

The table is our own. `ipaddress.is_global` changes with Python's patch releases, calls multicast, site-local
and IPv4-carrying IPv6 addresses global, and knows nothing of the addresses by which clouds serve secrets.

Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 4291 (mapped and compatible), 6052 and
8215 (NAT64), 3056 and 7526 (6to4), 4380 (Teredo), 3879 (site-local), 9637 (documentation).
"""

from __future__ import annotations

import ipaddress
from typing import Final

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED_V4: Final = {
    "0.0.0.0/8": "this host",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud platform",  # Azure's host agent, on a public-looking address
    "169.254.0.0/16": "link-local",  # cloud metadata lives here
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",  # 192.0.0.192: Oracle's metadata
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "AMT",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
# Only 2000::/3 is handed out; everything outside is refused as a whole, and these inside it.
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6: Final = {
    "2001::/23": "protocol assignments",  # Teredo, ORCHID, benchmarking, AMT, AS112, anycast
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
}
_V4_TABLE: Final = [(ipaddress.IPv4Network(net), why) for net, why in _REFUSED_V4.items()]
_V6_TABLE: Final = [(ipaddress.IPv6Network(net), why) for net, why in _REFUSED_V6.items()]

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
_SIX_TO_FOUR: Final = ipaddress.IPv6Network("2002::/16")


def unmapped(ip: IPAddress) -> IPAddress:
    """`::ffff:a.b.c.d` is only another spelling of a.b.c.d: sockets connect to the latter."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def carried(ip: IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a gateway would take out of an IPv6 address, or None.

    Mapped addresses are not meant (see `unmapped`). Teredo is refused as a whole, whatever it carries.
    """
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    number = int(ip)
    if ip in _NAT64 or (ip in _COMPATIBLE and number > 1):  # :: and ::1 carry nothing
        return ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if ip in _LOCAL_NAT64:  # RFC 6052, prefix of 48 bits: bits 48-63 and 72-87, around the zero octet
        return ipaddress.IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
    if ip in _SIX_TO_FOUR:
        return ipaddress.IPv4Address(number >> 80 & 0xFFFFFFFF)
    return None


def refusal(ip: IPAddress) -> str | None:
    """Why this address is not public, in a word or two; None when it is."""
    ip = unmapped(ip)
    if isinstance(ip, ipaddress.IPv4Address):
        return next((why for network, why in _V4_TABLE if ip in network), None)
    inner = carried(ip)
    if inner is not None:
        why = refusal(inner)
        if why is not None:
            return f"carries {inner}, {why}"
        if ip in _NAT64:
            return None  # how an IPv6-only network reaches public IPv4
    if ip not in _UNICAST_V6:
        return _name_of_special(ip)
    return next((why for network, why in _V6_TABLE if ip in network), None)


def _name_of_special(ip: ipaddress.IPv6Address) -> str:
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    if ip.is_multicast:
        return "multicast"
    if int(ip) >> 121 == 0xFC >> 1:
        return "private"
    return "reserved"
