"""A model that says what a script says, by real HTTP: `bin/demo` and the tests ask it in place of one that costs money.

    POST …/chat/completions    as OpenAI answers
    POST …/v1/messages         as Anthropic answers
    GET  /seen                 what was asked so far, as JSON

Scripts are data, by the name of the model that is asked for ("*": any other). A script lists answers; the k-th is given to a
conversation in which the model has spoken k - 1 times, so that the server need not remember any, and a question that is asked again
gets the same answer. An answer:

    {"text": "…", "calls": [{"name": "…", "arguments": {…} or text}], "finish": "stop", "usage": {"input", "output", "cached"}}

In its texts and arguments `{"$result": "2.id"}` is the field `id` of the second tool result so far, and `{"$find": "<pattern>"}` the
first group of a regular expression in what the user said. How it goes wrong, all optional:

    "after_seconds": 2.5                silence before the first byte
    "drip_seconds": 0.05                between any two bytes of the body
    "first": [{"status": 503}, …]       the first requests of each idempotency key get these, later ones the answer
    "status": 429, "headers": {…}, "body": {…} or text      these instead of the answer
    "streams": true                     as server-sent events
    "cut": 20                           so many bytes of the body, and the connection is closed
    "hangs": true                       no answer, until its sender is gone
    "together": 100                     no answer before so many questions have been open at once

One thread serves them all, however many wait. A process of its own: `python -m lightfield.local.scripted_model PORT SCRIPTS.json`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lightfield.local import ports
from lightfield.local import scripted_shapes as shapes
from lightfield.local.scripted_shapes import Conversation

HOST = "127.0.0.1"
MOST_BYTES = 64 << 20  # of one request
Script = list[dict[str, Any]] | Callable[[Conversation], dict[str, Any]]


@dataclass
class Asked:
    """One question, as it came."""

    shape: str
    model: str
    turn: int
    key: str  # its idempotency key
    headers: dict[str, str] = field(repr=False)  # names in lower case
    body: dict[str, Any] = field(repr=False)
    status: int | None = None  # None: not answered yet, or never

    def told(self) -> dict[str, Any]:
        """For /seen: without headers and texts."""
        return {name: getattr(self, name) for name in ("shape", "model", "turn", "key", "status")}


class ScriptedModel:
    """Serves scripts on a socket of its own, from one thread. `asked` is what came in; read it when you like."""

    def __init__(
        self, scripts: Mapping[str, Script], *, port: int | None = None, api_key: str | None = None
    ) -> None:
        self.scripts = dict(scripts)
        self.asked: list[Asked] = []
        self.open = 0  # questions that wait for their answer
        self.most_open = 0
        self._api_key = api_key
        self._requests: Counter[str] = Counter()  # of each idempotency key
        self._writers: set[asyncio.StreamWriter] = set()  # of connections that are open
        self._visits: set[asyncio.Task[None]] = set()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or a second write waits 40 ms
        self._socket.bind((HOST, port or ports.any_free(HOST)))
        self._socket.listen(1024)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._arrival = asyncio.Condition()
        self._thread = threading.Thread(target=self.serve, name="scripted-model", daemon=True)

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.endpoint}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def times(self, key: str) -> int:
        """How often a question was asked under this idempotency key."""
        return self._requests[key]

    def serve(self) -> None:
        """Until `stop`."""
        with contextlib.closing(self._loop), self._socket:
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=1 << 16)
        await self._ended.wait()
        # Nobody else is accepted. The server itself is closed last: it refuses whom it accepted a turn ago, and leaves the socket.
        self._loop.remove_reader(self._socket)
        # Who was accepted just now is connected within a few turns, and a connection that is closed needs more of them.
        for _ in range(10):
            await asyncio.sleep(0)
            visits = [*self._visits]
            for visit in visits:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)
            for writer in self._writers:  # of a visit that was cancelled before it began, and closed nothing
                writer.transport.abort()
        server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        visit = self._loop.create_task(self._visit(reader, writer))
        self._visits.add(visit)  # the loop itself keeps none alive
        visit.add_done_callback(self._visits.discard)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as long as it is kept."""
        gone = (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            asyncio.CancelledError,
            ValueError,
        )
        with contextlib.suppress(*gone):
            while await self._exchange(reader, writer):
                pass
        self._writers.discard(writer)
        if self._ended.is_set():
            writer.transport.abort()
        else:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. False: the connection is not kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        raw = await reader.readexactly(min(int(headers.get("content-length") or 0), MOST_BYTES))
        if method == "GET" and path == "/seen":
            await _send(writer, 200, [asked.told() for asked in self.asked])
            return True
        shape = "anthropic" if path.endswith("/messages") else "openai"
        if not path.endswith(("/chat/completions", "/v1/messages")):
            await _send(writer, 404, shapes.refusal(shape, "not_found_error", f"No such address: {path}."))
            return True
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        async with self._arrival:
            self._arrival.notify_all()
        try:
            return await self._answer(reader, writer, shape, headers, raw)
        finally:
            self.open -= 1

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shape: str,
        headers: dict[str, str],
        raw: bytes,
    ) -> bool:
        try:
            conversation = shapes.read(shape, json.loads(raw))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"This is no request: {type(error).__name__}."
            await _send(writer, 400, shapes.refusal(shape, "invalid_request_error", text))
            return True
        key = headers.get("idempotency-key", "")
        asked = Asked(shape, conversation.model, conversation.turn, key, headers, conversation.body)
        self.asked.append(asked)
        self._requests[key] += 1
        said = self._said(conversation, headers, self._requests[key])
        if said.get("hangs"):
            await reader.read(1)  # returns when the sender is gone
            return False
        async with self._arrival:
            await self._arrival.wait_for(lambda: self.most_open >= said.get("together", 0))
        await asyncio.sleep(said.get("after_seconds", 0))
        asked.status = said.get("status", 200)
        return await _send_answer(writer, conversation, said)

    def _said(self, conversation: Conversation, headers: dict[str, str], times: int) -> dict[str, Any]:
        """What the script says, or what is wrong."""
        shape, given = conversation.shape, headers.get("x-api-key") or headers.get("authorization", "")
        if self._api_key is not None and given.removeprefix("Bearer ") != self._api_key:
            return {"status": 401, "body": shapes.refusal(shape, "authentication_error", "Who are you?")}
        script = self.scripts.get(conversation.model, self.scripts.get("*"))
        if script is None:
            text = f"The model {conversation.model} does not exist."
            return {"status": 404, "body": shapes.refusal(shape, "not_found_error", text, "model_not_found")}
        if callable(script):
            said = script(conversation)
        else:
            said = script[min(conversation.turn, len(script)) - 1]
        first = said.get("first", ())
        said = first[times - 1] if times <= len(first) else said
        filled: dict[str, Any] = shapes.filled_in(said, conversation)
        return filled


async def _send_answer(
    writer: asyncio.StreamWriter, conversation: Conversation, said: dict[str, Any]
) -> bool:
    status, content_type = said.get("status", 200), "application/json"
    body = said.get("body")
    if "body" not in said and status != 200:
        body = shapes.refusal(
            conversation.shape, "api_error", HTTPStatus(status).phrase if status != 529 else "Overloaded"
        )
    elif said.get("streams"):
        content_type, body = "text/event-stream", shapes.streamed(conversation, said).decode()
    elif "body" not in said:
        body = shapes.answer(conversation, said)
    return await _send(
        writer,
        status,
        body,
        {"content-type": content_type, **said.get("headers", {})},
        cut=said.get("cut"),
        drip_seconds=said.get("drip_seconds", 0),
    )


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    cut: int | None = None,
    drip_seconds: float = 0,
) -> bool:
    """Text goes out as it is, anything else as JSON. Returns whether the connection is kept."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    fields = {"content-type": "application/json", **(headers or {}), "content-length": str(len(content))}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    sent = content if cut is None else content[:cut]
    pieces = [sent[at : at + 1] for at in range(len(sent))] if drip_seconds else [sent]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if drip_seconds:
            await asyncio.sleep(drip_seconds)
    return cut is None


if __name__ == "__main__":
    model = ScriptedModel(json.loads(Path(sys.argv[2]).read_text()), port=int(sys.argv[1]))
    sys.stdout.write(f"{model.url}\n")
    sys.stdout.flush()
    model.serve()
