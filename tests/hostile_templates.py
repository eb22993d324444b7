"""Templates written to hurt, and a bare process that tries each of them under real limits of time and memory.

`python -m tests.hostile_templates` prints one line of JSON for each: the name, how it ended, its processor seconds, and by
how many bytes its process grew. Each runs in a fork that the kernel holds to one second more and 64 MiB more than it had.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import render
from workflows.templating.faults import SOURCE_LIMIT, VALUE_LIMIT

MEBIBYTE = 1 << 20
MEMORY = 64 * MEBIBYTE
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
        "sharp": "\u00df\u0390\ufb03" * 40_000,
        "emoji": "\U0001f600" * 9_000,
        "huge": 1e308,
        "precise": 1.2345678901234567,
        "digits": "9" * 250_000,
        "spaces": " " * 250_000,
        "alike": {f"{'a' * 30}{number:08}": number for number in range(9_000)},
        "long_words": [f"{'w' * 1_000}{number % 7}" for number in range(240)],
        "needle": "x" * 120_000 + "y",
        "brackets": "<" * 20_000,
        "spaced": "a " * 100_000,
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
    # odd characters and numbers
    "replace squared, twice": ("{{ trigger.text | replace: 'x', 'xxxx' | replace: 'x', 'xxxx' }}", LIMIT),
    "nested doubling by replace": ("{{ 'x' " + "| replace: 'x', 'xx' " * 60 + "}}", LIMIT),
    "capitals that are longer": ("{{ trigger.sharp " + "| upcase | downcase " * 40 + "}}", LIMIT),
    "wide characters kept in variables": (
        "".join("{% assign a" + str(n) + " = trigger.emoji | split: '' %}" for n in range(300)),
        LIMIT,
    ),
    "wide characters encoded": ("{{ trigger.emoji " + "| url_encode " * 30 + "}}", LIMIT),
    "base64 of base64": ("{{ trigger.emoji " + "| base64_encode " * 30 + "}}", LIMIT),
    "numbers at the edge": ("{{ '1e308' " + "| times: '1e308' " * 50 + "}}", FAILED),
    "floats blown up": ("{{ trigger.huge " + "| times: trigger.huge " * 60 + "}}", FAILED),
    "decimals squared": ("{{ trigger.precise " + "| times: trigger.precise " * 70 + "}}", ENDS),
    "a huge float made whole": ("{{ trigger.huge | round | times: 1.5 }}", LIMIT),
    "a number of 250,000 digits": ("{{ trigger.digits | plus: 1 }}", FAILED),
    "spaces before a number": ("{{ trigger.spaces | plus: 1 }}", FAILED),
    "dates without end": ("{{ 0 | date: '" + "%A" * 100 + "' " + "| date: '%F' " * 60 + "}}", FAILED),
    "a form of a date too long": ("{{ 0 | date: '" + "%A" * 101 + "' }}", FAILED),
    "a zone of 250,000 characters": ("{{ 0 | date: '%F', trigger.text }}", FAILED),
    "a zone that is a list": ("{{ 0 | date: '%F', trigger.objects }}", FAILED),
    "a long chain of defaults": ("{{ trigger.nope " + "| default: nil " * 120 + "}}", ENDS),
    "many chains of defaults": (filled("{{trigger.nope|default:nil|default:trigger.text}}"), LIMIT),
    "a missing name among thousands": ("{{ trigger.wide.nope }}", "template.unresolved"),
    "a missing name of 2,000 characters": ("{{ trigger.wide." + "n" * 1_900 + " }}", "template.unresolved"),
    "alike names without end": ("{{ trigger.alike." + "a" * 38 + "b }}", "template.unresolved"),
    "sort by long beginnings": ("{{ trigger.long_words | sort | join: ',' | size }}", ENDS),
    "split by a long needle": ("{{ trigger.text | split: trigger.needle | size }}", ENDS),
    "strip_html again and again": ("{{ trigger.brackets " + "| strip_html " * 60 + "| size }}", LIMIT),
    "truncatewords of words": ("{{ trigger.spaced " + "| truncatewords: 100000 " * 60 + "| size }}", LIMIT),
    "ranges that are kept": (
        "".join("{% assign a" + str(n) + " = (1..9999) %}" for n in range(300)),
        LIMIT,
    ),
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


def tried(name: str) -> dict[str, Any]:
    """What came of it, in this very process, which is then spent."""
    had = _pages("size")
    resource.setrlimit(resource.RLIMIT_AS, (had + MEMORY, had + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
    before, started = _pages("resident"), time.process_time()
    ended = outcome(HOSTILE[name][0])
    seconds = time.process_time() - started
    return {"name": name, "ended": ended, "seconds": seconds, "grown": max(0, _most_resident() - before)}


def _pages(which: str) -> int:
    size, resident, *_ = Path("/proc/self/statm").read_text().split()
    return int(size if which == "size" else resident) * resource.getpagesize()


def _most_resident() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def in_forks() -> Iterator[dict[str, Any]]:
    """Each template in a process of its own; one that the kernel ended has `ended` by the signal or exit status."""
    outcome("{{ trigger.text | size }}")  # whatever is loaded late is loaded now
    gc.freeze()
    for name in HOSTILE:
        reader, writer = os.pipe()
        if child := os.fork():
            os.close(writer)
            with os.fdopen(reader) as pipe:
                told = pipe.read()
            _, status = os.waitpid(child, 0)
            yield (
                json.loads(told)
                if told
                else {"name": name, "ended": f"status {status}", "seconds": 9, "grown": 0}
            )
        else:
            with os.fdopen(writer, "w") as pipe:
                json.dump(tried(name), pipe)
            os._exit(0)


if __name__ == "__main__":
    for one in in_forks():
        sys.stdout.write(json.dumps(one) + "\n")
