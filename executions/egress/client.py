"""Requests through every check, redirects included."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import certifi
import requests

from executions.egress.breaker import NO_TURN, STATUSES_AGAINST_HOST, Breaker, Turn, verdict_on_host
from executions.egress.conversation import Request
from executions.egress.exchange import Exchange
from executions.egress.headers import Fields, encode_fields, identity_of, is_secret
from executions.egress.hidden import LateHeaders
from executions.egress.policy import Policy
from executions.egress.resolver import Resolver
from executions.egress.retry_after import retry_after_seconds
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


IsOwnFault: TypeAlias = Callable[[Answer], bool]


class _Session(requests.Session):
    """A session that sends what it is given, and nothing else by itself."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Any:
        return iter(())  # `Client` follows them, each hop through every check


class Client:
    """One policy with its connections. Thread-safe; close it to give the connections up."""

    def __init__(
        self,
        policy: Policy,
        tls: ssl.SSLContext | None = None,
        *,
        breaker: Breaker | None = None,
        connector: Connector | None = None,
    ) -> None:
        self._allow = policy.allow
        self._breaker = breaker or Breaker()
        self._adapter = GuardedAdapter(connector or Connector(policy, Resolver(), tls or _tls_context()))
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
        before_sending: Callable[[], None] | None = None,
        late_headers: LateHeaders | None = None,
        credentials_key: str = "",
        turn: Turn = NO_TURN,
        is_own_fault: IsOwnFault | None = None,
    ) -> Answer:
        """See `executions.egress.request`."""
        if method not in METHODS:
            raise PermanentStepError("egress.denied_method", f"The method {method[:20]!r} is not allowed.")
        target = parse_target(url, params)
        fields = encode_fields(headers or {})
        exchange = Exchange(host=target.host, seconds=timeout_seconds, before_sending=before_sending)
        try:
            for hop in range(MAX_REDIRECTS + 1):
                late = late_headers.for_hop(target, self._allow, is_first=hop == 0) if late_headers else []
                request = Request(
                    method=method,
                    path=target.path,
                    fields=_with_our_fields(method, target, fields, body, {name.lower() for name, _ in late}),
                    body=body,
                    max_bytes=max_bytes,
                    exchange=exchange,
                    late=late,
                    speaks_for=identity_of(fields, credentials_key, late=late),
                )
                answer = self._send_if_it_may(request, target, turn, is_own_fault)
                if not allow_redirects or answer.status_code not in _REDIRECTS:
                    return answer
                target, method, body, fields = _next_hop(answer, target, method, body, fields)
                exchange.begin(target.host)
                turn = NO_TURN  # it waited for the first host, and the retry is paid for
            raise PermanentStepError("http.redirect", f"More than {MAX_REDIRECTS} redirects.", answered=True)
        except StepError as error:
            error.sent = error.sent or exchange.sent
            error.metadata.setdefault("url_host", exchange.host)
            raise

    def _send_if_it_may(
        self, checked: Request, target: Target, turn: Turn, is_own_fault: IsOwnFault | None
    ) -> Answer:
        """Ask the breaker, send, and tell it what came of that."""
        site = target.site
        self._breaker.enter(site, target.host, turn)
        try:
            answer = self._send(checked, target)
        except StepError as error:
            verdict = verdict_on_host(error, timeout_seconds=checked.exchange.seconds)
            if verdict is not None:
                self._breaker.note(site, turn, verdict)
            raise
        code = STATUSES_AGAINST_HOST.get(answer.status_code, "")
        if code and is_own_fault is not None and is_own_fault(answer):
            code = ""  # this account is refused; the host has answered as it should
        wish = retry_after_seconds(answer.headers, status_code=answer.status_code) if code else None
        self._breaker.note(site, turn, code, retry_after=wish or 0.0)
        return answer

    def _send(self, checked: Request, target: Target) -> Answer:
        exchange = checked.exchange
        response = self._session.send(Outbound(target=target, checked=checked), proxies={})
        return Answer(
            status_code=response.status_code,
            headers=dict(response.headers),
            body=response.content,
            url_host=target.host,
            elapsed_seconds=exchange.elapsed_seconds,
        )


def _with_our_fields(
    method: str, target: Target, fields: Fields, body: bytes | None, late: set[bytes]
) -> Fields:
    ours: Fields = [(b"Host", target.host_header.encode("ascii")), (b"Accept-Encoding", b"gzip, deflate")]
    given = {name.lower() for name, _ in fields}
    if given & late:
        raise PermanentStepError("egress.invalid_header", "A header stands there twice, once with a secret.")
    given |= late
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
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
