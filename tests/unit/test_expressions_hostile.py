"""Templates written to hurt: each ends within a second of processor time, with a typed error or a small result.

Processor time of the thread and not wall time, so that a busy machine does not decide the test.
"""

from __future__ import annotations

import time
import tracemalloc

import pytest

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import compile_template, render, render_config
from workflows.templating.faults import CONFIG_LIMIT, SOURCE_LIMIT, VALUE_LIMIT

SECOND = 1.0
LIMIT, SYNTAX, FAILED, ENDS = "template.limit", "template.syntax", "template.failed", ""

CONTEXT = {
    "trigger": {
        "text": "x" * 250_000,
        "long": "a" * 1_000_000,
        "markup": "<a" * 60_000,
        "numbers": list(range(9_000)),
        "words": ["y" * 100] * 2_500,
        "objects": [{"a": i, "b": "t" * 20} for i in range(3_000)],
        "wide": {f"k{i}": i for i in range(9_000)},
        "nest": {},
    }
}


def filled(piece: str, before: str = "", after: str = "") -> str:
    """As many pieces as fit into one template."""
    return before + piece * ((SOURCE_LIMIT - len(before) - len(after)) // len(piece)) + after


def looped(body: str) -> str:
    return "{% for i in (1..9999) %}" + body + "{% endfor %}"


HOSTILE = {
    # loops
    "a range of ten million": ("{% for i in (1..10000000) %}x{% endfor %}", LIMIT),
    "a range between huge bounds": ("{{ (-9223372036854775808..9223372036854775807) }}", LIMIT),
    "loops in loops": (looped(looped("x")), LIMIT),
    "many loops one after the other": (filled("{% for i in (1..9999) %}{% endfor %}"), LIMIT),
    "a loop with thousands of outputs": (filled("{{i}}", "{% for i in (1..9999) %}", "{% endfor %}"), LIMIT),
    "a loop with thousands of ifs": (
        filled("{%if true%}{%endif%}", "{% for i in (1..9999) %}", "{% endfor %}"),
        LIMIT,
    ),
    "a loop of assignments": (filled("{%assign a=1%}", "{% for i in (1..9999) %}", "{% endfor %}"), LIMIT),
    "a loop over one item of a wide object": (
        looped("{% for p in trigger.wide limit: 1 %}{% endfor %}"),
        LIMIT,
    ),
    "a loop over one item of a range": (looped("{% for p in (1..9999) limit: 1 %}{% endfor %}"), LIMIT),
    "a loop of cases": (looped("{% case i %}{% when " + ",".join(["0"] * 900) + " %}{% endcase %}"), LIMIT),
    # growth
    "thirty doublings": ("{% assign a = 'x' %}" + "{% assign a = a | append: a %}" * 30, LIMIT),
    "doublings by capture": (
        "{% capture a %}xxxxxxxx{% endcapture %}" + "{% capture a %}{{a}}{{a}}{% endcapture %}" * 30,
        LIMIT,
    ),
    "doublings of a list": (
        "{% assign a = trigger.numbers %}" + "{% assign a = a | concat: a %}" * 30,
        LIMIT,
    ),
    "replace squared": ("{{ trigger.text | replace: 'x', trigger.text }}", LIMIT),
    "replace of nothing": ("{{ trigger.text | replace: '', trigger.text }}", LIMIT),
    "replace in a loop": (looped("{{ trigger.text | replace: 'x', 'y' | size }}"), LIMIT),
    "a large value written often": (filled("{{ trigger.text }}"), LIMIT),
    "percent signs escaped again and again": ("{{ trigger.markup " + "| url_encode " * 60 + "}}", LIMIT),
    "HTML escaped": ("{{ trigger.markup | escape }}", LIMIT),
    "line breaks": ("{{ trigger.text | replace: 'x', '\n' | newline_to_br }}", LIMIT),
    "a date with a huge width": ("{{ 0 | date: '%1000000000d' }}", FAILED),
    "powers": ("{{ 9 " + "| times: 999999999 " * 50 + "}}", LIMIT),
    "a number of two thousand digits": ("{{ " + "9" * 1_900 + " }}", SYNTAX),
    "join of references to one large object": (looped("{{ trigger.objects | join: ',' | size }}"), LIMIT),
    # slow filters
    "split into characters and sort": ("{{ trigger.text | split: '' | sort | join: '' }}", LIMIT),
    "sort in a loop": (looped("{{ trigger.words | sort | size }}"), LIMIT),
    "uniq in a loop": (looped("{{ trigger.objects | uniq | size }}"), LIMIT),
    "where in a loop": (looped("{{ trigger.objects | where: 'b', 'q' | size }}"), LIMIT),
    "sum in a loop": (looped("{{ trigger.numbers | sum }}"), LIMIT),
    "json in a loop": (looped("{{ trigger.objects | json | size }}"), LIMIT),
    "text of objects in a loop": (looped("{{ trigger.objects | append: '' | size }}"), LIMIT),
    "escape in a loop": (looped("{{ trigger.markup | escape | size }}"), LIMIT),
    "strip_html in a loop": (looped("{{ trigger.markup | strip_html | size }}"), LIMIT),
    "unclosed tags": ("{{ trigger.markup | strip_html | size }}", ENDS),
    "searching in a loop": (looped("{% if trigger.long contains 'aaaaaaaaab' %}{% endif %}"), LIMIT),
    "comparing in a loop": (looped("{% if trigger.objects == trigger.numbers %}{% endif %}"), LIMIT),
    "comparing texts in a loop": (looped("{% if trigger.long < trigger.long %}{% endif %}"), LIMIT),
    # the reader
    "spaces in a tag": ("{% if" + " " * 16_000 + "%}", LIMIT),
    "spaces in a tag that is not closed": ("{% a" + " " * 16_000, SYNTAX),
    "spaces in many tags": (filled("{% if" + " " * 1_900 + "%}"), SYNTAX),
    "raw that is not closed": (filled("{%raw%}"), SYNTAX),
    "openings": (filled("{{"), SYNTAX),
    "parentheses": (filled("{{ " + "(" * 1_900 + "}}"), SYNTAX),
    "quotes": (filled("{{ " + '\'"["a' * 300 + "}}"), SYNTAX),
    "brackets": ("{{ a" + "[a" * 600 + "]" * 600 + "}}", LIMIT),
    "a chain of conditions": ("{% if " + "a and " * 300 + "a %}{% endif %}", LIMIT),
    "nested blocks": (filled("{% if a %}"), LIMIT),
    "keywords": (filled("{{ " + "a.limit " * 200 + "}}"), SYNTAX),
    "more than 16 KiB": ("{{ trigger.text }}" + " " * SOURCE_LIMIT, LIMIT),
}


def outcome(source: str) -> str:
    """The code of the error that a template ends in, or `ENDS` for a bounded result."""
    try:
        rendered = render(source, CONTEXT)
    except PermanentStepError as error:
        return error.code
    return ENDS if len(str(rendered)) <= VALUE_LIMIT else "too large"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_within_a_second(name):
    source, code = HOSTILE[name]
    compile_template.__globals__["_compile_long"].cache_clear()
    started = time.thread_time()
    assert outcome(source) == code
    assert time.thread_time() - started < SECOND


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("{% for i in (1..5000) %}{% endfor %}" * 3, "Loops may run 10,000 times in all."),
        ("{% for i in (1..10001) %}{% endfor %}", "A range may have 10,000 numbers."),
        ("{{ trigger.text }} " * 5, "A template may write 1,000,000 characters."),
        ("{% assign a = trigger.text %}", "The variables of a template may hold 100,000 characters."),
        ("{{ trigger.numbers | concat: trigger.numbers }}", "lists of 10,000 items"),
        ("{{ trigger.objects | concat: trigger.words | json }}", "A value in a template may have 262,144"),
        ("{{ trigger.long | strip }}", "A filter may read and make 262,144 characters."),
        ("{% for i in (1..9999) %}{{ i }}{{ i }}{{ i }}{{ i }}{% endfor %}", "do too much work"),
    ],
)
def test_each_limit_is_told_by_its_own_name(source, detail):
    # Several limits stand behind each other; without this a missing one would be hidden by the next.
    with pytest.raises(PermanentStepError) as caught:
        render(source, CONTEXT)
    assert caught.value.code == LIMIT
    assert detail in caught.value.message


def test_many_hostile_templates_in_one_config_share_one_budget():
    config = {str(number): looped("{{ trigger.numbers | sum }}") for number in range(100)}
    started = time.thread_time()
    with pytest.raises(PermanentStepError, match=r"template\.limit"):
        render_config(config, CONTEXT)
    assert time.thread_time() - started < SECOND


def test_many_large_values_in_one_config_are_bounded_together():
    with pytest.raises(PermanentStepError, match=f"{CONFIG_LIMIT:,}"):
        render_config(["{{ trigger.text }}"] * 20, CONTEXT)
    assert len(render_config(["{{ trigger.text }}"] * 8, CONTEXT)) == 8
    with pytest.raises(PermanentStepError, match=f"{CONFIG_LIMIT:,}"):
        render_config(["a {{ trigger.text }}"] * 20, CONTEXT)


def test_doublings_stay_small_in_memory():
    source, _ = HOSTILE["doublings by capture"]
    tracemalloc.start()
    try:
        with pytest.raises(PermanentStepError):
            render(source, CONTEXT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
