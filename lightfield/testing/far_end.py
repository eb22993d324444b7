"""Wires that end in a test: egress writes its bytes on them and reads an answer, and nothing leaves the process."""

from __future__ import annotations

import h11

from executions.egress.breaker import NO_TURN, Breaker, Turn
from executions.egress.client import Client
from executions.egress.current import policy_from_settings
from executions.egress.exchange import Exchange
from executions.egress.policy import Policy
from executions.egress.urls import Target
from executions.egress.wires import Connector, Wire
from lightfield.kernel.errors import PermanentStepError
from lightfield.testing.fakes import FAULTS, UNFAKED, FakeAnswer, Fakes, SentRequest


class FakeWire(Wire):
    """A connection whose far side is `fakes`. One request, then it is closed."""

    def __init__(self, target: Target, fakes: Fakes) -> None:
        self.origin = target.origin
        self.speaks_for = b""
        self.too_old_at = self.usable_until = 0.0  # never kept
        self._target = target
        self._fakes = fakes
        self._unread = b""
        self._fault: str | None = None

    def write(self, raw: bytes, exchange: Exchange) -> None:
        exchange.remaining()
        exchange.may_send()
        request = _read(bytes(raw), self._target)
        answer = self._fakes.find(request.method, request.url)
        if answer is None:
            raise PermanentStepError(UNFAKED, self._fakes.refuse(request.method, request.url))
        exchange.sent = True
        _received(self._fakes, answer, request)
        self._fault = answer.fault
        self._unread = b"" if self._fault else _written(answer, request)

    def read(self, exchange: Exchange, max_bytes: int) -> bytes:
        exchange.remaining()
        if self._fault == "http.timeout":
            raise TimeoutError
        if self._fault == "http.connection_lost":
            raise ConnectionResetError("the test wants it so")
        piece, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return piece

    def is_quiet(self) -> bool:
        return False

    def close(self) -> None:
        pass


class FakeConnector(Connector):
    """Connects to the fakes of a test. Names are not looked up: what is written as an address is judged as ever."""

    def __init__(self, policy: Policy, fakes: Fakes) -> None:
        self._policy = policy
        self._fakes = fakes

    def connect(self, target: Target, exchange: Exchange) -> Wire:
        self._policy.check_port(target)
        if target.literal is not None:
            self._policy.check(target, (target.literal,), lambda _name, _port: ())
        answer = self._fakes.find(None, target.url)
        if answer is not None and answer.fault is not None and not FAULTS[answer.fault]:
            answer.spend()
            told = f"{target.host}: the test wants it so."
            raise (exchange.permanent if answer.fault == "http.tls_failed" else exchange.transient)(
                answer.fault, told
            )
        return FakeWire(target, self._fakes)


class Unworried(Breaker):
    """Counts nothing. A test skips time, and a circuit and a budget of retries go by the clock on the wall."""

    def enter(self, site: str, host: str, turn: Turn = NO_TURN) -> None:
        pass

    def note(self, site: str, turn: Turn, code: str = "", *, retry_after: float = 0.0) -> None:
        pass


def client_for(fakes: Fakes) -> Client:
    """Egress as it is, whose wires end in these fakes."""
    policy = policy_from_settings()
    return Client(policy, connector=FakeConnector(policy, fakes), breaker=Unworried())


def _received(fakes: Fakes, answer: FakeAnswer, request: SentRequest) -> None:
    answer.spend()
    answer.requests.append(request)
    fakes.requests.append(request)


def _read(raw: bytes, target: Target) -> SentRequest:
    """The request as a server of HTTP/1.1 reads it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(raw)
    head, body = server.next_event(), b""
    assert isinstance(head, h11.Request)
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    path = head.target.decode("ascii")
    return SentRequest(
        method=head.method.decode("ascii"),
        url=f"{target.scheme}://{target.host_header}{path}",
        headers={name.decode("ascii"): value.decode("utf-8") for name, value in head.headers},
        body=body,
    )


def _written(answer: FakeAnswer, request: SentRequest) -> bytes:
    """The answer as bytes, complete or, where HTTP has none, without its body."""
    has_body = request.method != "HEAD" and answer.status not in (204, 304) and answer.status >= 200
    fields = [(name, value) for name, value in answer.headers.items() if name.lower() != "content-length"]
    fields += [("Connection", "close"), *([("Content-Length", str(len(answer.body)))] if has_body else [])]
    head = f"HTTP/1.1 {answer.status} \r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode() + b"\r\n" + (answer.body if has_body else b"")
