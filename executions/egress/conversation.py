"""One HTTP/1.1 request over one connection: written once, answered within bounds.

h11 reads and writes the protocol: it refuses what could be understood in two ways (conflicting lengths,
unknown transfer encodings, malformed heads) and says when a connection may serve again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import h11

from executions.egress.exchange import Exchange
from executions.egress.headers import Fields
from executions.egress.hidden import Hidden
from executions.egress.wires import IDLE_SECONDS, Wire
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import StepError

MAX_HEAD_BYTES: Final = 65_536
HEAD_READ_BYTES: Final = 4_096
BODY_READ_BYTES: Final = 65_536
MAX_HEADERS: Final = 256
MAX_INTERIM_ANSWERS: Final = 20  # 1xx before the real one
MAX_PIECES: Final = 20_000  # reads and chunks of one body: a body sent byte by byte costs processor time
MAX_REFUSAL_BYTES: Final = 65_536  # of an answer that is no success; the rest is not read
_OF_CONNECTION = re.compile(rb"(?:^|[\s,])(?:ntlm|negotiate)\b", re.IGNORECASE)
_KEEP_ALIVE = re.compile(rb"timeout=([0-9]{1,6})")


@dataclass(frozen=True)
class Request:
    """What goes over the wire, checked and complete, and the account it goes on."""

    method: str
    path: str
    fields: Fields
    body: bytes | None
    max_bytes: int  # of the answer's body, before and after decoding
    exchange: Exchange
    late: Fields = field(default_factory=list, repr=False)  # headers that nothing but the wire sees
    # See `headers.identity_of`: its connection goes to no request that speaks for another.
    speaks_for: bytes = b""


@dataclass
class RawAnswer:
    """An answer as it came: header names in lower case, the body still encoded."""

    status_code: int
    fields: list[tuple[bytes, bytes]]
    reason: str
    body: bytes
    is_complete: bool  # False: a refusal whose body was cut
    keep_seconds: float = 0.0  # how long the connection may be kept; 0 when it may not

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300


class Conversation:
    """One request and its answer on one wire. Every fault comes out as a step error."""

    def __init__(self, wire: Wire, request: Request) -> None:
        self._wire = wire
        self._request = request
        self._exchange = request.exchange
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._went_out_whole = True
        self._far_side_closed = False
        self._first_bytes = b""
        self._received_bytes = 0
        self._body = bytearray()

    def hold(self) -> RawAnswer:
        """Raises `StepError`: `http.timeout`, `http.connection_lost`, `http.invalid_answer`, `http.too_large`."""
        try:
            self._write_request()
            crashpoint("CP-S4")
            return self._read_answer()
        except TimeoutError:
            raise self._exchange.timed_out() from None
        except OSError as error:  # ssl.SSLError is one
            raise self._lost(getattr(error, "strerror", None) or type(error).__name__) from None

    def _write_request(self) -> None:
        request, protocol = self._request, self._protocol
        raw = protocol.send(
            h11.Request(method=request.method, target=request.path, headers=[*request.fields, *request.late])
        )
        if request.body:
            raw += protocol.send(h11.Data(data=request.body))
        raw = Hidden(raw + protocol.send(h11.EndOfMessage()))
        self._exchange.phase = "send"
        try:
            self._wire.write(raw, self._exchange)
        except (BrokenPipeError, ConnectionResetError):
            if not self._exchange.sent:
                raise
            self._went_out_whole = False  # refused half-way; the answer may still be there to read
        self._exchange.phase = "wait"

    def _read_answer(self) -> RawAnswer:
        head = self._read_head()
        self._exchange.status_code = head.status_code
        self._exchange.phase = "read"
        fields = list(head.headers)
        if len(fields) > MAX_HEADERS:
            raise self._invalid(f"more than {MAX_HEADERS} headers")
        answer = RawAnswer(head.status_code, fields, head.reason.decode("latin-1"), b"", is_complete=True)
        if answer.is_success:
            if not self._read_body(self._request.max_bytes):
                raise too_large(self._request)
        else:
            answer.is_complete = self._read_refusal()
        answer.body = bytes(self._body)
        if answer.is_complete and self._may_serve_again():
            answer.keep_seconds = _keep_seconds(fields)
        return answer

    def _read_head(self) -> h11.Response:
        for _ in range(MAX_INTERIM_ANSWERS + 1):
            event = self._next_event()
            if isinstance(event, h11.Response):
                return event
        raise self._invalid(f"more than {MAX_INTERIM_ANSWERS} interim answers")

    def _read_refusal(self) -> bool:
        """A status that is no success stands, however badly its body ends."""
        try:
            return self._read_body(min(MAX_REFUSAL_BYTES, self._request.max_bytes))
        except (StepError, OSError):
            return False

    def _read_body(self, limit: int) -> bool:
        """False when there is more than `limit` bytes; what fits is kept."""
        for _ in range(MAX_PIECES):
            event = self._next_event()
            if isinstance(event, h11.EndOfMessage):
                return True
            self._body += event.data
            if len(self._body) > limit:
                del self._body[limit:]
                return False
        return False

    def _next_event(self) -> Any:
        """The next h11 event, reading as often as that takes.

        Before the head's end that is an interim or the final answer, then pieces of the body and its end: an
        early close is a protocol error to h11.
        """
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                if self._far_side_closed:
                    raise self._lost("closed before the end of the answer") from None
                raise self._invalid(str(error)[:200]) from None
            if event is not h11.NEED_DATA:
                return event
            # Hundreds of threads wait for a head; what each may read is memory set aside.
            is_waiting = self._exchange.status_code is None
            received = self._wire.read(self._exchange, HEAD_READ_BYTES if is_waiting else BODY_READ_BYTES)
            self._far_side_closed = not received
            self._received_bytes += len(received)
            if self._received_bytes > 2 * self._request.max_bytes + MAX_HEAD_BYTES:
                raise too_large(self._request)  # chunk frames, trailers, interim answers: padding has an end
            self._refuse_other_protocols(received)
            self._protocol.receive_data(received)

    def _refuse_other_protocols(self, received: bytes) -> None:
        """HTTP/0.9, a banner of SMTP or SSH: known by the first bytes, not worth waiting for more."""
        if len(self._first_bytes) < 5:
            self._first_bytes += received[: 5 - len(self._first_bytes)]
            if not b"HTTP/".startswith(self._first_bytes):
                raise self._invalid("it does not begin with HTTP/")

    def _may_serve_again(self) -> bool:
        protocol = self._protocol
        is_done = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
        # Bytes after the answer belong to nobody. Somebody else's request must not find them.
        is_clean = is_done and self._went_out_whole and not protocol.trailing_data[0]
        return is_clean and not any(_binds_the_connection(*field) for field in self._request.fields)

    def _lost(self, how: str) -> StepError:
        message = f"The connection to {self._exchange.host} broke: {how}."
        return self._exchange.transient("http.connection_lost", message)

    def _invalid(self, why: str) -> StepError:
        return self._exchange.permanent(
            "http.invalid_answer", f"{self._exchange.host} sent an unreadable answer: {why}."
        )


def too_large(request: Request) -> StepError:
    host = request.exchange.host
    return request.exchange.permanent("http.too_large", f"{host} sent more than {request.max_bytes} bytes.")


def _keep_seconds(fields: Fields) -> float:
    """How long the far side keeps the connection: a second less than it says in `Keep-Alive: timeout=5`.

    0 when it has tied the connection to whoever asked: it must serve nobody again.
    """
    seconds = IDLE_SECONDS
    for name, value in fields:
        if name == b"keep-alive" and (match := _KEEP_ALIVE.search(value)):
            seconds = float(match[1]) - 1
        elif _binds_the_connection(name, value):
            return 0.0
    return seconds


def _binds_the_connection(name: bytes, value: bytes) -> bool:
    """NTLM and Negotiate prove who asks once for all that follows on the connection (RFC 4559 section 6)."""
    lowered = name.lower()
    if lowered in (b"authorization", b"www-authenticate"):
        return _OF_CONNECTION.search(value) is not None
    return lowered == b"persistent-auth"
