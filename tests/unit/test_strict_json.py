import hashlib
import json
import math
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfield.kernel import strict_json
from lightfield.kernel.errors import RequestRefused

REFUSED = {
    "empty": (b"", "payload.invalid_json"),
    "only_spaces": (b" \n\t", "payload.invalid_json"),
    "no_break_space": (b"\xc2\xa0", "payload.invalid_json"),
    "trailing_garbage": (b'{"a":1}x', "payload.invalid_json"),
    "two_values": (b"1 2", "payload.invalid_json"),
    "trailing_comma": (b"[1,]", "payload.invalid_json"),
    "single_quotes": (b"{'a':1}", "payload.invalid_json"),
    "comment": (b"[1 /* one */]", "payload.invalid_json"),
    "leading_zero": (b"[01]", "payload.invalid_json"),
    "plus_sign": (b"[+1]", "payload.invalid_json"),
    "raw_newline_in_string": (b'"a\nb"', "payload.invalid_json"),
    "unterminated_string": (b'["abc', "payload.invalid_json"),
    "ends_in_a_backslash": (b'"\\', "payload.invalid_json"),
    "wrong_escape": (b'"\\x41"', "payload.invalid_json"),
    "raw_nul": (b'"\x00"', "payload.invalid_json"),
    "mixed_brackets": (b"[1}", "payload.invalid_json"),
    "byte_order_mark": (b"\xef\xbb\xbf{}", "payload.not_utf8"),
    "latin1": ('{"name":"José"}'.encode("latin-1"), "payload.not_utf8"),
    "utf16": ('{"a":1}'.encode("utf-16"), "payload.not_utf8"),
    "overlong_slash": (b'"\xc0\xaf"', "payload.not_utf8"),
    "surrogate_in_utf8": (b'"\xed\xa0\x80"', "payload.not_utf8"),
    "nan": (b'{"a":NaN}', "payload.not_a_number"),
    "infinity": (b"[Infinity]", "payload.not_a_number"),
    "minus_infinity": (b"-Infinity", "payload.not_a_number"),
    "nul_escape": (b'{"a":"x\\u0000y"}', "payload.nul_character"),
    "nul_escape_in_key": (b'{"a\\u0000":1}', "payload.nul_character"),
    "high_surrogate": (b'["\\ud800"]', "payload.lone_surrogate"),
    "low_surrogate": (b'["\\uDC00"]', "payload.lone_surrogate"),
    "swapped_pair": (b'["\\udc00\\ud800"]', "payload.lone_surrogate"),
    "surrogate_in_key": (b'{"\\uDBFF":1}', "payload.lone_surrogate"),
    "integer_over_64_bits": (b"9223372036854775808", "payload.number_out_of_range"),
    "integer_under_64_bits": (b"-9223372036854775809", "payload.number_out_of_range"),
    "integer_beyond_pythons_limit": (b"1" * 5000, "payload.number_out_of_range"),
    "1e999": (b'{"a":1e999}', "payload.number_out_of_range"),
    "1e5000": (b'{"a":1e5000}', "payload.number_out_of_range"),
    "1e309": (b"1e309", "payload.number_out_of_range"),
    "zero_with_a_large_exponent": (b"0e999", "payload.number_out_of_range"),
    "overflow_by_the_mantissa": (b"123456e306", "payload.number_out_of_range"),
    "overflow_without_an_exponent": (b"1" * 400 + b".5", "payload.number_out_of_range"),
    "exponent_below_308": (b"1e-309", "payload.number_out_of_range"),
    "underflow_without_an_exponent": (b"0." + b"0" * 400 + b"1", "payload.number_out_of_range"),
    "exponent_of_a_thousand_digits": (b"1e" + b"9" * 1000, "payload.number_out_of_range"),
    "duplicate_key": (b'{"a":1,"b":2,"a":3}', "payload.duplicate_key"),
    "duplicate_key_by_escape": (b'{"a":1,"\\u0061":2}', "payload.duplicate_key"),
    "duplicate_key_inside": (b'[{"x":{"a":1,"a":1}}]', "payload.duplicate_key"),
    "key_of_257": (b'{"%b":1}' % (b"k" * 257), "payload.key_too_long"),
    "depth_33": (b"[" * 33 + b"]" * 33, "payload.too_deep"),
    "depth_33_with_objects": (b'{"a":' * 33 + b"1" + b"}" * 33, "payload.too_deep"),
    "depth_33_ends_empty": (b"[" * 32 + b"{ }" + b"]" * 32, "payload.too_deep"),
    "10_001_values": (b"[" + b",".join([b"1"] * 10_000) + b"]", "payload.too_many_nodes"),
}

ACCEPTED: dict[str, tuple[bytes, object]] = {
    "scalar": (b"1", 1),
    "null": (b" null\n", None),
    "text": ('"José \\u00e9"'.encode(), "José é"),
    "surrogate_pair": (b'"\\ud83d\\ude00"', "😀"),
    "escaped_backslash_before_u0000": (b'"\\\\u0000"', "\\u0000"),
    "marks_inside_strings": (b'{"a":"[[[{{{,,,\\"]"}', {"a": '[[[{{{,,,"]'}),
    "largest_integer": (b"9223372036854775807", 2**63 - 1),
    "smallest_integer": (b"-9223372036854775808", -(2**63)),
    "1e308": (b"1e308", 1e308),
    "1e-308": (b"1E-308", 1e-308),
    "minus_zero": (b"-0.0", 0.0),
    "zero_point_zero": (b"0.000e5", 0.0),
    "key_of_256": (b'{"%b":1}' % (b"k" * 256), {"k" * 256: 1}),
    "same_key_in_two_objects": (b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}]),
    "empty_containers": (b"[[],{}]", [[], {}]),
}


@pytest.mark.parametrize(("raw", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(raw, code):
    with pytest.raises(RequestRefused) as caught:
        strict_json.parse(raw)
    assert caught.value.code == code


@pytest.mark.parametrize(("raw", "value"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(raw, value):
    assert strict_json.parse(raw) == value


def test_depth_of_32_and_10_000_values_are_allowed():
    assert strict_json.parse(b"[" * 32 + b"]" * 32)
    assert len(strict_json.parse(b"[" + b",".join([b"1"] * 9_999) + b"]")) == 9_999
    assert len(strict_json.parse(b"[" + b",".join([b"[ ]", b"{\n}"] * 4_999) + b"]")) == 9_998


def test_commas_and_brackets_in_strings_do_not_count():
    raw = json.dumps({"text": ",[{" * 20_000, "quotes": '\\"' * 20_000}).encode()
    assert strict_json.parse(raw) == json.loads(raw)


def test_size_is_limited_to_1_mib_unless_told_otherwise():
    exact = b'"' + b"a" * (strict_json.MAX_BYTES - 2) + b'"'
    assert len(strict_json.parse(exact)) == strict_json.MAX_BYTES - 2
    with pytest.raises(RequestRefused) as caught:
        strict_json.parse(exact + b" ")
    assert (caught.value.code, caught.value.entry.status) == ("payload.too_large", 413)
    with pytest.raises(RequestRefused):
        strict_json.parse(b"[1]", max_bytes=2)


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"a":1}x', "character 7"),
        (b'{"a":\n  x}', "line 2, column 3"),
        (b'{"a":"\xff"}', "offset 6"),
        (b'{"a":1,"a":2}', "'a'"),
        (b"[" * 40, "byte 32"),
        (b"[123456789012345678901]", "123456789012345678901"),
    ],
)
def test_the_detail_says_where(raw, where):
    with pytest.raises(RequestRefused) as caught:
        strict_json.parse(raw)
    assert where in caught.value.message


def test_the_pointer_of_an_unstorable_string_is_given():
    with pytest.raises(RequestRefused) as caught:
        strict_json.parse(b'{"a/b":[1,{"c~":"\\u0000"}]}')
    assert caught.value.problems[0].as_json() == {
        "pointer": "/a~1b/1/c~0",
        "code": "payload.nul_character",
        "detail": "The string holds U+0000.",
    }


HOSTILE = {
    "100_000_brackets": b"[" * 100_000,
    "a_million_brackets": b"[" * strict_json.MAX_BYTES,
    "a_million_closers": b"]" * strict_json.MAX_BYTES,
    "spaced_brackets": b"[ " * (strict_json.MAX_BYTES // 2),
    "digits": b"1" * strict_json.MAX_BYTES,
    "fraction": b"0." + b"1" * (strict_json.MAX_BYTES - 2),
    "exponent": b"1e" + b"1" * (strict_json.MAX_BYTES - 2),
    "quotes": b'"' * strict_json.MAX_BYTES,
    "escapes_without_end": b'["' + b'\\"' * (strict_json.MAX_BYTES // 2 - 1),
    "strings_without_end": b'"a",' * (strict_json.MAX_BYTES // 4),
    "colons": b"[" * 31 + b":" * (strict_json.MAX_BYTES - 31),
    "spaces": b" " * strict_json.MAX_BYTES,
    "surrogates": b'["' + b"\\ud800" * (strict_json.MAX_BYTES // 6 - 1) + b'"]',
}


def cost_of(work):
    """CPU seconds, at best. Only ratios of them mean something: the machine may be slow, or busy."""
    times = []
    for _ in range(5):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def read_a_megabyte():
    json.loads(b"[" + b"1," * (strict_json.MAX_BYTES // 2 - 1) + b"1]")


def test_a_body_of_nothing_but_marks_is_not_read_to_its_end():
    raw = b"[]" * 33 + b'""' * 400_000
    with pytest.raises(RequestRefused, match="too_many_nodes"):
        strict_json.parse(raw)


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_body_is_refused_quickly(raw):
    def refuse():
        with pytest.raises(RequestRefused):
            strict_json.parse(raw)

    assert cost_of(refuse) < 2 * cost_of(read_a_megabyte)


def test_a_million_keys_are_refused_quickly_and_without_building_them():
    raw = b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}"

    def refuse():
        with pytest.raises(RequestRefused, match="too_many_nodes"):
            strict_json.parse(raw, max_bytes=len(raw))

    assert cost_of(refuse) < 3 * cost_of(read_a_megabyte)
    tracemalloc.start()
    refuse()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(raw) + (1 << 20)  # the decoded text, and next to nothing else


def test_a_small_body_takes_no_more_than_some_times_what_json_takes():
    raw = json.dumps({"id": "evt_1", "email": "ada@example.com", "n": [1, 2.5], "text": "x" * 130}).encode()
    assert 190 <= len(raw) <= 220

    def ours():
        for _ in range(1_000):
            strict_json.parse(raw)

    def plain():
        for _ in range(1_000):
            json.loads(raw)

    assert cost_of(ours) < 5 * cost_of(plain)


TEXT = st.text(max_size=20)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


def texts_and_numbers(value):
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from texts_and_numbers(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts_and_numbers(member)
    else:
        yield value


def is_storable(value):
    for leaf in texts_and_numbers(value):
        if isinstance(leaf, str) and ("\0" in leaf or any("\ud800" <= char <= "\udfff" for char in leaf)):
            return False
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return False
        if isinstance(leaf, int) and not -(2**63) <= leaf < 2**63:
            return False
    return True


@given(st.binary(max_size=60) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_accepted_bodies_are_storable_and_serialise_to_the_same_value(raw):
    try:
        value = strict_json.parse(raw)
    except RequestRefused:
        return
    assert is_storable(value)
    assert strict_json.parse(strict_json.canonical(value).encode()) == value
    assert json.loads(strict_json.canonical(value)) == value == json.loads(raw)


@given(ANY_JSON)
def test_parse_and_check_agree(value):
    def verdict(look):
        try:
            look()
        except RequestRefused as refused:
            return refused.code
        return "accepted"

    raw = json.dumps(value).encode()
    by_parse, by_check = verdict(lambda: strict_json.parse(raw)), verdict(lambda: strict_json.check(value))
    assert (by_parse == "accepted") == (by_check == "accepted")


@pytest.mark.parametrize(
    ("value", "code", "pointer"),
    [
        ({"a": [1, float("nan")]}, "payload.not_a_number", "/a/1"),
        ({"a": float("-inf")}, "payload.not_a_number", "/a"),
        ([2**63], "payload.number_out_of_range", "/0"),
        ([5e-324], "payload.number_out_of_range", "/0"),
        ({"a": "\0"}, "payload.nul_character", "/a"),
        ({"\ud800": 1}, "payload.lone_surrogate", ""),
        ({"k" * 257: 1}, "payload.key_too_long", ""),
        ({1: 1}, "payload.invalid_json", ""),
        ({"a": object()}, "payload.invalid_json", "/a"),
        ({"a": b"bytes"}, "payload.invalid_json", "/a"),
        ([0] * 10_000, "payload.too_many_nodes", None),
        ([[0] * 5_000, [0] * 5_000], "payload.too_many_nodes", None),
        ("é" * (strict_json.MAX_BYTES // 2 + 1), "payload.too_large", ""),
    ],
)
def test_check_refuses_with_the_pointer(value, code, pointer):
    with pytest.raises(RequestRefused) as caught:
        strict_json.check(value)
    assert caught.value.code == code
    assert pointer is None or caught.value.problems[0].pointer == pointer


def test_check_refuses_depth_without_recursion():
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(RequestRefused) as caught:
        strict_json.check(value)
    assert caught.value.code == "payload.too_deep"


def test_check_accepts_what_steps_return():
    strict_json.check({"id": "1", "fields": {"a": [1, 2.5, None, True, "é😀"]}, "pair": (1, 2)})
    strict_json.check([0] * 9_999)


def test_canonical_does_not_depend_on_the_order_of_keys():
    assert strict_json.canonical({"b": [1, 2.0], "a": "é"}) == '{"a":"é","b":[1,2.0]}'
    assert strict_json.canonical({"a": "é", "b": [1, 2.0]}) == strict_json.canonical(
        {"b": [1, 2.0], "a": "é"}
    )


@pytest.mark.parametrize("number", [1e300, -1e19, 123456789012345678901.5, 5, 2**63 - 1, 0.1])
def test_numbers_come_back_from_jsonb_as_they_went_in(number):
    # jsonb keeps a decimal and writes it without an exponent
    stored = f"{number:.0f}" if abs(number) >= 2**63 else repr(number)
    shown = strict_json.from_storage(f'{{"n":{stored}}}')["n"]
    assert shown == number
    assert type(shown) is type(number)
    strict_json.check(shown)


def test_from_storage_reads_bytes_too():
    assert strict_json.from_storage(b'{"a":"\xc3\xa9"}') == {"a": "é"}


def test_digest_is_sha256():
    assert strict_json.digest(b"abc") == hashlib.sha256(b"abc").digest()
