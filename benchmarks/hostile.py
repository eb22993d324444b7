"""Senders that mean harm: slow ones, and ones that send what nobody takes. By hand, as the load is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from urllib.parse import urlsplit

SLOW_BODY = 900  # bytes announced, of which one comes each second
TOO_LARGE = (1 << 20) + 1
AT_ONCE = 8


async def trickle(url: str, seconds: float) -> int:
    """One byte a second, for at least so long; the status that came back, 0 for none."""
    reader, writer = await _connect(url)
    with contextlib.closing(writer):
        writer.write(_head(url, SLOW_BODY))
        answer = asyncio.ensure_future(reader.readline())
        ends = time.monotonic() + seconds
        while not answer.done() and time.monotonic() < ends:
            with contextlib.suppress(ConnectionError):
                writer.write(b" ")
                await asyncio.wait({answer}, timeout=1)
        if not answer.done():
            answer.cancel()
            return 0
        with contextlib.suppress(ConnectionError):
            return int((answer.result().split() or [b"", b"0"])[1])
    return 0


async def send_nonsense(url: str, number: int) -> list[int]:
    """Bodies over the limit, brackets without end, headers without number; the statuses that came back."""
    told, places = [], asyncio.Semaphore(AT_ONCE)
    kinds = (
        _head(url, TOO_LARGE) + b" " * TOO_LARGE,
        _head(url, 100_000) + b"[" * 100_000,
        _head(url, 2, *[f"X-{count}: {'x' * 8000}" for count in range(100)]) + b"{}",
        b"nonsense " * 400 + b"\r\n\r\n",
    )

    async def one(raw: bytes) -> None:
        async with places:
            reader, writer = await _connect(url)
            with contextlib.closing(writer), contextlib.suppress(ConnectionError):
                writer.write(raw)
                told.append(int((await reader.readline()).split()[1]))

    await asyncio.gather(*[one(kinds[count % len(kinds)]) for count in range(number)])
    return told


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    target = urlsplit(url)
    return await asyncio.open_connection(target.hostname, target.port)


def _head(url: str, length: int, *lines: str) -> bytes:
    target = urlsplit(url)
    first = (f"POST {target.path} HTTP/1.1", f"Host: {target.netloc}", f"Content-Length: {length}")
    return "\r\n".join((*first, *lines, "", "")).encode()
