"""An object where a query wants text was five problems at `/query/a/str`, `/query/a/list[union[…]]`: no places of the config."""

from __future__ import annotations

from executions.steps.http_request import HttpRequest
from workflows.step_types import validate_config

URL = "https://example.com/"


def test_a_value_that_no_branch_of_a_union_takes_is_one_problem_at_its_own_place() -> None:
    problems = validate_config(
        HttpRequest(), {"method": "GET", "url": URL, "query": {"a": {"b": 1}}, "headers": {"X": {"b": 1}}}
    )

    assert sorted(problem.pointer for problem in problems) == ["/headers/X", "/query/a"]


def test_a_field_that_is_missing_is_still_pointed_at() -> None:
    problems = validate_config(HttpRequest(), {"method": "GET", "auth": {"type": "bearer"}})

    assert sorted(problem.pointer for problem in problems) == ["/auth/token", "/url"]
