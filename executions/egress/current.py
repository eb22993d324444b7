"""The one function by which anything in this system sends HTTP, and the client of this process behind it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

from executions.egress.breaker import NO_TURN, Breaker, Turn
from executions.egress.client import MAX_BYTES, Answer, Client, IsOwnFault
from executions.egress.hidden import LateHeaders
from executions.egress.policy import Policy, parse_allow


def own_servers() -> tuple[tuple[str, int], ...]:
    """(host, port) of this installation's PostgreSQL, Redis, web and Flower: `LIGHTFIELD_OWN_SERVERS`."""
    return tuple((str(host), int(port)) for host, port in settings.LIGHTFIELD_OWN_SERVERS)


def policy_from_settings() -> Policy:
    """Raises `InvalidSetting` (`engine.invalid_setting`) when LIGHTFIELD_EGRESS_ALLOW cannot be read."""
    return Policy(allow=parse_allow(settings.LIGHTFIELD_EGRESS_ALLOW), own=own_servers())


_lock = threading.Lock()
_client: tuple[tuple[Any, Any], Client] | None = None
_used: Client | None = None  # instead of the one that the settings ask for
_breaker = Breaker()


def current_breaker() -> Breaker:
    """What this process knows of the hosts that it sends to."""
    return _breaker


def use_breaker(another: Breaker) -> Breaker:
    """Know of hosts what `another` knows, as another process does. Returns the one before. For tests."""
    global _breaker
    before, _breaker = _breaker, another
    close()
    return before


def current() -> Client:
    """This process's client. Other settings (tests change them) mean another client without connections."""
    global _client
    if _used is not None:
        return _used
    wanted = (settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS)
    found = _client
    if found is not None and found[0] == wanted:
        return found[1]
    with _lock:
        if _client is None or _client[0] != wanted:
            if _client is not None:
                _client[1].close()
            _client = (wanted, Client(policy_from_settings(), breaker=_breaker))
        return _client[1]


def use(client: Client | None) -> Client | None:
    """Send through this client, whatever the settings say; None: through this process's own again. Returns the one before."""
    global _used
    before, _used = _used, client
    return before


def close() -> None:
    """Give up this process's connections. The next request makes new ones."""
    global _client
    with _lock:
        if _client is not None:
            _client[1].close()
        _client = None


def _forget_after_fork() -> None:
    """A child shares its parent's sockets: two processes must never write to one connection."""
    global _client, _lock, _breaker
    _client, _lock, _breaker = None, threading.Lock(), Breaker()


os.register_at_fork(after_in_child=_forget_after_fork)


def request(
    *,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    body: bytes | None = None,
    timeout_seconds: float,
    max_bytes: int = MAX_BYTES,
    allow_redirects: bool = False,
    before_sending: Callable[[], None] | None = None,
    late_headers: LateHeaders | None = None,
    credentials_key: str = "",
    turn: Turn = NO_TURN,
    is_own_fault: IsOwnFault | None = None,
) -> Answer:
    """Send one HTTP request to the outside and return the answer, whatever its status.

    `timeout_seconds` is for everything from the name lookup to the last byte, redirects included.
    `max_bytes` is for the decoded body of a success; of other answers at most 64 KiB are read, and cut.
    `before_sending` is called right before the first byte of each request; what it raises keeps the request here.
    `late_headers` is asked right before each request connects, and by where it goes says which more headers it has; hooks and
    tracebacks see none of those.
    `credentials_key` names who the request speaks for, where its headers do not tell: connections are shared only between
    requests with the same secret headers and the same key. `turn` says whether it is a retry, or was held back before.
    `is_own_fault` is asked of an answer whose status speaks against its host: True when it says that the sender is refused, and the
    host is well. Then the circuit takes it for an answer like any other.
    `url` may hold characters beyond ASCII and spaces in path and query; `params` are added to its query.

    At most one request leaves per call (and per hop, where redirects are allowed): nothing is sent again.

    Raises:
        PermanentStepError: `egress.*` (refused before anything was sent), `http.tls_failed`,
            `http.too_large`, `http.bad_encoding`, `http.invalid_answer`, `http.redirect`.
        TransientStepError: `http.timeout`, `http.dns_failed`, `http.connect_failed`, `http.connection_lost`;
            `http.circuit_open`, `http.retry_budget`: nothing was sent, others wait for this host as well.
        `sent` is False only when it is certain that no byte of the request reached the network; the metadata
        has `url_host`, `phase` and, once known, `status_code`.
    """
    return current().request(
        method=method,
        url=url,
        headers=headers,
        params=params,
        body=body,
        timeout_seconds=timeout_seconds,
        max_bytes=max_bytes,
        allow_redirects=allow_redirects,
        before_sending=before_sending,
        late_headers=late_headers,
        credentials_key=credentials_key,
        turn=turn,
        is_own_fault=is_own_fault,
    )
