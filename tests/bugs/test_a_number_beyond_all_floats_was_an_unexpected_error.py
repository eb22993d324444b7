"""`1e999` is written like a number and read as infinity, which `round`, `floor` and `ceil` answered with an error of Python's
decimals: the step was tried five times over for what its data says."""

from __future__ import annotations

import pytest

from lightfield.kernel.errors import PermanentStepError
from workflows.expressions import render


@pytest.mark.parametrize("name", ["round", "floor", "ceil", "abs", "plus: 1", "at_least: 1"])
@pytest.mark.parametrize("written", ["1e999", "-1e999"])
def test_a_number_that_no_float_holds_is_refused(name, written):
    with pytest.raises(PermanentStepError) as caught:
        render(f"{{{{ trigger.n | {name} }}}}", {"trigger": {"n": written}})

    assert caught.value.code == "template.failed"
    assert "needs a number, not '" in caught.value.message
