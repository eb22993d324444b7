"""Every mutant still fits the code, names tests that exist, and is named by the promise that it breaks."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import DoesNotFit, Mutant, edit
from tests.mutants.tree import ROOT, Tree

GUARANTEES = ROOT / "docs" / "guarantees.md"
NAMES = [mutant.name for mutant in MUTANTS]
CODE = re.compile(r"`([^`]+)`")


@lru_cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@lru_cache
def rows() -> dict[str, tuple[list[str], str]]:
    """promise -> the tests that show it, and its last column."""
    found = {}
    for line in GUARANTEES.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "promise":
            promise, _, shown_by, last = cells
            found[promise] = (CODE.findall(shown_by), last)
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_a_mutants_text_stands_in_the_code_exactly_once_and_the_file_stays_python(mutant: Mutant) -> None:
    texts = mutant.texts(ROOT)

    assert texts
    for path, text in texts.items():
        assert text != path.read_text()
        ast.parse(text)


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_a_mutants_tests_exist_and_show_its_promise(mutant: Mutant) -> None:
    shown_by, mutants = rows()[mutant.promise]

    assert mutant.tests
    for test in mutant.tests:
        file, _, function = test.partition("::")
        assert function in functions_in(file)
    assert {test.partition("::")[2] for test in mutant.tests} & set(shown_by)
    assert mutant.name in CODE.findall(mutants)


def test_every_promise_has_a_mutant_of_its_own_or_says_why_not() -> None:
    of_promise = {promise: CODE.findall(last) for promise, (_, last) in rows().items()}
    without = {promise for promise, named in of_promise.items() if not named}

    assert len(of_promise) > 30
    assert {name for named in of_promise.values() for name in named} == set(NAMES)
    assert all(rows()[promise][1].startswith("none: ") for promise in without)


def test_no_name_stands_twice() -> None:
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []


@pytest.mark.parametrize("text", ["nothing of the kind", "old and old"])
def test_given_code_that_has_moved_on_then_the_mutant_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "file.py").write_text(text)
    mutant = Mutant("m", "breaks", "promise", ("t",), (edit("file.py", "old", "new"),))

    with pytest.raises(DoesNotFit, match=r"file\.py"):
        mutant.texts(tmp_path)


def test_a_mutant_is_in_its_tree_for_as_long_as_it_is_tried_and_never_taken_for_another(
    tmp_path: Path,
) -> None:
    """Python takes a compiled file for fresh when size and second are the same."""
    file = tmp_path / "file.py"
    file.write_text("x = 1\ny = 1\n")
    tree, seconds = Tree(tmp_path), []
    for old, new in (("x = 1", "x = 2"), ("y = 1", "y = 2")):
        mutant = Mutant("m", "breaks", "promise", ("t",), (edit("file.py", old, new),))
        with tree.having(mutant):
            assert new in file.read_text()
            seconds.append(int(file.stat().st_mtime))
        assert file.read_text() == "x = 1\ny = 1\n"
        seconds.append(int(file.stat().st_mtime))

    assert len(set(seconds)) == 4
