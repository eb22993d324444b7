"""A step type of an app that raised `http.circuit_open` in its own words, without the host that egress notes, could not be put
back: the error ended in a KeyError, the step was left to its lease, and went on as one that kills its workers."""

from __future__ import annotations

from typing import Any

import pytest

from lightfield.kernel.errors import TransientStepError
from tests.bellboy import Bellboy
from tests.failing_hosts import work
from tests.staging import a_run, live, slow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.mark.parametrize("metadata", [{}, {"circuit": None}, {"circuit": ""}, {"circuit": "x" * 301}])
def test_given_an_error_that_names_no_host_then_it_is_retried_as_any_other(
    bellboy: Bellboy, slow_step: Any, metadata: dict[str, Any]
) -> None:
    def fail(request: Any, context: Any) -> Any:
        raise TransientStepError("http.circuit_open", "The far side is away.", **metadata)

    slow_step.script = fail
    run = a_run(slow("one"))

    work(bellboy)

    step = live(run)
    assert (step.status, step.attempts, step.held, step.held_host) == ("waiting", 1, 0, None)
    assert step.tries.get().outcome == "refused"
