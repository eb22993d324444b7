"""What the documents name exists: files, functions, tests, commands, links."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PACKAGES = ("lightfield", "workflows", "triggers", "executions", "crm", "tests", "benchmarks")

FILE = re.compile(r"^(?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|yml|txt|sh|json|css|js|html)$")
FOLDER = re.compile(r"^(?:[\w.-]+/)+$")
PLACE = re.compile(r"^((?:[\w.-]+/)*[\w.-]+\.py)::(\w+)(?:\.\w+)?$")
TEST = re.compile(r"^test_\w+$")
DOTTED = re.compile(rf"^(?:{'|'.join(PACKAGES)})(?:\.\w+)+(?:\(\))?$")
COMMAND = re.compile(r"^bin/(\w+)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def words(document: Path) -> list[str]:
    """Every `code` word of a document; fenced blocks are examples and left out."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", prose)


@lru_cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes, methods and module-level names that a Python file defines."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)


@lru_cache
def known_tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("*.py")
    return frozenset(name for path in files for name in names_in(path) if name.startswith("test_")) | {
        path.stem for path in (ROOT / "tests").rglob("test_*.py")
    }


def dotted_exists(word: str) -> bool:
    """package.module, package.module.name or package.module.Class.name."""
    parts = word.removesuffix("()").split(".")
    for size in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:size])
        module = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
        if module.is_file():
            rest = parts[size:]
            return all(name in names_in(module) for name in rest)
    return False


def missing(word: str, document: Path) -> str | None:
    """What is wrong with this word, or None."""
    if place := PLACE.match(word):
        path = ROOT / place[1]
        if not path.is_file():
            return f"no file {place[1]}"
        return None if place[2] in names_in(path) else f"no {place[2]} in {place[1]}"
    if TEST.match(word):
        return None if word in known_tests() else f"no test {word}"
    if DOTTED.match(word):
        return None if dotted_exists(word) else f"no {word}"
    if command := COMMAND.match(word):
        return None if (ROOT / "bin" / command[1]).exists() else f"no command bin/{command[1]}"
    if FOLDER.match(word) and word.split("/")[0] in (*PACKAGES, "docs", "bin"):
        return None if (ROOT / word).is_dir() else f"no folder {word}"
    if FILE.match(word) and "/" in word and not word.startswith((".lightfield", "run/", "logs/")):
        return None if (ROOT / word).exists() or (document.parent / word).exists() else f"no file {word}"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_that_a_document_names_exists(document: Path) -> None:
    wrong = [problem for word in words(document) if (problem := missing(word, document))]
    links = [
        target
        for target in LINK.findall(document.read_text())
        if not target.startswith(("http://", "https://", "mailto:"))
        and not (document.parent / target).exists()
    ]
    assert not wrong
    assert not links


def test_every_document_that_code_names_exists() -> None:
    """Remedies in the catalogue, docstrings and comments send people there."""
    named = {
        (word, str(path.relative_to(ROOT)))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path != Path(__file__)
        for word in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text())
    }
    assert [(word, path) for word, path in sorted(named) if not (ROOT / word).is_file()] == []


def test_the_checker_sees_what_is_missing() -> None:
    here = ROOT / "README.md"
    assert missing("executions/engine.py::advance_run", here) is None
    assert (
        missing("executions/engine.py::no_such_function", here)
        == "no no_such_function in executions/engine.py"
    )
    assert missing("docs/no_such_page.md", here) == "no file docs/no_such_page.md"
    assert missing("executions.engine.advance_run", here) is None
    assert missing("executions.engine.nothing", here) == "no executions.engine.nothing"
    assert missing("test_no_such_test", here) == "no test test_no_such_test"
    assert missing("bin/nothing", here) == "no command bin/nothing"
