"""Half of a surrogate pair in a form went out as `?`: the receiver got something else than the author had, and nobody was told.

Found in a review of bodies and queries: in `json`, `body` and `query` the same text was refused.
"""

import pytest

from executions.steps.http_request import HttpRequest
from lightfield.kernel.errors import PermanentStepError
from workflows import step_types


@pytest.mark.parametrize("form", [{"a": "\ud800"}, {"\ud800": "a"}, {"a": ["b", "\udfff"]}])
def test_a_form_that_is_no_unicode_is_refused(form: dict[str, object]) -> None:
    step = step_types.get("http_request")
    assert isinstance(step, HttpRequest)
    config = step_types.load_config(step, {"method": "POST", "url": "https://api.example.com/", "form": form})

    with pytest.raises(PermanentStepError) as caught:
        step.freeze(config)

    assert (caught.value.code, caught.value.sent) == ("config.invalid", False)
