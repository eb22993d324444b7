"""Every code that the source raises is in the catalogue, and every one that is listed is raised, and seen by a test.

By reading the code, so that it says the same whichever tests run, in however many processes. A code counts as raised where the
source holds it as a constant, also inside SQL and pages; as seen where a test asserts on it: inside an `assert`, the
arguments of `pytest.raises` or of a helper called `assert_…`, a table of `parametrize`, or a table of the module. It cannot tell that such a test
passes, or that it would fail if the code were another: running the tests and the mutants does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import CommandError, call_command

from executions import timeline
from executions.notices.models import MessageKind
from lightfield.access.management.commands import errors
from lightfield.kernel import catalogue_page
from lightfield.kernel.catalogue import CATALOGUE, NAMESPACES

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lightfield", "workflows", "triggers", "executions", "crm")
IN_TEXT = re.compile(rf"(?<![\w./@-])((?:{'|'.join(NAMESPACES)})\.[a-z0-9_]+)(?![\w.(/-])")
WHOLE = re.compile(rf"(?:{'|'.join(NAMESPACES)})\.[a-z0-9_]+")
QUOTED_IN_SQL = re.compile(rf"'({WHOLE.pattern})'")
IN_PAGES = re.compile(rf"<code>({WHOLE.pattern})</code>")
OWN = {
    code for code, entry in CATALOGUE.items() if entry.namespace in NAMESPACES
}  # apps may have added theirs
# Spelled as codes are, and something else: entries of the timeline, kinds of notices.
OF_THE_TIMELINE = {*timeline.RUN_TYPES, *timeline.STEP_TYPES, *MessageKind.values} - set(CATALOGUE)
MODULES = {"http.client"}  # of Python's
OTHERWISE = "action"  # what the audit trail calls its entries


class Text(NamedTuple):
    """A text constant of a module."""

    id: int
    line: int
    value: str


def constants(tree: ast.AST) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Text(id(node), node.lineno, node.value)


def of_the_audit_trail(tree: ast.AST) -> set[int]:
    """Constants that name what somebody did: `audit.record(…, action="workflow.paused")`."""
    return {
        constant.id
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == OTHERWISE
        for constant in constants(node.value)
    }


@cache
def raised() -> dict[str, str]:
    """Codes in the source, each with one place."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" in path.parts or path.name == "catalogue.py":
                continue
            tree = ast.parse(path.read_text())
            left_out = of_the_audit_trail(tree)
            for constant in constants(tree):
                whole = [constant.value] if WHOLE.fullmatch(constant.value) else []
                for code in whole or QUOTED_IN_SQL.findall(constant.value):
                    if constant.id not in left_out and code not in OF_THE_TIMELINE | MODULES:
                        found[code] = f"{path.relative_to(ROOT)}:{constant.line}"
        for path in (ROOT / package).rglob("*.html"):
            found |= dict.fromkeys(IN_PAGES.findall(path.read_text()), str(path.relative_to(ROOT)))
    return found


def looked_at(tree: ast.Module) -> Iterator[ast.AST]:
    """The parts of a test's module in which it says what it expects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.test
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("assert_"):
            yield from node.args
        elif isinstance(node, ast.With):
            yield from (item.context_expr for item in node.items)
        elif isinstance(node, ast.FunctionDef):
            yield from node.decorator_list
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield node.value


def codes_in(text: str) -> set[str]:
    return set(IN_TEXT.findall(text.replace("\\.", ".")))


@cache
def seen() -> frozenset[str]:
    """Codes that a test asserts on."""
    return frozenset(
        code
        for path in [*(ROOT / "tests").rglob("test_*.py"), ROOT / "tests" / "hostile_templates.py"]
        for part in looked_at(ast.parse(path.read_text()))
        for constant in constants(part)
        for code in codes_in(constant.value)
    )


def test_every_code_that_is_raised_is_listed():
    assert {code: place for code, place in raised().items() if code not in CATALOGUE} == {}


def test_every_code_that_is_listed_is_raised():
    assert sorted(OWN - set(raised())) == []


def test_every_code_that_is_listed_is_raised_in_a_test():
    assert sorted(OWN - seen()) == []


def test_the_checker_sees_what_a_test_expects_and_nothing_else():
    def expected(source: str) -> set[str]:
        parts = looked_at(ast.parse(source))
        return {code for part in parts for one in constants(part) for code in codes_in(one.value)}

    assert expected("def test_a():\n    assert code == 'http.timeout'") == {"http.timeout"}
    assert expected("def test_a():\n    with raises(E, match=r'http\\.timeout'): f()") == {"http.timeout"}
    assert expected("TABLE = [('a', 'http.timeout')]") == {"http.timeout"}
    assert expected("def test_a():\n    raise_it('http.timeout')") == set()
    assert expected('def test_a():\n    """http.timeout"""') == set()
    assert codes_in("see http.timeout_seconds.x and a/http.timeout") == set()


def test_docs_errors_is_written_from_the_catalogue():
    call_command("errors", "--check")


def test_an_outdated_page_is_refused_and_written_anew(tmp_path, monkeypatch):
    page = tmp_path / "errors.md"
    monkeypatch.setattr(errors, "page_path", lambda: page)
    with pytest.raises(CommandError, match="run bin/manage errors --write"):
        call_command("errors", "--check")

    call_command("errors", "--write")
    call_command("errors", "--check")

    assert page.read_text(encoding="utf-8") == catalogue_page.page()
    assert all(f"| `{code}` |" in page.read_text() for code in OWN)
