import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfield.kernel import traceparent
from lightfield.kernel.traceparent import TraceParent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f" \t00-{TRACE}-{SPAN}-01 ", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_valid_headers_are_taken_over(header, is_sampled):
    assert traceparent.parse(header) == TraceParent(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",  # version 00 has exactly four fields
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 600,
    ],
)
def test_anything_else_counts_as_absent(header):
    assert traceparent.parse(header) is None


@given(st.text())
def test_no_header_raises(header):
    assert traceparent.parse(header) is None or header.strip(" \t")[2] == "-"


def test_outgoing_headers_share_the_trace_and_never_the_span():
    parents = [traceparent.parse(traceparent.outgoing(TRACE)) for _ in range(100)]
    assert {parent.trace_id for parent in parents if parent} == {TRACE}
    assert len({parent.span_id for parent in parents if parent}) == 100


def test_given_zero_bytes_when_a_new_id_is_made_then_it_is_drawn_again(monkeypatch):
    draws = iter([bytes(16), b"\x00" * 15 + b"\x07"])
    monkeypatch.setattr("lightfield.kernel.traceparent.os.urandom", lambda length: next(draws))
    assert traceparent.new_trace_id() == "0" * 31 + "7"


def test_new_ids_have_their_lengths():
    assert len(traceparent.new_trace_id()) == 32
    assert len(traceparent.new_span_id()) == 16
