"""Two error codes were written or raised and stood in no catalogue: nobody could look them up or filter by them."""

from __future__ import annotations

import math

import pytest

from executions.attempts import checked_output
from lightfield.kernel import bells
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import PermanentStepError
from tests.bellboy import Bellboy
from tests.factories import BY, a_published_workflow, an_event
from workflows import services


@pytest.mark.django_db(transaction=True)
def test_an_event_of_an_archived_workflow_is_ignored_with_a_catalogued_code(bellboy: Bellboy) -> None:
    workflow = a_published_workflow()
    event = an_event(workflow)
    services.archive(workflow_id=workflow.pk, by=BY)

    bells.ring_dispatch(event.shard)
    bellboy.answer_all()

    event.refresh_from_db()
    assert event.status == "ignored"
    assert event.error_code in CATALOGUE


def test_an_output_that_cannot_be_kept_is_a_permanent_failure() -> None:
    """The missing code's KeyError took its place, and the step was tried again five times."""
    with pytest.raises(PermanentStepError) as refused:
        checked_output({"ratio": math.nan})
    assert refused.value.code == "step.invalid_output"
