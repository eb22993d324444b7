"""Templates: typed values, missing paths, control flow, references, errors that say where."""

from __future__ import annotations

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid.ast import IllegalNode
from liquid.token import Token

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import (
    TemplateFault,
    compile_template,
    is_template,
    references_of,
    render,
    render_config,
    templates_in,
)
from workflows.templating.compiler import Compiler

CONTEXT: dict[str, Any] = {
    "trigger": {
        "email": "a@b.c",
        "amount": 12,
        "rate": 0.5,
        "paid": False,
        "note": None,
        "blank": "",
        "tags": ["new", "vip"],
        "none": [],
        "lines": [{"sku": "A", "n": 2}, {"sku": "B", "n": 3}],
        "order": {"size": "XL", "id": 7, "first name": "Ann", "x-y": 1, "7": "seven"},
        "key": "id",
        "index": 1,
        "template": "{{ trigger.email }}",
    },
    "contact": {"id": "c1", "fields": {"stage": "won"}},
    "run": {"id": "r1", "trace_id": "0" * 32},
}

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=20,
)


def refusal(source: object, context: dict | None = None) -> PermanentStepError:
    with pytest.raises(PermanentStepError) as caught:
        render_config(source, CONTEXT if context is None else context)
    return caught.value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ trigger.amount }}", 12),
        ("  {{trigger.rate}}\n", 0.5),
        ("{{- trigger.paid -}}", False),
        ("{{ trigger.note }}", None),
        ("{{ trigger.tags }}", ["new", "vip"]),
        ("{{ trigger.order }}", CONTEXT["trigger"]["order"]),
        ("{{ trigger.tags | size }}", 2),
        ("{{ trigger.amount | plus: 1 }}", 13),
        ("{{ 'text' }}", "text"),
        ("{{ nil }}", None),
        ("{{ true }}", True),
        ("{{ (1..3) }}", [1, 2, 3]),
        ("{{ 1.5 }}", 1.5),
    ],
)
def test_a_lone_output_keeps_the_type_of_its_value(source, value):
    rendered = render(source, CONTEXT)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hi {{ trigger.email }}!", "Hi a@b.c!"),
        ("{{ trigger.amount }}{{ trigger.rate }}", "120.5"),
        ("[{{ trigger.note }}]", "[]"),
        ("is {{ trigger.paid }}", "is false"),
        ("tags: {{ trigger.tags }}", 'tags: ["new","vip"]'),
        ("{{ contact.fields }} ", {"stage": "won"}),
        (": {{ contact.fields }}", ': {"stage":"won"}'),
        ("{% raw %}{{ trigger.email }}{% endraw %}", "{{ trigger.email }}"),
        ("a{% comment %}{{ never {% read %} {% endcomment %}b", "ab"),
        ("a {%- raw -%} b {%- endraw -%} c", "abc"),
        ("a{% # a remark %}b", "ab"),
        ("a  {{- trigger.amount -}}  b", "a12b"),
        ("just {a} brace", "just {a} brace"),
    ],
)
def test_text_around_an_output_makes_text(source, text):
    assert render(source, CONTEXT) == text


@given(value=JSON_VALUES)
def test_any_json_value_comes_through_a_lone_template_unchanged(value):
    rendered = render("{{ trigger.value }}", {"trigger": {"value": value}})
    assert json.dumps(rendered) == json.dumps(value)


@given(value=JSON_VALUES)
def test_any_json_value_inside_text_is_its_json_or_the_text_itself(value):
    rendered = render("<{{ trigger.value }}>", {"trigger": {"value": value}})
    if isinstance(value, str):
        assert rendered == f"<{value}>"
    elif value is None:
        assert rendered == "<>"
    else:
        assert json.loads(rendered[1:-1]) == value


@given(config=JSON_VALUES)
def test_a_config_without_templates_comes_back_as_an_equal_copy(config):
    if any(True for _ in templates_in(config)):
        return
    assert json.dumps(render_config(config, {})) == json.dumps(config)


@settings(max_examples=300)
@given(source=st.text(st.sampled_from(list("{}%|.:[]'\"-( )abif1,=><#raw")), max_size=60))
def test_no_text_makes_anything_but_a_value_or_a_typed_error(source):
    codes = []
    try:
        render(source, {"a": 1, "b": {"a": [1]}})
    except PermanentStepError as error:
        codes.append(error.code.partition(".")[0])
    assert codes in ([], ["template"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trigger.lines[0].sku", "A"),
        ("trigger.lines[-1].n", 3),
        ("trigger.lines.first.sku", "A"),
        ("trigger.lines.last.sku", "B"),
        ("trigger.lines.size", 2),
        ("trigger.email.size", 5),
        ("trigger.order['first name']", "Ann"),
        ('trigger["order"]["id"]', 7),
        ("trigger.order.x-y", 1),
        ("trigger.order[7]", "seven"),
        ("trigger.order.size", "XL"),
        ("trigger.order[trigger.key]", 7),
        ("trigger.lines[trigger.index].sku", "B"),
    ],
)
def test_paths_reach_fields_items_and_sizes(path, value):
    assert render(f"{{{{ {path} }}}}", CONTEXT) == value


KEYWORDS = [
    "true",
    "false",
    "nil",
    "null",
    "empty",
    "blank",
    "and",
    "or",
    "not",
    "contains",
    "in",
    "for",
    "if",
    "offset",
    "limit",
    "reversed",
    "cols",
    "continue",
    "with",
    "as",
    "else",
    "required",
]


@pytest.mark.parametrize("word", KEYWORDS)
def test_a_field_may_be_called_like_a_keyword(word):
    context = {"trigger": {word: {word: "found"}}}
    assert render(f"{{{{ trigger.{word}.{word} | upcase }}}}", context) == "FOUND"
    assert render(f"{{% if trigger.{word}.{word} == 'found' %}}y{{% endif %}}", context) == "y"
    assert render(f"{{% for p in trigger.{word} limit: 1 %}}{{{{ p[0] }}}}{{% endfor %}}", context) == word
    assert render(f"{{{{ 'a.{word}' }}}}", {}) == f"a.{word}"


@pytest.mark.parametrize(
    "word", ["offset", "limit", "reversed", "cols", "continue", "with", "as", "else", "required"]
)
def test_a_step_may_be_called_like_a_keyword_that_is_not_reserved(word):
    context = {word: {"id": 5}}
    assert render(f"{{{{ {word}.id }}}}", context) == 5
    assert render(f"{{{{ {word} | json }}}}", context) == '{"id":5}'
    assert render(f"{{{{ 'x' | append: {word}.id }}}}", context) == "x5"
    assert render(f"{{% if {word}.id > 4 %}}y{{% endif %}}", context) == "y"
    assert render(f"{{% for p in {word} reversed limit: 1 %}}{{{{ p[1] }}}}{{% endfor %}}", context) == "5"
    assert render(f"{{% for i in (1..9) limit: {word}.id %}}{{{{ i }}}}{{% endfor %}}", context) == "12345"
    assert compile_template(f"{{{{ {word}.id }}}}").references == {(word, ("id",))}


@pytest.mark.parametrize(
    ("source", "path", "reason"),
    [
        ("{{ trigger.nope }}", "trigger.nope", "trigger has no nope"),
        ("{{ trigger.note.deeper }}", "trigger.note.deeper", "trigger.note is null"),
        ("{{ trigger.email.domain }}", "trigger.email.domain", "trigger.email is text"),
        ("{{ trigger.tags[9] }}", "trigger.tags[9]", "trigger.tags is a list of 2"),
        ("{{ trigger.none.first }}", "trigger.none.first", "trigger.none is a list of 0"),
        ("{{ trigger.tags.nope }}", "trigger.tags.nope", "a list of 2"),
        ("{{ trigger.contact.size }}", "trigger.contact.size", "trigger has no contact"),
        ("{{ contact.size }}", "contact.size", "contact has no size"),
        ("{{ later.id }}", "later.id", "there is no later"),
        ("{{ contact['a b'][0] }}", 'contact["a b"][0]', "contact has no"),
        ("text {{ trigger.nope }}", "trigger.nope", ""),
        ("{{ trigger.nope | upcase }}", "trigger.nope", ""),
        ("{{ trigger.email | append: trigger.nope }}", "trigger.nope", ""),
        ("{% if trigger.nope %}x{% endif %}", "trigger.nope", ""),
        ("{% if trigger.nope == nil %}x{% endif %}", "trigger.nope", ""),
        ("{% unless 1 == trigger.nope %}x{% endunless %}", "trigger.nope", ""),
        ("{% if false or trigger.nope %}x{% endif %}", "trigger.nope", ""),
        ("{% for a in trigger.nope %}x{% endfor %}", "trigger.nope", ""),
        ("{% assign a = trigger.nope %}", "trigger.nope", ""),
        ("{% case trigger.nope %}{% when 1 %}{% endcase %}", "trigger.nope", ""),
        ("{{ trigger.tags[trigger.nope] }}", "trigger.nope", ""),
        ("{{ now }}", "now", ""),
        ("{{ trigger.paid.x }}", "trigger.paid.x", "trigger.paid is true or false"),
        ("{{ trigger.amount.x }}", "trigger.amount.x", "trigger.amount is a number"),
    ],
)
def test_a_missing_path_is_a_permanent_error_that_names_it(source, path, reason):
    error = refusal(source)
    assert error.code == "template.unresolved"
    assert error.metadata["path"] == path
    assert reason in error.message
    assert not error.retryable


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ trigger.nope | default: 'x' }}", "x"),
        ("{{ trigger.nope | default: nil }}", None),
        ("{{ trigger.note | default: 'x' }}", "x"),
        ("{{ trigger.blank | default: 'x' }}", "x"),
        ("{{ trigger.paid | default: true }}", False),
        ("{{ 0 | default: 5 }}", 0),
        ("{{ trigger.none | default: 'x' }}", []),
        ("{{ trigger.nope.deep[3] | upcase | default: 'x' }}", "x"),
        ("{{ trigger.nope | default }}", ""),
        ("{{ trigger.nope | default: trigger.amount }}", 12),
        ("{% assign a = trigger.nope | default: nil %}{% if a %}y{% else %}n{% endif %}", "n"),
    ],
)
def test_default_catches_what_is_missing_null_or_empty_and_leaves_false(source, value):
    assert render(source, CONTEXT) == value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% if trigger.amount > 10 and trigger.tags contains 'vip' %}a{% else %}b{% endif %}", "a"),
        ("{% if trigger.amount < 10 %}a{% elsif trigger.rate <= 0.5 %}b{% else %}c{% endif %}", "b"),
        ("{% if trigger.paid %}a{% elsif trigger.note %}b{% endif %}", ""),
        ("{% unless trigger.paid %}a{% else %}b{% endunless %}", "a"),
        ("{% unless trigger.tags %}a{% elsif trigger.note %}b{% elsif true %}c{% endunless %}", "c"),
        ("{% case trigger.amount %}{% when 1 %}a{% when 11, 12 %}b{% else %}c{% endcase %}", "b"),
        ("{% case trigger.email %}{% when 'x' or 'y' %}a{% else %}c{% endcase %}", "c"),
        ("{% case 1 %}{% when 2 %}a{% endcase %}", ""),
        ("{% for l in trigger.lines %}{{ l.sku }}{{ forloop.index }}{% endfor %}", "A1B2"),
        ("{% for t in trigger.none %}x{% else %}none{% endfor %}", "none"),
        ("{% for t in trigger.note %}x{% endfor %}", ""),
        ("{% for p in contact.fields %}{{ p[0] }}={{ p[1] }}{% endfor %}", "stage=won"),
        ("{% for i in (1..5) reversed limit: 3 offset: 1 %}{{ i }}{% endfor %}", "432"),
        ("{% for i in (3..1) %}{{ i }}{% endfor %}", ""),
        ("{% for i in (1..9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "13"),
        ("{% for a in (1..2) %}{% for b in (1..2) %}{{ forloop.parentloop.index }}{{ b }} {% endfor %}{% endfor %}", "11 12 21 22 "),
        ("{% assign a = trigger.tags | first | upcase %}{{ a }}", "NEW"),
        ("{% capture a %}<{{ trigger.amount }}>{% endcapture %}{{ a | append: '!' }}", "<12>!"),
        ("{% assign i = 'kept' %}{% for i in (1..2) %}{{ i }}{% endfor %}{{ i }}", "12kept"),
        ("{% for i in (1..2) %}{% assign last = i %}{% endfor %}{{ last }}", "2"),
        ("{% assign contact = trigger.order %}{{ contact.id }}", "7"),
        ("{% for i in (1..2) %}{% assign i = 9 %}{{ i }}{% endfor %}", "99"),
    ],
)  # fmt: skip
def test_control_flow(source, text):
    assert render(source, CONTEXT) == text


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("1 == 1.0", True),
        ("1 == true", False),
        ("true == true", True),
        ("'1' == 1", False),
        ("trigger.note == nil", True),
        ("trigger.tags != trigger.none", True),
        ("trigger.blank == empty", True),
        ("empty == trigger.none", True),
        ("trigger.tags == empty", False),
        ("'  ' == blank", True),
        ("trigger.paid == blank", True),
        ("trigger.note == blank", True),
        ("trigger.note == empty", False),
        ("empty == empty", True),
        ("trigger.note < 1", False),
        ("1 >= trigger.note", False),
        ("nil <= nil", False),
        ("'a' < 'b'", True),
        ("2 <= 2", True),
        ("2 <= 1", False),
        ("3 >= 2", True),
        ("2 <> 3", True),
        ("trigger.email contains '@'", True),
        ("trigger.tags contains 'x'", False),
        ("contact contains 'id'", True),
        ("trigger.note contains 'x'", False),
        ("trigger.tags contains nil", False),
        ("0", True),
        ("trigger.blank", True),
        ("nil", False),
        ("true and false", False),
        ("false and true", False),
        ("false or true", True),
        ("true or false", True),
    ],
)
def test_conditions_compare_as_json(condition, holds):
    assert render(f"{{% if {condition} %}}y{{% else %}}n{{% endif %}}", CONTEXT) == ("y" if holds else "n")


@pytest.mark.parametrize(
    ("source", "code", "detail"),
    [
        ("{{ trigger.email", "template.syntax", "`}}` is missing"),
        ("{% if true ", "template.syntax", "`%}` is missing"),
        ("{{ }}", "template.syntax", "nothing between the braces"),
        ("{%  %}", "template.syntax", "nothing between the braces"),
        ("{% ! %}", "template.syntax", "needs a name"),
        ("{{ trigger. }}", "template.syntax", "identifier"),
        ("{{ trigger.lines.0 }}", "template.syntax", "items[0]"),
        ("{{ trigger..email }}", "template.syntax", ""),
        ("{{ a == b }}", "template.syntax", ""),
        ("{{ a if b }}", "template.syntax", ""),
        ("{{ a ! }}", "template.syntax", "'!'"),
        ("{{ [trigger.key] }}", "template.syntax", "must start with a name"),
        ("{% if true %}x", "template.syntax", ""),
        ("{% if true %}{% else %}{% else %}{% endif %}", "template.syntax", ""),
        ("{% endif %}", "template.syntax", "nothing is open"),
        ("{% raw %}x", "template.syntax", "never closed"),
        ("{% include 'x' %}", "template.syntax", "no tag include"),
        ("{% render 'x' %}", "template.syntax", "no tag render"),
        ("{% layout 'x' %}", "template.syntax", "no tag layout"),
        ("{% cycle 'a', 'b' %}", "template.syntax", "no tag cycle"),
        ("{% tablerow i in a %}{% endtablerow %}", "template.syntax", "no tag tablerow"),
        ("{% for i in a cols: 2 %}{% endfor %}", "template.syntax", "cols"),
        ("{% break %}", "template.syntax", "inside `for`"),
        ("{% assign trigger = 1 %}", "template.syntax", "reserved"),
        ("{% assign forloop = 1 %}", "template.syntax", "reserved"),
        ("{% capture run %}{% endcapture %}", "template.syntax", "reserved"),
        ("{% for secret in (1..2) %}{% endfor %}", "template.syntax", "reserved"),
        ("{{ 1 | nope }}", "template.unknown_filter", "no filter nope"),
        ("{{ 1 | limit }}", "template.syntax", ""),
        ("{{ 1 | append }}", "template.syntax", "takes 1 argument(s), not 0"),
        ("{{ 1 | truncate: 1, 2, 3 }}", "template.syntax", "takes 0 to 2 argument(s), not 3"),
        ("{{ a | default: 1, allow_false: true }}", "template.syntax", "no named arguments"),
        ("{{ 99999999999999999999 }}", "template.syntax", "cannot be used"),
        (f"{{{{ {'9' * 400}.0 }}}}", "template.syntax", "cannot be used"),
        ("{{ 'x' }}" + " " * 16_384, "template.limit", "16,384"),
        ("{{ a" + "[a" * 40 + "]" * 40 + " }}", "template.limit", "nested"),
        ("{% if a %}" * 31 + "{% endif %}" * 31, "template.limit", "30"),
        ("{{ a | append: '" + "x" * 2000 + "' }}", "template.limit", "2,000"),
    ],
)
def test_what_cannot_be_compiled_says_why(source, code, detail):
    with pytest.raises(TemplateFault) as caught:
        compile_template(source)
    assert caught.value.code == code
    assert detail in caught.value.detail
    assert refusal(source).code == code


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("{% for i in trigger.amount %}{% endfor %}", "needs a list, not a number"),
        ("{% for i in (1..2) limit: 'a' %}{% endfor %}", "limit"),
        ("{% for i in (1..2) offset: continue %}{% endfor %}", "offset"),
        ("{% for i in (1..2) limit: -1 %}{% endfor %}", "limit"),
        ("{{ (1..trigger.email) }}", "whole numbers"),
        ("{{ trigger.tags[trigger.paid] }}", "text or a whole number"),
        ("{% if trigger.email > 5 %}{% endif %}", "which is greater"),
        ("{% if true > false %}{% endif %}", "which is greater"),
        ("{% if trigger.amount contains 1 %}{% endif %}", "cannot look for"),
        ("{% if trigger.email contains 1 %}{% endif %}", "cannot look for"),
        ("{{ empty }}", "not a JSON value"),
        ("x{{ blank }}", "not a JSON value"),
    ],
)
def test_what_cannot_be_rendered_says_why(source, detail):
    error = refusal(source)
    assert error.code == "template.failed"
    assert detail in error.message


def test_a_config_is_walked_and_errors_point_into_it():
    config = {"url": "https://x/{{ contact.id }}", "json": {"a/b": [1, "{{ trigger.nope }}"]}, "n": 5}
    error = refusal(config)
    assert error.metadata == {
        "pointer": "/json/a~1b/1",
        "template": "{{ trigger.nope }}",
        "line": 1,
        "column": 4,
        "path": "trigger.nope",
        "missing": "nope",
        "within": "trigger",
        "did_you_mean": "note",
    }


def test_a_config_is_rendered_into_a_copy_and_keys_stay():
    config = {"url": "x/{{ contact.id }}", "json": {"{{ k }}": ["{{ trigger.tags }}", None, 1.5, True]}}
    before = copy.deepcopy(config)
    assert render_config(config, CONTEXT) == {
        "url": "x/c1",
        "json": {"{{ k }}": [["new", "vip"], None, 1.5, True]},
    }
    assert config == before


def test_what_comes_out_of_a_template_is_not_read_as_a_template_again():
    assert render("{{ trigger.template }}", CONTEXT) == "{{ trigger.email }}"
    assert render("x {{ trigger.template }}", CONTEXT) == "x {{ trigger.email }}"
    assert render("{% assign a = trigger.template %}{{ a }}", CONTEXT) == "{{ trigger.email }}"


def test_quotes_in_data_cannot_break_out_of_a_json_body():
    evil = '","admin":true,"x":"'
    body = render_config({"name": "Hi {{ trigger.name }}"}, {"trigger": {"name": evil}})
    assert json.loads(json.dumps(body)) == {"name": f"Hi {evil}"}


@pytest.mark.parametrize(
    "path",
    [
        "trigger.__class__",
        "trigger.email.__class__",
        "trigger.tags.append",
        "trigger.items",
        "trigger.email.upper",
    ],
)
def test_attributes_and_methods_of_values_are_out_of_reach(path):
    assert refusal(f"{{{{ {path} }}}}").code == "template.unresolved"


def test_an_object_in_the_context_is_refused_not_shown():
    assert refusal("{{ trigger }}", {"trigger": object()}).code == "template.failed"
    assert refusal("{{ trigger.a }}", {"trigger": {"a": {1, 2}}}).code == "template.failed"
    assert refusal("x{{ trigger }}", {"trigger": [object()]}).code == "template.failed"


def test_values_nested_too_deeply_are_a_limit_not_a_crash():
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert refusal("x{{ trigger }}", {"trigger": deep}).code == "template.limit"


def test_brackets_nested_too_deeply_are_a_limit_not_a_crash():
    assert refusal("{{ a" + "[a" * 990 + " }}").code == "template.limit"


def test_a_node_that_is_not_on_the_list_cannot_be_compiled():
    # Given a node that python-liquid may learn to parse one day
    node = IllegalNode(Token("tag", "new", 0, ""))
    # Then it does not become available by itself
    with pytest.raises(TemplateFault, match="not available"):
        Compiler().block([node])


def test_a_variable_may_be_called_like_a_keyword_that_is_not_reserved():
    assert render("{% assign limit = 5 %}{{ limit | plus: 1 }}{{ limit }}", {}) == "65"


def test_errors_repeat_only_the_start_of_a_long_template():
    error = refusal("{{ trigger.nope }}" + "x" * 5000)
    assert len(error.metadata["template"]) == 200


def test_references_are_the_paths_that_leave_the_template():
    source = (
        "{% assign mine = contact.id %}{% for l in trigger.lines %}{{ l.sku }}{{ forloop.index }}{% endfor %}"
        "{{ mine }}{{ l.x }}{{ trigger.order[trigger.key].deep | append: run.id }}"
        "{% if a.b contains c %}{% endif %}{% case d %}{% when e %}{% endcase %}{{ (1..f.g) }}"
        "{% capture note %}{{ h }}{% endcapture %}{{ note }}"
    )
    assert compile_template(source).references == {
        ("contact", ("id",)), ("trigger", ("lines",)), ("l", ("x",)), ("trigger", ("order",)),
        ("trigger", ("key",)), ("run", ("id",)), ("a", ("b",)), ("c", ()), ("d", ()), ("e", ()),
        ("f", ("g",)), ("h", ()),
    }  # fmt: skip


def test_references_of_a_config_carry_their_pointers():
    config = {"to": "{{ contact.email }}", "json": [{"id": "{{ trigger.id | append: run.id }}"}], "n": 1}
    assert references_of(config) == [
        ("/to", "contact", ("email",)),
        ("/json/0/id", "run", ("id",)),
        ("/json/0/id", "trigger", ("id",)),
    ]


@pytest.mark.parametrize(
    ("value", "answer"),
    [("{{ a }}", True), ("{% if %}", True), ("{ a }", False), (5, False), (["{{"], False)],
)
def test_only_strings_with_delimiters_are_templates(value, answer):
    assert is_template(value) is answer


def test_a_compiled_template_is_kept():
    assert compile_template("{{ kept }}") is compile_template("{{ kept }}")
    long = "{{ kept }}" + "x" * 2000
    assert compile_template(long) is compile_template(long)


def test_one_template_rendered_by_many_threads_mixes_nothing_up():
    source = "{% assign a = trigger.n %}{% for i in (1..50) %}{{ a }},{% endfor %}"

    def rendered(number: int) -> bool:
        text: str = render(source, {"trigger": {"n": number}})
        return text == f"{number}," * 50

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(rendered, range(200)))
