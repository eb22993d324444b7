"""Reading a webhook's body: type, size and time are bounded before anything is parsed.

The time is bounded through the socket that gunicorn hands over with the request. Other WSGI servers hand over
none; there the server's own read timeout is the only bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from gunicorn.http.errors import ParseException

from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.slow_senders import Alarm
from lightfield.kernel.strict_json import MAX_BYTES

BODY_SECONDS: Final = 10.0  # from the headers to the last byte of the body
PIECE_BYTES: Final = 64 * 1024
# A sender that is still sending does not read. So that it sees the 413, this much of a body that is too large
# is read and thrown away first; beyond that the connection just ends.
DISCARDED_BYTES: Final = 8 * 1024 * 1024

_alarm = Alarm()


def read_body(request: HttpRequest) -> bytes:
    """The raw body of a request that says it is JSON, at most 1 MiB.

    Raises:
        RequestRefused: `payload.unsupported_type`, `payload.unsupported_encoding`, `payload.too_large`,
            `payload.too_slow`, `payload.incomplete`, `request.invalid_header`.
    """
    _check_type(request)
    length = _announced_length(request)
    with _alarm.set_for(BODY_SECONDS, request.META.get("gunicorn.socket")) as is_over:
        return _read(request.environ["wsgi.input"].read, length, is_over)  # type: ignore[attr-defined]  # what WSGI puts there


def _check_type(request: HttpRequest) -> None:
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity"):
        raise RequestRefused("payload.unsupported_encoding")
    content_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type in ("", "application/json", "text/plain"):
        return
    if not content_type.endswith("+json"):
        raise RequestRefused("payload.unsupported_type")


def _announced_length(request: HttpRequest) -> int | None:
    """Content-Length; None for a chunked body, which ends by itself."""
    if request.META.get("HTTP_TRANSFER_ENCODING", "").strip().lower() == "chunked":
        return None
    announced = request.META.get("CONTENT_LENGTH") or "0"
    if not (announced.isascii() and announced.isdigit()):
        raise RequestRefused("request.invalid_header", "Content-Length is not a number.")
    return int(announced)


def _read(read: Callable[[int], bytes], length: int | None, is_over: Callable[[], bool]) -> bytes:
    """Read to the end. The one byte over the limit that tells is never kept."""
    if length is not None and length > DISCARDED_BYTES:
        raise RequestRefused("payload.too_large")
    pieces: list[bytes] = []
    received = 0
    while length is None or received < length:
        wanted = PIECE_BYTES if length is None else min(PIECE_BYTES, length - received)
        try:
            piece = read(wanted)
        except (OSError, ParseException) as error:  # the sender is gone, or its chunks are broken
            raise RequestRefused("payload.too_slow" if is_over() else "payload.incomplete") from error
        if is_over():
            raise RequestRefused("payload.too_slow")
        if not piece:
            break
        received += len(piece)
        if received > DISCARDED_BYTES:
            break
        if received <= MAX_BYTES:
            pieces.append(piece)
        else:
            pieces.clear()
    if received > MAX_BYTES:
        raise RequestRefused("payload.too_large")
    if length is not None and received < length:
        raise RequestRefused("payload.incomplete")
    return b"".join(pieces)
