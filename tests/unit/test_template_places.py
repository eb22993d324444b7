"""Errors of templates say where: the slot, the place in the template, and the part of the path that is missing."""

from __future__ import annotations

from typing import Any

import pytest

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import TemplateFault, compile_template, render_config
from workflows.templating.faults import place_in

CONTEXT: dict[str, Any] = {
    "trigger": {
        "contact": {"email": "a@b.c", "first_name": "Ann", "last_name": "Bee"},
        "lines": [{"sku": "a"}],
        "many": {f"k{number}": number for number in range(9_000)},
        "x": 1,
    },
    "fetch": {"status_code": 200},
}


def refusal(source: str) -> PermanentStepError:
    with pytest.raises(PermanentStepError) as caught:
        render_config({"json": {"to": ["{{ trigger.x }}", source]}}, CONTEXT)
    assert caught.value.metadata["pointer"] == "/json/to/1"
    return caught.value


@pytest.mark.parametrize(
    ("source", "facts", "message"),
    [
        (
            "{{ trigger.contact.emial }}",
            {"path": "trigger.contact.emial", "missing": "emial", "within": "trigger.contact", "did_you_mean": "email"},
            "trigger.contact.emial is not there: trigger.contact has no emial; did you mean email? (template line 1, column 4)",
        ),
        (
            "{{ fetch.statusCode }}",
            {"path": "fetch.statusCode", "missing": "statusCode", "within": "fetch", "did_you_mean": "status_code"},
            "did you mean status_code?",
        ),
        (
            "{{ trigger.contact.phone }}",
            {"path": "trigger.contact.phone", "missing": "phone", "within": "trigger.contact"},
            "trigger.contact has no phone; there is email, first_name, last_name.",
        ),
        (
            "{{ trigger.nope }}",
            {"path": "trigger.nope", "missing": "nope", "within": "trigger"},
            "trigger has no nope; there is contact, lines, many, x.",
        ),
        (
            "{{ trigger.many.zzz }}",
            {"path": "trigger.many.zzz", "missing": "zzz", "within": "trigger.many"},
            "there is k0, k1, k2, k3, k4 and more.",
        ),
        (
            "{{ trigger.lines.sku }}",
            {"path": "trigger.lines.sku", "missing": "sku", "within": "trigger.lines"},
            "trigger.lines is a list of 1; write trigger.lines[0] for its first item.",
        ),
        (
            "{{ trigger.lines[4] }}",
            {"path": "trigger.lines[4]", "missing": '["4"]', "within": "trigger.lines"},
            "trigger.lines is a list of 1.",
        ),
        (
            "{{ triger.x }}",
            {"path": "triger.x", "missing": "triger", "did_you_mean": "trigger"},
            "there is no triger; did you mean trigger?",
        ),
    ],
)  # fmt: skip
def test_a_missing_path_is_told_by_its_part_and_what_may_have_been_meant(source, facts, message):
    error = refusal(source)
    shown = {name: error.metadata.get(name) for name in ("path", "missing", "within", "did_you_mean")}
    assert {name: value for name, value in shown.items() if value} == facts
    assert message in error.message


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("{{ trigger.nope }}", 1, 4),
        ("Dear {{ trigger.x }},\nto {{  trigger.nope | upcase }}", 2, 8),
        ("{{ trigger.x | append: trigger.nope }}", 1, 24),
        ("{{ trigger.x | upcase | plus: 1 | minus: 'a' }}", 1, 35),
        ("a\n\n{% if trigger.x == trigger.nope %}{% endif %}", 3, 20),
        ("{% for one in trigger.lines %}\n  {{ one.nope }}{% endfor %}", 2, 6),
        ("{% if true %}{% unless false %}\n{{ trigger.nope }}{% endunless %}{% endif %}", 2, 4),
        ("{% for i in trigger.x %}{% endfor %}", 1, 1),
        ("x {% for i in (1..3) %}{% assign a = trigger.nope %}{% endfor %}", 1, 38),
        ("{% case trigger.nope %}{% when 1 %}{% endcase %}", 1, 9),
        ("{{ trigger.limit.limit | append: trigger.nope }}", 1, 4),
        # After a word that had to be marked as a name, the place is that of the output.
        ("  {{ fetch.limit | default: 'a' | append: trigger.nope }}", 1, 3),
    ],
)
def test_what_happens_while_a_template_is_filled_in_is_told_with_line_and_column(source, line, column):
    error = refusal(source)
    assert (error.metadata["line"], error.metadata["column"]) == (line, column)
    assert f"(template line {line}, column {column})" in error.message


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("a\nb {{ trigger.x", 2, 3),
        ("{{ trigger.x }} {{ }}", 1, 17),
        ("\n{% nope %}", 2, 1),
        ("{{ 1 | upcas }}", 1, 8),
        ("{{ 1 }}\n{{ 1 | truncate: 1, 2, 3 }}", 2, 8),
        ("{% if true %}\n{% break %}{% endif %}", 2, 1),
        ("{{ trigger..x }}", 1, 11),
        ("{% raw %}", 1, 1),
        ("x{% assign trigger = 1 %}", 1, 2),
    ],
)
def test_what_cannot_be_read_is_told_with_line_and_column(source, line, column):
    with pytest.raises(TemplateFault) as caught:
        compile_template(source)
    assert caught.value.offset is not None
    assert place_in(source, caught.value.offset) == (line, column)
    assert caught.value.told(source).endswith(f"(template line {line}, column {column})")


def test_a_filter_that_is_nearly_one_is_named():
    with pytest.raises(TemplateFault, match=r"no filter upcas; did you mean upcase\?"):
        compile_template("{{ 1 | upcas }}")
