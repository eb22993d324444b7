"""The filters of templates: what each does, what it refuses, and that nothing is allowed by accident."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import render
from workflows.filters import FILTERS, documented
from workflows.templating.faults import LIST_LIMIT, VALUE_LIMIT

CONTEXT: dict[str, Any] = {
    "t": {
        "null": None,
        "list": [3, 1, 2],
        "mixed": [1, "a"],
        "words": ["b", "A", "a"],
        "gaps": [1, None, 2],
        "people": [
            {"name": "Ann", "age": 30, "vip": True},
            {"name": "Bob", "age": None, "vip": False},
            {"name": "Cy", "vip": 1},
        ],
        "object": {"a": 1},
        "html": "<p>Hi <b>there</b> &amp; you<!-- no --> <script>x()</SCRIPT>5 < 6<style>p{}</style></p>",
        "float": 2.5,
        "negative": -7,
        "text": "a b",
        "long": "x" * VALUE_LIMIT,
        "many": [0] * LIST_LIMIT,
        "large": ["x" * 1000] * 300,
    }
}

RESULTS: dict[str, list[tuple[str, Any]]] = {
    "default": [("t.null | default: 'x'", "x"), ("false | default: 'x'", False)],
    "upcase": [("'straße' | upcase", "STRASSE"), ("t.null | upcase", ""), ("5 | upcase", "5")],
    "downcase": [("'ÄB' | downcase", "äb"), ("true | downcase", "true")],
    "capitalize": [("'heLLO you' | capitalize", "Hello you"), ("'' | capitalize", "")],
    "strip": [("'  a ' | strip", "a")],
    "lstrip": [("'  a ' | lstrip", "a ")],
    "rstrip": [("'  a ' | rstrip", "  a")],
    "append": [("t.text | append: 1", "a b1"), ("t.null | append: t.null", ""), ("t.object | append: ''", '{"a":1}')],
    "prepend": [("'b' | prepend: 'a'", "ab")],
    "replace": [("'aaa' | replace: 'a', 'bc'", "bcbcbc"), ("'ab' | replace: 'b'", "a"), ("'ab' | replace: '', '-'", "-a-b-")],
    "replace_first": [("'aaa' | replace_first: 'a', 'b'", "baa"), ("'x' | replace_first: 'a', 'b'", "x")],
    "remove": [("'banana' | remove: 'an'", "ba")],
    "remove_first": [("'banana' | remove_first: 'an'", "bana")],
    "split": [("'a,b,,c' | split: ','", ["a", "b", "", "c"]), ("'' | split: ','", []), ("'äb' | split: ''", ["ä", "b"])],
    "truncate": [("'abcdefgh' | truncate: 5", "ab..."), ("'abc' | truncate: 3", "abc"), ("'abcdef' | truncate: 4, ''", "abcd"), ("'abcdef' | truncate: 1", "..."), ("'abcdef' | truncate: '5', '…'", "abcd…")],
    "truncatewords": [("'a b c d' | truncatewords: 2", "a b..."), ("'a  b' | truncatewords: 2", "a  b"), ("'a b' | truncatewords: 0, '!'", "a!")],
    "escape": [("'<a href=\"x\">&</a>' | escape", "&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;")],
    "strip_html": [("t.html | strip_html", "Hi there &amp; you 5 < 6"), ("'5 < 6' | strip_html", "5 < 6"), ("'<script>a' | strip_html", "a"), ("'<!-- a' | strip_html", "<!-- a"), ("'a<b>c' | strip_html", "ac")],
    "newline_to_br": [("t.text | replace: ' ', t.nl | newline_to_br", "a<br />\nb")],
    "strip_newlines": [("t.text | replace: ' ', t.nl | strip_newlines", "ab")],
    "url_encode": [("'a b&ä' | url_encode", "a+b%26%C3%A4")],
    "url_decode": [("'a+b%26%C3%A4' | url_decode", "a b&ä")],
    "base64_encode": [("'ä' | base64_encode", "w6Q=")],
    "base64_decode": [("'w6Q=' | base64_decode", "ä")],
    "json": [("t.object | json", '{"a":1}'), ("'ä\"' | json", '"ä\\""'), ("t.null | json", "null")],
    "size": [("t.text | size", 3), ("t.list | size", 3), ("t.object | size", 1), ("t.null | size", 0)],
    "first": [("t.list | first", 3), ("t.null | first", None)],
    "last": [("t.list | last", 2), ("t.null | last", None)],
    "slice": [("'hello' | slice: 1, 3", "ell"), ("'hello' | slice: -3, 2", "ll"), ("'hello' | slice: 1", "e"), ("t.list | slice: 1, 9", [1, 2]), ("'hello' | slice: -9, 3", ""), ("t.list | slice: -9", []), ("'abc' | slice: 0, -1", "")],
    "join": [("t.list | join: ', '", "3, 1, 2"), ("t.mixed | join", "1 a"), ("t.gaps | join: '-'", "1--2"), ("t.null | join", "")],
    "map": [("t.people | map: 'name'", ["Ann", "Bob", "Cy"]), ("t.people | map: 'age'", [30, None, None])],
    "where": [("t.people | where: 'vip' | map: 'name'", ["Ann", "Cy"]), ("t.people | where: 'vip', true | map: 'name'", ["Ann"]), ("t.people | where: 'vip', 1.0 | map: 'name'", ["Cy"]), ("t.people | where: 'age', nil | size", 2)],
    "sort": [("t.list | sort", [1, 2, 3]), ("t.words | sort", ["A", "a", "b"]), ("t.gaps | sort", [1, 2, None]), ("t.people | sort: 'age' | map: 'name'", ["Ann", "Bob", "Cy"]), ("t.people | sort: 'name' | map: 'name'", ["Ann", "Bob", "Cy"]), ("t.null | sort", [])],
    "uniq": [("t.dups | uniq", [1, True, "1", None, [1], {"a": 1}]), ("t.people | uniq: 'age' | map: 'name'", ["Ann", "Bob"])],
    "compact": [("t.gaps | compact", [1, 2]), ("t.people | compact: 'age' | map: 'name'", ["Ann"])],
    "concat": [("t.list | concat: t.words", [3, 1, 2, "b", "A", "a"]), ("t.null | concat: t.gaps", [1, None, 2])],
    "reverse": [("t.list | reverse", [2, 1, 3])],
    "sum": [("t.list | sum", 6), ("t.people | sum: 'age'", 30), ("t.decimals | sum", 0.6), ("t.null | sum", 0)],
    "plus": [("1 | plus: 2", 3), ("0.1 | plus: 0.2", 0.3), ("'4' | plus: ' 1.5 '", 5.5), ("'1e3' | plus: 1", 1001.0)],
    "minus": [("1 | minus: 2", -1), ("0.3 | minus: 0.1", 0.2)],
    "times": [("3 | times: 4", 12), ("0.1 | times: 3", 0.3)],
    "divided_by": [("7 | divided_by: 2", 3), ("-7 | divided_by: 2", -4), ("7 | divided_by: 2.0", 3.5), ("1.0 | divided_by: 3", 0.3333333333333333)],
    "modulo": [("7 | modulo: 3", 1), ("-7 | modulo: 3", 2), ("7.5 | modulo: 2", 1.5), ("-7.5 | modulo: 2", 0.5)],
    "round": [("2.5 | round", 3), ("-2.5 | round", -3), ("1.005 | round: 2", 1.01), ("7 | round: 2", 7), ("2.4 | round", 2), ("2.25 | round: 99", 2.25)],
    "floor": [("t.float | floor", 2), ("-2.5 | floor", -3), ("5 | floor", 5)],
    "ceil": [("t.float | ceil", 3), ("-2.5 | ceil", -2)],
    "abs": [("t.negative | abs", 7), ("'-1.5' | abs", 1.5)],
    "at_least": [("3 | at_least: 5", 5), ("7 | at_least: 5", 7)],
    "at_most": [("3 | at_most: 5", 3), ("7 | at_most: 5.5", 5.5)],
    "date": [
        ("'2026-03-01T09:05:07.123456Z' | date: '%Y-%m-%d %H:%M:%S.%L %f %%'", "2026-03-01 09:05:07.123 123456 %"),
        ("'2026-03-01' | date: '%A %a %B %b %e %-d %j %y %u %w %V %G'", "Sunday Sun March Mar  1 1 060 26 7 0 09 2026"),
        ("'2026-03-01T15:04:05' | date: '%I:%M %p %T %R %F %-I'", "03:04 PM 15:04:05 15:04 2026-03-01 3"),
        ("'2026-03-01T00:04:05' | date: '%I %p %-e %s'", "12 AM 1 1772323445"),
        ("'2026-07-01T12:00:00Z' | date: '%H:%M %Z %z', 'America/New_York'", "08:00 EDT -0400"),
        ("'2026-07-01T12:00:00+02:00' | date: '%H:%M %z'", "12:00 +0200"),
        ("0 | date: '%F %T'", "1970-01-01 00:00:00"),
        ("-0.5 | date: '%F %T.%L'", "1969-12-31 23:59:59.500"),
        ("t.null | date: '%F'", ""),
    ],
}  # fmt: skip
CONTEXT["t"] |= {
    "nl": "\n",
    "decimals": [0.1, 0.2, 0.3],
    "dups": [1, 1.0, True, "1", None, None, [1], [1.0], {"a": 1}, {"a": 1}],
}

REFUSALS = [
    ("t.list | upcase | plus: 1", "needs a number"),
    ("'abc' | plus: 1", "not 'abc'"),
    ("true | plus: 1", "not true or false"),
    ("t.null | plus: 1", "not null"),
    ("1 | divided_by: 0", "cannot calculate"),
    ("1.0 | divided_by: 0", "cannot calculate"),
    ("1 | modulo: 0", "cannot calculate"),
    ("1.5 | modulo: 0", "cannot calculate"),
    ("'1e300' | times: '1e300' | times: 1", "finite"),
    ("1.5 | round: 'x'", "whole number"),
    ("'abc' | truncate: true", "whole number"),
    ("'abc' | truncate: 1.5", "whole number"),
    ("'a' | truncate: '99999999999999999999999'", "whole number"),
    ("'text' | first", "needs a list, not text"),
    ("t.object | join", "needs a list, not an object"),
    ("5 | size", "not a number"),
    ("t.list | map: 'name'", "holds a number"),
    ("t.people | map: 1", "name of a field"),
    ("t.mixed | sort", "not a number and text"),
    ("t.people | sort: 'vip'", "numbers or texts"),
    ("t.list | concat: 'x'", "needs a list"),
    ("t.words | sum", "needs a number"),
    ("'%ff' | url_decode", "UTF-8"),
    ("'a%00b' | url_decode", "NUL"),
    ("'AA==' | base64_decode", "NUL"),
    ("'!!' | base64_decode", "base64"),
    ("'/w==' | base64_decode", "base64"),
    ("'now' | date: '%F'", "not 'now'"),
    ("true | date: '%F'", "not true or false"),
    ("t.list | date: '%F'", "not a list"),
    ("1000000000000000 | date: '%F'", "ISO 8601"),
    ("'2026-13-01' | date: '%F'", "ISO 8601"),
    ("0 | date: 5", "needs a form"),
    ("0 | date: '%Q'", "'%Q'"),
    ("0 | date: '%F', 'Mars/Base'", "time zone"),
    ("0 | date: '%F', '../../etc/passwd'", "time zone"),
    ("0 | date: '%F', 5", "time zone"),
    ("'0001-01-01' | date: '%F', 'America/New_York'", "time zone"),
]

LIMITS = [
    "t.long | append: 'x'",
    "t.long | prepend: 'x'",
    "t.long | replace: 'x', 'xx'",
    "t.long | split: ''",
    "t.many | concat: t.list",
    "t.long | url_encode | append: 'x'",
    "9223372036854775807 | plus: 1",
    "'1e300' | floor",
    "t.large | json",
    "t.many | join: '                                        '",
]


@pytest.mark.parametrize(
    ("expression", "value"),
    [pair for pairs in RESULTS.values() for pair in pairs],
    ids=lambda part: str(part)[:60],
)
def test_a_filter_gives(expression, value):
    rendered = render(f"{{{{ {expression} }}}}", CONTEXT)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(("expression", "detail"), REFUSALS)
def test_a_filter_refuses_what_it_cannot_use(expression, detail):
    with pytest.raises(PermanentStepError) as caught:
        render(f"{{{{ {expression} }}}}", CONTEXT)
    assert caught.value.code == "template.failed"
    assert detail in caught.value.message


@pytest.mark.parametrize("expression", LIMITS)
def test_a_filter_stays_within_its_bounds(expression):
    with pytest.raises(PermanentStepError) as caught:
        render(f"{{{{ {expression} }}}}", CONTEXT)
    assert caught.value.code == "template.limit"


def test_every_filter_has_examples_here_and_a_line_for_people():
    assert set(RESULTS) == set(FILTERS)
    assert all(rule.summary and rule.name == name for name, rule in FILTERS.items())


def test_the_documentation_lists_every_filter_as_it_is():
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
    table = page.partition("## Filters")[2].partition("|---|---|\n")[2]
    assert table.splitlines() == documented()


@given(
    a=st.integers(-(10**12), 10**12) | st.decimals(-(10**6), 10**6, places=4).map(float),
    b=st.integers(-(10**6), 10**6) | st.decimals(-(10**3), 10**3, places=3).map(float),
)
def test_sums_and_products_are_exact_or_the_nearest_decimal(a, b):
    x, y = Fraction(repr(a)), Fraction(repr(b))
    kind = int if isinstance(a, int) and isinstance(b, int) else float
    context = {"a": a, "b": b}
    assert render("{{ a | plus: b }}", context) == kind(x + y)
    assert render("{{ a | times: b }}", context) == kind(x * y)
    assert render("{{ a | minus: b | plus: b }}", context) == pytest.approx(a)


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_what_is_encoded_can_be_decoded(text):
    context = {"text": text}
    assert render("{{ text | url_encode | url_decode }}", context) == text
    assert render("{{ text | base64_encode | base64_decode }}", context) == text
    assert json.loads(render("{{ text | json }}", context)) == text


@given(items=st.lists(st.integers() | st.none(), max_size=30))
def test_sort_puts_nulls_last_and_loses_nothing(items):
    items = [None if item is None else item % 1000 for item in items]
    ordered = sorted(item for item in items if item is not None)
    assert render("{{ items | sort }}", {"items": items}) == ordered + [None] * items.count(None)


@given(text=st.text("<>!-/scriptyle \n"))
def test_strip_html_ends_and_leaves_no_closed_tag(text):
    stripped = render("{{ text | strip_html }}", {"text": text})
    assert len(stripped) <= len(text)
    if "<" not in text:
        assert stripped == text
