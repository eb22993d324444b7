"""Undo gzip and deflate without ever holding more than allowed, however well it was packed."""

from __future__ import annotations

import zlib
from typing import Final

MAX_ENCODINGS: Final = 2
MAX_MEMBERS: Final = 64  # of one gzip body; each costs a copy of what follows it
_OVERHEAD_BYTES: Final = 1024  # what packing may add to a body that cannot be packed
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """More comes out than allowed."""


class Undecodable(Exception):
    """An encoding nobody offered, too many of them, or data that does not fit it."""


def decode(body: bytes, content_encoding: str, *, max_bytes: int) -> bytes:
    """The body without its content encodings.

    Raises:
        TooLarge: one of the stages exceeds `max_bytes`. No more than that was unpacked.
        Undecodable: see there.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    if len(encodings) > MAX_ENCODINGS:
        raise Undecodable(f"{len(encodings)} content encodings")
    for stages_left, encoding in reversed(list(enumerate(encodings))):
        if not body:
            return body
        room = max_bytes + (_OVERHEAD_BYTES if stages_left else 0)
        if encoding in ("gzip", "x-gzip"):
            body = _gunzip(body, room)
        elif encoding == "deflate":
            body = _inflate(body, room)
        else:
            raise Undecodable(f"content encoding {encoding[:20]!r}")
    return body


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    """All members of a gzip file, one after the other."""
    whole = b""
    for _ in range(MAX_MEMBERS):
        piece, body = _unpack(body, _GZIP_WINDOW, max_bytes - len(whole))
        whole += piece
        if not body.strip(b"\0"):  # padding after the last member is allowed
            return whole
    raise Undecodable(f"more than {MAX_MEMBERS} gzip members")


def _inflate(body: bytes, max_bytes: int) -> bytes:
    """ "deflate" is zlib's format by the book, and the bare stream from some servers."""
    try:
        return _unpack(body, zlib.MAX_WBITS, max_bytes)[0]
    except Undecodable:
        return _unpack(body, -zlib.MAX_WBITS, max_bytes)[0]


def _unpack(body: bytes, window: int, room: int) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(window)
    try:
        piece = stream.decompress(body, room + 1)
    except zlib.error as error:
        raise Undecodable(f"the compressed body is damaged ({error})") from None
    if len(piece) > room:
        raise TooLarge
    if not stream.eof:
        raise Undecodable("the compressed body ends too early")
    return piece, stream.unused_data
