"""Answers to what never became a request: the worker writes them itself, as problem documents like all others.

Nothing of what came is in them, nor in a log: a broken request line may hold the address of a webhook.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors

from lightfield.kernel import problems
from lightfield.kernel.catalogue import CATALOGUE

CODES: Final[dict[type[BaseException], str]] = {
    errors.LimitRequestLine: "request.line_too_long",
    errors.LimitRequestHeaders: "request.headers_too_large",
    errors.UnsupportedTransferCoding: "request.unsupported_transfer_coding",
    errors.ConfigurationProblem: "engine.internal",
    errors.InvalidSchemeHeaders: "request.malformed",
    errors.ParseException: "request.malformed",
    ssl.SSLError: "request.malformed",
}


def code_of(error: BaseException) -> str:
    """The catalogue's code for what gunicorn could not read; the nearest class of the error decides."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), "engine.internal")


def as_bytes(code: str) -> bytes:
    """The whole answer, after which the connection ends."""
    status = CATALOGUE[code].status or 500
    body = json.dumps(problems.problem_body(code)).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"X-Content-Type-Options: nosniff\r\nContent-Type: {problems.CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write(connection: Any, code: str) -> None:
    """Send it if the sender takes it at once; whoever does not read need not be waited for."""
    with contextlib.suppress(OSError):
        if isinstance(connection, ssl.SSLSocket):
            connection.sendall(as_bytes(code))
        else:
            connection.send(as_bytes(code), socket.MSG_DONTWAIT)
