"""Only the kind `webhook` looked for a secret in its config; under another type a draft kept it in plain text."""

from __future__ import annotations

import pytest

from lightfield.kernel.errors import RequestRefused
from tests.factories import BY, a_definition
from workflows import services
from workflows.models import Workflow

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("kind", ["webhok", "manual", "schedule", "record"])
def test_a_webhooks_secret_under_another_type_is_refused_and_kept_nowhere(kind: str) -> None:
    config = {"signature": {"scheme": "github", "secret": "a secret of sixteen"}}

    with pytest.raises(RequestRefused) as refusal:
        services.create_workflow(definition=a_definition(trigger={"type": kind, "config": config}), by=BY)

    assert [problem.pointer for problem in refusal.value.problems] == ["/trigger/config/signature/secret"]
    assert not Workflow.objects.exists()
