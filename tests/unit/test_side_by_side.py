"""Which tests run in how many processes, and which of them together."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from lightfield.local import pytest_services
from tests.side_by_side import InFiles

SOURCE = pytest.Config.ArgsSource


@pytest.fixture(autouse=True)
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setenv("LIGHTFIELD_TEST_OWN_SERVERS", "DATABASE_URL,REDIS_URL")


def workers(source: pytest.Config.ArgsSource, capture: str = "fd") -> int:
    config: Any = SimpleNamespace(args_source=source, getoption={"capture": capture}.__getitem__)
    return pytest_services.pytest_xdist_auto_num_workers(config)


def test_the_whole_suite_has_a_worker_for_each_processor() -> None:
    assert workers(SOURCE.TESTPATHS) == 4


def test_named_files_and_output_that_is_to_be_seen_have_none() -> None:
    assert workers(SOURCE.ARGS) == 0
    assert workers(SOURCE.TESTPATHS, capture="no") == 0


def test_on_a_redis_that_was_given_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTFIELD_TEST_OWN_SERVERS", "DATABASE_URL")

    assert workers(SOURCE.TESTPATHS) == 0


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/unit/test_ids.py::test_it[a::b/c]", "tests/unit/test_ids.py"),
        ("tests/acceptance/test_installation.py::test_it", "tests/acceptance/"),
        ("tests/integration/watched/test_howto.py::test_it", "tests/integration/watched/"),
    ],
)
def test_a_file_goes_to_one_worker_and_so_does_what_shares_an_installation(test: str, unit: str) -> None:
    assert InFiles._split_scope(None, test) == unit  # type: ignore[arg-type]  # it needs no worker for that
