"""Servers that mean harm, all at once: `python -m tests.hostile_answers` prints what each came to, and the memory it took.

Each is a raw socket that plays its script; all of them live in a process of their own, so that what is measured is the
client's memory alone. Sources: reliability tests of HTTP clients, CVE-2025-66418 (nested encodings), RFC 9112.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from benchmarks import bare
from tests.servers import Script, Visit, a_server, http, once

MIB: Final = 1 << 20
TIMEOUT_SECONDS: Final = 2.0
TOO_LARGE, INVALID, TIMEOUT = "http.too_large", "http.invalid_answer", "http.timeout"
LOST, ENCODING = "http.connection_lost", "http.bad_encoding"


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def endless(start: bytes, piece: bytes) -> Script:
    """Send `piece` for ever."""

    def script(visit: Visit) -> None:
        visit.receive()
        visit.send(start)
        while not visit.stopped.is_set():
            visit.send(piece)

    return script


def dripping(start: bytes, rest: bytes) -> Script:
    """A byte every 50 ms: well within any timeout of one read."""

    def script(visit: Visit) -> None:
        visit.receive()
        visit.send(start)
        visit.drip(rest)

    return script


def standing(answer: bytes) -> Script:
    """Answer, and keep the connection open: nobody must wait for more."""

    def script(visit: Visit) -> None:
        visit.receive()
        visit.send(answer)
        visit.stopped.wait(20)

    return script


def bomb(megabytes: int, *, layers: int = 1, window: int = 31) -> bytes:
    stream = zlib.compressobj(9, wbits=window)
    packed = b"".join(stream.compress(bytes(MIB)) for _ in range(megabytes)) + stream.flush()
    return gzip.compress(packed) if layers == 2 else packed


def deaf(visit: Visit) -> None:
    """Takes the connection and never reads nor answers."""
    visit.stopped.wait(20)


def silent(visit: Visit) -> None:
    """Reads the request, and closes."""
    visit.receive()


CHUNKED = "Transfer-Encoding: chunked"
# name: what it plays, and what that is called; a status where the answer stands
HOSTILE: Final[Mapping[str, tuple[Script, str | int]]] = {
    # slow
    "no_answer": (deaf, TIMEOUT),
    "slow_status_line": (dripping(b"HTTP/1.1 200 ", b"O" * 500), TIMEOUT),
    "slow_headers": (dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 500), TIMEOUT),
    "slow_interim": (dripping(head(status="100 Continue"), b"HTTP/1.1 200 " + b"O" * 500), TIMEOUT),
    "slow_body": (dripping(head("Content-Length: 500"), b"x" * 500), TIMEOUT),
    "slow_chunks": (dripping(head(CHUNKED), b"1\r\nx\r\n" * 500), TIMEOUT),
    "slow_trailers": (dripping(head(CHUNKED) + b"0\r\n", b"X-A: b\r\n" * 500), TIMEOUT),
    "slow_refusal": (dripping(head("Content-Length: 500", status="503 Busy"), b"x" * 500), 503),
    # endless
    "endless_length": (endless(head("Content-Length: 99999999999"), b"x" * 65536), TOO_LARGE),
    "endless_until_close": (endless(head(), b"x" * 65536), TOO_LARGE),
    "endless_chunks": (endless(head(CHUNKED), b"1000\r\n" + b"x" * 4096 + b"\r\n"), TOO_LARGE),
    "padded_chunks": (endless(head(CHUNKED), b"1;pad=" + b"x" * 60_000 + b"\r\nx\r\n"), TOO_LARGE),
    "endless_refusal": (endless(head(status="503 Busy"), b"x" * 65536), 503),
    "endless_trailers": (endless(head(CHUNKED) + b"0\r\n", b"X-A: " + b"x" * 1000 + b"\r\n"), INVALID),
    "one_byte_over": (once(http(body=b"x" * (MIB + 1))), TOO_LARGE),
    # packed
    "gzip_bomb": (once(http(body=bomb(100), content_encoding="gzip")), TOO_LARGE),
    "deflate_bomb": (once(http(body=bomb(100, window=15), content_encoding="deflate")), TOO_LARGE),
    "raw_deflate_bomb": (once(http(body=bomb(100, window=-15), content_encoding="deflate")), TOO_LARGE),
    "gzip_in_gzip": (once(http(body=bomb(100, layers=2), content_encoding="gzip, gzip")), TOO_LARGE),
    "endless_gzip": (endless(head("Content-Encoding: gzip"), bomb(20)), TOO_LARGE),
    "bomb_in_a_refusal": (once(http("503 Busy", bomb(50), content_encoding="gzip")), 503),
    "many_members": (once(http(body=gzip.compress(b"") * 100, content_encoding="gzip")), ENCODING),
    "three_encodings": (once(http(body=b"x", content_encoding="gzip, gzip, gzip")), ENCODING),
    "brotli": (once(http(body=b"x", content_encoding="br")), ENCODING),
    "zstd": (once(http(body=b"x", content_encoding="zstd")), ENCODING),
    "cut_gzip": (once(http(body=gzip.compress(b"x" * 999)[:-9], content_encoding="gzip")), ENCODING),
    # headers
    "one_long_header": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536), INVALID),
    "headers_without_end": (endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000), INVALID),
    "five_thousand_headers": (standing(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 5000 + b"\r\n"), INVALID),
    "interim_without_end": (endless(b"", head(status="103 Early Hints")), INVALID),
    "nul_in_a_header": (standing(head("X: a\0b")), INVALID),
    "folded_header": (once(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"), 200),
    "space_before_colon": (standing(head("Content-Length : 5") + b"hello"), INVALID),
    # lies and garbage
    "two_lengths": (standing(head("Content-Length: 5", "Content-Length: 6") + b"hello!"), INVALID),
    "length_and_chunks": (once(head("Content-Length: 2", CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n"), 200),
    "negative_length": (standing(head("Content-Length: -5") + b"hello"), INVALID),
    "bad_chunk_size": (standing(head(CHUNKED) + b"xyz\r\n"), INVALID),
    "http_0_9": (standing(b"<html>hello</html>"), INVALID),
    "http_2": (standing(b"HTTP/2 200 OK\r\n\r\n"), INVALID),
    "ssh": (standing(b"SSH-2.0-OpenSSH_9.2\r\n"), INVALID),
    "status_000": (standing(b"HTTP/1.1 000 OK\r\n\r\n"), INVALID),
    "unasked_101": (standing(head("Upgrade: h2c", "Connection: upgrade", status="101 Switch")), INVALID),
    "status_999": (once(http("999 Denied")), 999),
    "body_of_a_204": (once(head("Content-Length: 5", status="204 No Content") + b"hello"), 204),
    "body_of_a_304": (once(head("Content-Length: 5", status="304 Same") + b"hello"), 304),
    "redirect_of_a_post": (once(http("301 Moved", location="/elsewhere")), 301),
    # broken off
    "nothing": (silent, LOST),
    "cut_head": (once(b"HTTP/1.1 200 OK\r\nContent-Le"), LOST),
    "cut_body": (once(head("Content-Length: 5") + b"hel"), LOST),
    "cut_chunk": (once(head(CHUNKED) + b"5\r\nhel"), LOST),
    "no_last_chunk": (once(head(CHUNKED) + b"3\r\nhel\r\n"), LOST),
}


def serve() -> None:
    """Listen with all of them until stdin ends; the first line out is their ports, as JSON by name."""
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(a_server(script)) for name, (script, _) in HOSTILE.items()}
        servers["fine"] = stack.enter_context(a_server(once(http(body=b"x" * 1000, connection="close"))))
        print(json.dumps({name: server.port for name, server in servers.items()}), flush=True)  # noqa: T201
        sys.stdin.read()


def measure() -> dict[str, Any]:
    """Ask all of them at once. Returns `{"growth_mb", "answers": {name: [code or status, seconds]}}`."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile_answers", "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        ports = json.loads(child.stdout.readline())
        return _ask_all(ports)
    finally:
        child.stdin.close()
        child.wait(timeout=10)


def _ask_all(ports: dict[str, int]) -> dict[str, Any]:
    from executions.egress.client import Client
    from executions.egress.policy import Policy, parse_allow
    from lightfield.kernel.errors import StepError

    client = Client(Policy(parse_allow("127.0.0.0/8")))
    start = threading.Barrier(len(HOSTILE))

    def ask(name: str, label: str) -> tuple[str, Any, float]:
        start.wait()
        began = time.monotonic()
        came: str | int
        try:
            url = f"http://127.0.0.1:{ports[name]}/"
            body = b'{"id": 7}'
            came = client.request(
                method="POST", url=url, body=body, timeout_seconds=TIMEOUT_SECONDS
            ).status_code
        except StepError as error:
            came = error.code
        return label, came, round(time.monotonic() - began, 3)

    with ThreadPoolExecutor(len(HOSTILE)) as pool:
        list(pool.map(lambda label: ask("fine", label), HOSTILE))  # threads and their stacks are there
        before = _reset_peak()
        answers = list(pool.map(lambda name: ask(name, name), HOSTILE))
        grown = _mb("VmHWM") - before
    return {"growth_mb": round(grown, 1), "answers": {name: [came, secs] for name, came, secs in answers}}


def _reset_peak() -> float:
    """Forget the highest resident memory so far; what it is now, in MB."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _mb("VmRSS")


def _mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(name + ":"))


def main(arguments: list[str]) -> None:
    if arguments:
        serve()
        return
    bare.configure()
    print(json.dumps(measure(), indent=1))  # noqa: T201  it is what we are for


if __name__ == "__main__":
    main(sys.argv[1:])
