"""Where steps may go: public addresses on web ports, what the operator lists, and never our own servers."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from executions.egress import addresses
from executions.egress.addresses import IPAddress, IPNetwork
from executions.egress.urls import Target
from lightfield.kernel.env import InvalidSetting
from lightfield.kernel.errors import PermanentStepError

WEB_PORTS: Final = frozenset({80, 443, 8080, 8443})
_ALLOW: Final = "LIGHTFIELD_EGRESS_ALLOW"
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_LOOPBACK: Final = ipaddress.IPv4Address("127.0.0.1")
# Servers configured with one of these listen on this machine.
_THIS_MACHINE: Final = ("", "*", "localhost", "0.0.0.0", "::")  # noqa: S104  compared with, never bound

# (name, port) -> its addresses; raises what the resolver raises
Lookup = Callable[[str, int], Sequence[IPAddress]]


@dataclass(frozen=True)
class AllowList:
    """What the operator lets through although it is private.

    A network opens its addresses on every port; `host:port` opens that host on that port, by the name in
    the URL or, when the entry is an address, by the address that the URL's name leads to.
    """

    networks: tuple[IPNetwork, ...] = ()
    hosts: frozenset[tuple[str, int]] = frozenset()
    endpoints: frozenset[tuple[IPAddress, int]] = frozenset()

    def may_use_port(self, host: str, port: int) -> bool:
        """False when no address could make this port allowed: no need to look the name up."""
        return (
            bool(self.networks)
            or (host, port) in self.hosts
            or any(port == listed for _, listed in self.endpoints)
        )

    def names(self, target: Target) -> bool:
        """Whether an entry means this very host and port; a network means none in particular."""
        if target.host == "localhost":
            return (_LOOPBACK, target.port) in self.endpoints
        literal = None if target.literal is None else addresses.unmapped(target.literal)
        return (target.host, target.port) in self.hosts or (literal, target.port) in self.endpoints

    def holds(self, host: str, port: int, ip: IPAddress) -> bool:
        if addresses.carried(ip) is not None or ip.is_unspecified or ip.is_multicast:
            return False  # another address in disguise, or none: these are never meant
        return (
            (host, port) in self.hosts
            or (ip, port) in self.endpoints
            or any(ip in network for network in self.networks if network.version == ip.version)
        )


def parse_allow(setting: str | Sequence[str]) -> AllowList:
    """Read LIGHTFIELD_EGRESS_ALLOW: CIDRs and host:port, separated by commas or spaces.

    Raises:
        InvalidSetting: `engine.invalid_setting`, naming the entry.
    """
    entries = re.split(r"[,\s]+", setting) if isinstance(setting, str) else setting
    networks: list[IPNetwork] = []
    hosts: set[tuple[str, int]] = set()
    endpoints: set[tuple[IPAddress, int]] = set()
    for entry in filter(None, entries):
        endpoint = _HOST_AND_PORT.fullmatch(entry)
        if endpoint is None:
            networks.append(_read_network(entry))
            continue
        host, port = (endpoint[1] or endpoint[2]).lower().removesuffix("."), int(endpoint[3])
        if not 1 <= port <= 65535:
            raise InvalidSetting(_ALLOW, f"made of ports within 1 to 65535, not {entry!r}")
        address = _as_address(host)
        if address is not None:
            endpoints.add((addresses.unmapped(address), port))
        elif host == "localhost":
            endpoints |= {(ipaddress.ip_address("127.0.0.1"), port), (ipaddress.ip_address("::1"), port)}
        else:
            hosts.add((host, port))
    return AllowList(tuple(networks), frozenset(hosts), frozenset(endpoints))


def _read_network(entry: str) -> IPNetwork:
    try:
        return ipaddress.ip_network(entry)  # a lone address is a network of one
    except ValueError as error:
        raise InvalidSetting(_ALLOW, f"made of CIDRs and host:port, not {entry!r} ({error})") from None


def _as_address(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True)
class Policy:
    """The rules of one installation. `own` is (host, port) of its PostgreSQL, Redis, web and Flower."""

    allow: AllowList = AllowList()
    own: tuple[tuple[str, int], ...] = ()

    def check_port(self, target: Target) -> None:
        """Before any lookup. Raises `PermanentStepError` (`egress.denied_port`)."""
        if target.port not in WEB_PORTS and not self.allow.may_use_port(target.host, target.port):
            raise _denied_port(target)

    def check(self, target: Target, found: Sequence[IPAddress], look_up: Lookup) -> None:
        """Judge every address that the target's name has; one bad one spoils them all.

        `look_up` finds the addresses of our own servers, only when the port is one of theirs.

        Raises:
            PermanentStepError: `egress.denied_address` or `egress.denied_port`.
        """
        for spelled in found:
            ip = addresses.unmapped(spelled)
            if self._is_own(target, ip, look_up):
                raise _denied(target, "one of this installation's own servers")
            if self.allow.holds(target.host, target.port, ip):
                continue
            why = addresses.refusal(ip)
            if why is not None:
                raise _denied(target, why)
            if target.port not in WEB_PORTS:
                raise _denied_port(target)

    def _is_own(self, target: Target, ip: IPAddress, look_up: Lookup) -> bool:
        """A server on this machine is meant by any address of this machine: it may listen on them all."""
        own_hosts = [host.lower() for host, port in self.own if port == target.port]
        if not own_hosts:
            return False
        reached = {ip, addresses.carried(ip) or ip}
        ends_here = any(is_local(address) for address in reached)
        for host in own_hosts:
            owned = _addresses_of(host, target.port, look_up)
            if host == target.host or reached & owned or (ends_here and any(map(is_local, owned))):
                return True
        return False


def _addresses_of(host: str, port: int, look_up: Lookup) -> set[IPAddress]:
    if host in _THIS_MACHINE:
        return {_LOOPBACK}
    literal = _as_address(host)
    found = [literal] if literal is not None else look_up(host, port)
    return {addresses.unmapped(ip) for ip in found}


def is_local(ip: IPAddress) -> bool:
    """True when connecting to `ip` ends at this machine: only its own addresses can be bound."""
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL  # cannot tell: rather too many than one too few
    return True


def _denied(target: Target, why: str) -> PermanentStepError:
    return PermanentStepError(
        "egress.denied_address", f"{target.host} leads to an address that steps may not reach: {why}."
    )


def _denied_port(target: Target) -> PermanentStepError:
    return PermanentStepError("egress.denied_port", f"Port {target.port} of {target.host} is not allowed.")
