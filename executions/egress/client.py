"""The one function by which anything in this system sends HTTP."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
from django.conf import settings
from requests.certs import where as certificate_authorities

from executions.egress.exchange import Exchange
from executions.egress.headers import Fields, decode_fields, encode_fields, is_secret
from executions.egress.policy import Policy, parse_allow
from executions.egress.resolver import Resolver
from executions.egress.transport import GuardedAdapter, Outbound
from executions.egress.urls import Target, follow, parse_target
from executions.egress.wires import Connector
from lightfield.kernel.errors import PermanentStepError, StepError

MAX_BYTES: Final = 1 << 20
MAX_REDIRECTS: Final = 5
METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
USER_AGENT: Final = "Lightfield/0.1"


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

    status_code: int
    headers: dict[str, str]  # names in lower case
    body: bytes  # decoded, at most `max_bytes`
    url_host: str  # of the last request
    elapsed_seconds: float


class _Session(requests.Session):
    """A session that sends what it is given, and nothing else by itself."""

    def resolve_redirects(self, *args: Any, **kwargs: Any) -> Any:
        return iter(())  # `Client` follows them, each hop through every check


class Client:
    """One policy with its connections. Thread-safe; close it to give the connections up."""

    def __init__(self, policy: Policy, tls: ssl.SSLContext | None = None) -> None:
        self._adapter = GuardedAdapter(Connector(policy, Resolver(), tls or _tls_context()))
        self._session = _Session()
        self._session.trust_env = False  # no proxies and no .netrc from the environment
        self._session.adapters.clear()
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)

    def close(self) -> None:
        self._session.close()

    def request(
        self,
        *,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        max_bytes: int = MAX_BYTES,
        allow_redirects: bool = False,
    ) -> Answer:
        """See `request`."""
        if method not in METHODS:
            raise PermanentStepError("egress.denied_method", f"The method {method[:20]!r} is not allowed.")
        target = parse_target(url, params)
        fields = encode_fields(headers or {})
        exchange = Exchange(host=target.host, seconds=timeout_seconds)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._send(method, target, fields, body, exchange, max_bytes)
                if not allow_redirects or answer.status_code not in _REDIRECTS:
                    return answer
                target, method, body, fields = _next_hop(answer, target, method, body, fields)
                exchange.begin(target.host)
            raise PermanentStepError("http.redirect", f"More than {MAX_REDIRECTS} redirects.", answered=True)
        except StepError as error:
            error.sent = error.sent or exchange.sent
            error.metadata.setdefault("url_host", exchange.host)
            raise

    def _send(
        self,
        method: str,
        target: Target,
        fields: Fields,
        body: bytes | None,
        exchange: Exchange,
        max_bytes: int,
    ) -> Answer:
        outbound = Outbound(
            method=method,
            target=target,
            fields=_with_our_fields(method, target, fields, body),
            body=body,
            exchange=exchange,
            max_bytes=max_bytes,
        )
        response = self._session.send(outbound, proxies={})
        return Answer(
            status_code=response.status_code,
            headers=dict(response.headers),
            body=response.content,
            url_host=target.host,
            elapsed_seconds=exchange.elapsed_seconds,
        )


def _with_our_fields(method: str, target: Target, fields: Fields, body: bytes | None) -> Fields:
    ours: Fields = [(b"Host", target.host_header.encode("ascii")), (b"Accept-Encoding", b"gzip, deflate")]
    given = {name.lower() for name, _ in fields}
    if b"user-agent" not in given:
        ours.append((b"User-Agent", USER_AGENT.encode("ascii")))
    if b"accept" not in given:
        ours.append((b"Accept", b"*/*"))
    if body or method in _WITH_BODY:
        ours.append((b"Content-Length", b"%d" % len(body or b"")))
    return ours + fields


def _next_hop(
    answer: Answer, target: Target, method: str, body: bytes | None, fields: Fields
) -> tuple[Target, str, bytes | None, Fields]:
    """Where a redirect leads and what is sent there.

    303 becomes a GET without body. 307 and 308 repeat method and body. 301 and 302 are followed for GET and
    HEAD only: elsewhere clients disagree about the method, and turning a POST into a GET loses what it meant.
    On the way to another origin, headers that say who the caller is are dropped; https never becomes http.
    """
    location = answer.headers.get("location", "")
    if not location:
        raise _redirect(answer, "it names no Location")
    hop = follow(target, location)
    if target.scheme == "https" and hop.scheme == "http":
        raise _redirect(answer, "it leads from https to http")
    if answer.status_code == 303:
        method, body = ("HEAD" if method == "HEAD" else "GET"), None
        fields = [field for field in fields if not field[0].lower().startswith(b"content-")]
    elif answer.status_code in (301, 302) and method not in ("GET", "HEAD"):
        raise _redirect(answer, f"it does not say whether to repeat the {method}")
    if hop.origin != target.origin:
        fields = [field for field in fields if not is_secret(field[0].decode("ascii"))]
    return hop, method, body, fields


def _redirect(answer: Answer, why: str) -> PermanentStepError:
    return PermanentStepError(
        "http.redirect",
        f"{answer.url_host} answered {answer.status_code}, and {why}.",
        sent=True,
        answered=True,
        status_code=answer.status_code,
    )


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate_authorities())
    context.set_alpn_protocols(["http/1.1"])
    return context


def own_servers() -> tuple[tuple[str, int], ...]:
    """(host, port) of this installation's PostgreSQL, Redis, web and Flower: `LIGHTFIELD_OWN_SERVERS`."""
    return tuple((str(host), int(port)) for host, port in settings.LIGHTFIELD_OWN_SERVERS)


def policy_from_settings() -> Policy:
    """Raises `InvalidSetting` (`engine.invalid_setting`) when LIGHTFIELD_EGRESS_ALLOW cannot be read."""
    return Policy(allow=parse_allow(settings.LIGHTFIELD_EGRESS_ALLOW), own=own_servers())


_lock = threading.Lock()
_client: tuple[tuple[Any, Any], Client] | None = None


def current() -> Client:
    """This process's client. Other settings (tests change them) mean another client without connections."""
    global _client
    wanted = (settings.LIGHTFIELD_EGRESS_ALLOW, settings.LIGHTFIELD_OWN_SERVERS)
    found = _client
    if found is not None and found[0] == wanted:
        return found[1]
    with _lock:
        if _client is None or _client[0] != wanted:
            if _client is not None:
                _client[1].close()
            _client = (wanted, Client(policy_from_settings()))
        return _client[1]


def _forget_after_fork() -> None:
    """A child shares its parent's sockets: two processes must never write to one connection."""
    global _client, _lock
    _client, _lock = None, threading.Lock()


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
) -> Answer:
    """Send one HTTP request to the outside and return the answer, whatever its status.

    `timeout_seconds` is for everything from the name lookup to the last byte, redirects included.
    `max_bytes` is for the decoded body of a success; of other answers at most 64 KiB are read, and cut.
    `url` may hold characters beyond ASCII and spaces in path and query; `params` are added to its query.

    At most one request leaves per call (and per hop, where redirects are allowed): nothing is sent again.

    Raises:
        PermanentStepError: `egress.*` (refused before anything was sent), `http.tls_failed`,
            `http.too_large`, `http.bad_encoding`, `http.invalid_answer`, `http.redirect`.
        TransientStepError: `http.timeout`, `http.dns_failed`, `http.connect_failed`, `http.connection_lost`.
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
    )
