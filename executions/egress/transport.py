"""How our session sends: the adapter that looks up, judges, connects, and sends once."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from executions.egress import decoding
from executions.egress.conversation import Conversation, RawAnswer, Request, too_large
from executions.egress.headers import decode_fields
from executions.egress.urls import Target
from executions.egress.wires import Connector, IdleWires


class Outbound(requests.PreparedRequest):
    """A request that passed every check. Only these can be sent: see `GuardedAdapter`.

    What is sent is `checked`, to `target`; the inherited attributes tell hooks and instrumentation about it.
    """

    def __init__(self, *, target: Target, checked: Request) -> None:
        super().__init__()
        self.target = target
        self.checked = checked
        self.method = checked.method
        self.url = target.url
        self.headers = CaseInsensitiveDict(
            (name.decode("ascii"), value.decode("utf-8")) for name, value in checked.fields
        )
        self.body = checked.body
        self.hooks = {"response": []}


class GuardedAdapter(BaseAdapter):
    """The only adapter of our session. It looks the target up, judges it, connects, and sends once.

    Never sends a second time: a kept connection that turns out dead fails the attempt, and the engine
    decides about another.
    """

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self._connector = connector
        self._idle = IdleWires()

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        if not isinstance(request, Outbound):
            raise TypeError("this session sends only what executions.egress.request has checked")
        checked = request.checked
        wire = self._idle.take(request.target, checked.speaks_for)
        if wire is None:
            wire = self._connector.connect(request.target, checked.exchange)
            wire.speaks_for = checked.speaks_for
        try:
            answer = Conversation(wire, checked).hold()
        except BaseException:
            wire.close()
            raise
        if answer.keep_seconds > 0:
            self._idle.put(wire, answer.keep_seconds)
        else:
            wire.close()
        return _response(request, answer)

    def close(self) -> None:
        self._idle.close()


def _response(request: Outbound, answer: RawAnswer) -> requests.Response:
    headers = decode_fields(answer.fields)
    response = requests.Response()
    response.status_code = answer.status_code
    response.headers = CaseInsensitiveDict(headers)
    response.reason = answer.reason
    response.url = request.url or ""
    response.request = request
    response.raw = io.BytesIO(_decoded(request.checked, answer, headers.get("content-encoding", "")))
    return response


def _decoded(request: Request, answer: RawAnswer, encoding: str) -> bytes:
    if not encoding:
        return answer.body
    exchange = request.exchange
    try:
        return decoding.decode(answer.body, encoding, max_bytes=request.max_bytes)
    except (decoding.TooLarge, decoding.Undecodable) as error:
        if not answer.is_success:
            return b""  # the status says it all
        if isinstance(error, decoding.TooLarge):
            raise too_large(request) from None
        raise exchange.permanent("http.bad_encoding", f"{exchange.host} sent {error}.") from None
