"""`truncate: "--5"` passed a check that took all signs off, and then ended in Python's own ValueError: a step that was
tried five times over for a mistake in its template."""

from __future__ import annotations

import pytest

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import render


@pytest.mark.parametrize("written", ["--5", "-", "5-", "٣", "1_000", "+5"])
def test_a_count_that_is_not_written_as_a_whole_number_is_refused(written):
    with pytest.raises(PermanentStepError) as caught:
        render("{{ 'abcdefgh' | truncate: trigger.n }}", {"trigger": {"n": written}})

    assert caught.value.code == "template.failed"
    assert "needs a whole number" in caught.value.message
