"""Names to addresses, in bounded time.

`getaddrinfo` knows no timeout and may take half a minute, so each lookup runs on a thread of its own and the
caller waits no longer than it has. Callers that want the same name at once share one lookup. Nothing is
cached: an answer is checked and connected to, and never used again.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Final

from executions.egress.addresses import IPAddress

MAX_LOOKUPS: Final = 128  # threads at once; a slow zone must not take all memory


class LookupFailed(Exception):
    """The name has no addresses, or nobody could say."""


class LookupTimedOut(Exception):
    """No answer within the caller's time. The lookup goes on by itself and ends unheard."""


class _Lookup:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: tuple[IPAddress, ...] = ()
        self.failure: str | None = None


class Resolver:
    """Thread-safe. One per process is enough."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}

    def resolve(self, name: str, port: int, *, timeout_seconds: float) -> tuple[IPAddress, ...]:
        """Every address of `name`, in the resolver's order, never empty.

        Raises:
            LookupFailed: no such name, no addresses, or too many lookups at once.
            LookupTimedOut: not answered within `timeout_seconds`.
        """
        key = (name, port)
        with self._lock:
            lookup = self._running.get(key)
            if lookup is None:
                if len(self._running) >= MAX_LOOKUPS:
                    raise LookupFailed("too many names are being looked up")
                lookup = self._running[key] = _Lookup()
                self._start(key, lookup)
        if not lookup.done.wait(timeout_seconds):
            raise LookupTimedOut
        if lookup.failure is not None:
            raise LookupFailed(lookup.failure)
        return lookup.addresses

    def _start(self, key: tuple[str, int], lookup: _Lookup) -> None:
        try:
            threading.Thread(
                target=self._look_up, args=(key, lookup), name=f"lookup-{key[0][:40]}", daemon=True
            ).start()
        except RuntimeError:  # the system gives no more threads
            del self._running[key]
            raise LookupFailed("no thread for the lookup") from None

    def _look_up(self, key: tuple[str, int], lookup: _Lookup) -> None:
        try:
            lookup.addresses = _addresses(*key)
            if not lookup.addresses:
                lookup.failure = "the name has no addresses"
        except (OSError, UnicodeError) as error:
            lookup.failure = getattr(error, "strerror", None) or type(error).__name__
        except Exception as error:  # noqa: BLE001  whatever it is, the callers must not wait for ever
            lookup.failure = type(error).__name__
        finally:
            with self._lock:
                self._running.pop(key, None)
            lookup.done.set()


def _addresses(name: str, port: int) -> tuple[IPAddress, ...]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    texts = (str(sockaddr[0]).partition("%")[0] for *_, sockaddr in found)
    return tuple(dict.fromkeys(ipaddress.ip_address(text) for text in texts))
