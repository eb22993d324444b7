import contextlib
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executions.egress.decoding import MAX_MEMBERS, TooLarge, Undecodable, decode
from tests.servers import gzipped

MIB = 1 << 20


def bare_deflate(body):
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"hello", "identity"),
        (b"hello", ""),
        (gzipped(b"hello"), "gzip"),
        (gzipped(b"hello"), " X-GZip "),
        (zlib.compress(b"hello"), "deflate"),
        (bare_deflate(b"hello"), "deflate"),
        (gzipped(zlib.compress(b"hello")), "deflate, gzip"),
        (gzipped(b"hello"), "identity, gzip"),
        (gzipped(b"he") + gzipped(b"llo"), "gzip"),
        (gzipped(b"hello") + b"\0" * 10, "gzip"),
    ],
)
def test_decoded(body, encoding):
    assert decode(body, encoding, max_bytes=5) == b"hello"


def test_an_empty_body_needs_no_decoding():
    assert decode(b"", "gzip", max_bytes=5) == b""


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"hello", "br"),
        (b"hello", "compress"),
        (b"hello", "gzip"),
        (b"hello", "deflate"),
        (gzipped(b"hello")[:-3], "gzip"),
        (gzipped(b"hello") + b"rest", "gzip"),
        (gzipped(gzipped(gzipped(b"x"))), "gzip, gzip, gzip"),
        (gzipped(b"") * (MAX_MEMBERS + 1), "gzip"),
    ],
)
def test_undecodable(body, encoding):
    with pytest.raises(Undecodable):
        decode(body, encoding, max_bytes=100)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzipped(b"hello!"), "gzip"),
        (zlib.compress(b"hello!"), "deflate"),
        (gzipped(b"hel") + gzipped(b"lo!"), "gzip"),
        (gzipped(gzipped(b"0" * 50_000)), "gzip, gzip"),
    ],
)
def test_too_large(body, encoding):
    with pytest.raises(TooLarge):
        decode(body, encoding, max_bytes=5)


@pytest.mark.parametrize("layers", [1, 2])
def test_given_a_bomb_then_no_more_than_allowed_is_unpacked(layers):
    # Given 200 MiB of zeros in 200 KiB, or in a few hundred bytes
    stream = zlib.compressobj(9, wbits=31)
    bomb = b"".join(stream.compress(bytes(MIB)) for _ in range(200)) + stream.flush()
    if layers == 2:
        bomb = gzipped(bomb)
    tracemalloc.start()
    started = time.process_time()
    # When
    with pytest.raises(TooLarge):
        decode(bomb, ", ".join(["gzip"] * layers), max_bytes=MIB)
    # Then
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MIB
    assert seconds < 0.5


def test_a_thousand_tiny_members_cost_little():
    started = time.process_time()
    with pytest.raises(Undecodable):
        decode(gzipped(b"") * 50_000, "gzip", max_bytes=MIB)
    assert time.process_time() - started < 0.5


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
def test_no_bytes_cause_anything_else(body, encoding):
    with contextlib.suppress(TooLarge, Undecodable):
        assert len(decode(body, encoding, max_bytes=100)) <= 100
