"""Connections: to addresses that were checked, within the attempt's time, kept for a moment afterwards."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from typing import Final

from executions.egress.addresses import IPAddress
from executions.egress.exchange import Exchange
from executions.egress.policy import Policy
from executions.egress.resolver import LookupFailed, LookupTimedOut, Resolver
from executions.egress.urls import Target

CONNECT_SECONDS: Final = 10.0  # for all addresses of a name together
MAX_ADDRESSES: Final = 6  # tried one after the other
MAX_IDLE: Final = 256  # kept connections in all, beside those in use: files are limited, often to 1,024
# Many servers close after 5 s of silence. A request that meets such a close is lost without a word, so
# connections are given up before.
IDLE_SECONDS: Final = 4.0
MAX_AGE_SECONDS: Final = 300.0  # then the name is looked up again: it may have moved


_BROKEN_OFF: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the far side closed: no verdict on TLS


class Wire:
    """One connected socket. Every read and write gets the time that the attempt has left, no more."""

    def __init__(self, sock: socket.socket, target: Target) -> None:
        self._sock = sock
        self.origin = target.origin
        self.speaks_for = b""  # whose requests went over it
        self.too_old_at = time.monotonic() + MAX_AGE_SECONDS
        self.usable_until = 0.0  # `time.monotonic()`, set when it is put away

    def write(self, raw: bytes, exchange: Exchange) -> None:
        view = memoryview(raw)
        self._sock.settimeout(exchange.remaining())
        # As late as can be: looking up and connecting may have taken longer than a lease, and a busy process may lose
        # its turn between any two lines.
        exchange.may_send()
        # A failed send() on a plain socket took nothing; TLS may have written half a record before it fails.
        exchange.sent = exchange.sent or isinstance(self._sock, ssl.SSLSocket)
        while view:
            count = self._sock.send(view)
            exchange.sent = True
            view = view[count:]
            if view:
                self._sock.settimeout(exchange.remaining())

    def read(self, exchange: Exchange, max_bytes: int) -> bytes:
        """The next bytes; empty when the far side closed."""
        self._sock.settimeout(exchange.remaining())
        return self._sock.recv(max_bytes)

    def is_quiet(self) -> bool:
        """True when nothing has arrived since the last answer: no close, and no answer nobody asked for."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return False
        poller = select.poll()
        poller.register(self._sock, select.POLLIN | select.POLLPRI)
        return not poller.poll(0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.close()


class IdleWires:
    """Connections between requests, by origin and by whom they speak for. Thread-safe.

    A wire goes only to requests for the same scheme, host and port that speak for the same (`headers.identity_of`): a
    server that ties an identity to a connection gives nobody another's. Its address was judged when it was connected, and
    policy and TLS settings cannot have changed since: changed ones make a new client with no wires.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[tuple[tuple[str, str, int], bytes], deque[Wire]] = {}
        self._count = 0
        self._swept_at = time.monotonic()

    def take(self, target: Target, speaks_for: bytes = b"") -> Wire | None:
        """The most recently used wire that still lives, or None."""
        now = time.monotonic()
        while True:
            with self._lock:
                wires = self._idle.get((target.origin, speaks_for))
                if not wires:
                    return None
                wire = wires.pop()
                self._count -= 1
            if wire.usable_until > now and wire.is_quiet():
                return wire
            wire.close()

    def put(self, wire: Wire, seconds: float) -> None:
        now = time.monotonic()
        wire.usable_until = min(now + seconds, now + IDLE_SECONDS, wire.too_old_at)
        with self._lock:
            expired = self._sweep(now)
            if self._count < MAX_IDLE and wire.usable_until > now:
                self._idle.setdefault((wire.origin, wire.speaks_for), deque()).append(wire)
                self._count += 1
            else:
                expired.append(wire)
        for old in expired:
            old.close()

    def close(self) -> None:
        with self._lock:
            wires = [wire for waiting in self._idle.values() for wire in waiting]
            self._idle.clear()
            self._count = 0
        for wire in wires:
            wire.close()

    def _sweep(self, now: float) -> list[Wire]:
        """Take out what has expired, once a second at most."""
        if now - self._swept_at < 1:
            return []
        self._swept_at = now
        expired: list[Wire] = []
        for shared_by, wires in list(self._idle.items()):
            while wires and wires[0].usable_until <= now:
                expired.append(wires.popleft())
            if not wires:
                del self._idle[shared_by]
        self._count -= len(expired)
        return expired


class Connector:
    """Makes wires: looks the name up, has every address judged, connects to one of those."""

    def __init__(self, policy: Policy, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._policy = policy
        self._resolver = resolver
        self._tls = tls

    def connect(self, target: Target, exchange: Exchange) -> Wire:
        """Raises `StepError`: `egress.denied_*`, `http.dns_failed`, `http.connect_failed`, `http.tls_failed`,
        `http.timeout`; nothing has been sent."""
        self._policy.check_port(target)
        exchange.phase = "lookup"
        found = (
            (target.literal,)
            if target.literal is not None
            else self._look_up(target.lookup_name, target.port, exchange)
        )
        self._policy.check(target, found, lambda name, port: self._look_up(name, port, exchange))
        exchange.phase = "connect"
        sock = _connect_to_one(found[:MAX_ADDRESSES], target, exchange)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.scheme == "https":
                exchange.phase = "tls"
                sock = self._shake_hands(sock, target, exchange)
        except BaseException:
            sock.close()
            raise
        return Wire(sock, target)

    def _look_up(self, name: str, port: int, exchange: Exchange) -> tuple[IPAddress, ...]:
        try:
            return self._resolver.resolve(name, port, timeout_seconds=exchange.remaining())
        except LookupFailed as failure:
            message = f"{exchange.host} could not be looked up: {failure}."
            raise exchange.transient("http.dns_failed", message) from None
        except LookupTimedOut:
            raise exchange.timed_out() from None

    def _shake_hands(self, sock: socket.socket, target: Target, exchange: Exchange) -> ssl.SSLSocket:
        sock.settimeout(exchange.remaining())  # holds for the whole handshake
        try:
            return self._tls.wrap_socket(sock, server_hostname=target.host)
        except TimeoutError:
            raise exchange.timed_out() from None
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be put into a handshake
            message = f"No TLS with {target.host}: {_reason(error)}."
            if isinstance(error, _BROKEN_OFF) or not isinstance(error, ssl.SSLError | ValueError):
                raise exchange.transient("http.connect_failed", message) from None
            raise exchange.permanent("http.tls_failed", message) from None


def _connect_to_one(found: tuple[IPAddress, ...], target: Target, exchange: Exchange) -> socket.socket:
    """Try the addresses in turn; each gets its share of the time."""
    give_up_at = time.monotonic() + min(exchange.remaining(), CONNECT_SECONDS)
    reason = ""
    for tried, ip in enumerate(found):
        share = (give_up_at - time.monotonic()) / (len(found) - tried)
        if share <= 0:
            break
        try:
            return _connected(ip, target.port, share)
        except OSError as error:
            reason = _reason(error)
    exchange.remaining()  # out of time altogether: that is a timeout
    raise exchange.transient("http.connect_failed", f"{target.host} does not accept connections: {reason}.")


def _connected(ip: IPAddress, port: int, seconds: float) -> socket.socket:
    """Not `socket.create_connection`: that one looks the name up again, and this must be what was judged."""
    sock = socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect((str(ip), port))
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: Exception) -> str:
    """A short text without addresses: it is shown to authors of workflows."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate is not valid"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "protocol error").replace("_", " ").lower()
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
