"""Templates written to hurt: each ends within a second of processor time, with a typed error or a small result.

Processor time of the thread and not wall time, so that a busy machine does not decide the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc

import pytest

from lightfield.kernel.errors import PermanentStepError
from lightfield.local.boot import ROOT
from tests.hostile_templates import CONTEXT, HOSTILE, LIMIT, MEMORY, SECOND, looped, outcome
from workflows.expressions import compile_template, render, render_config
from workflows.templating.faults import CONFIG_LIMIT


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_within_a_second(name):
    source, code = HOSTILE[name]
    compile_template.__globals__["_compile_long"].cache_clear()
    started = time.thread_time()
    assert outcome(source) == code
    assert time.thread_time() - started < SECOND


def test_no_hostile_template_takes_a_second_or_64_mib_of_its_process():
    """The kernel holds each to 64 MiB: who asks for more ends in MemoryError, which is none of the codes."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile_templates"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]

    assert [(one["name"], one["ended"]) for one in told] == [
        (name, code) for name, (_, code) in HOSTILE.items()
    ]
    assert len(told) >= 40
    assert max(one["seconds"] for one in told) < SECOND
    assert max(one["grown"] for one in told) < MEMORY


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("{% for i in (1..5000) %}{% endfor %}" * 3, "Loops may run 10,000 times in all."),
        ("{{ i }}" * 2_001, "A template may have 2,000 outputs and tags."),
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
