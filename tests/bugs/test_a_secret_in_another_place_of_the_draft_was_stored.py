"""A webhook's secret that was written one level too high, or under another name, was stored with the draft as it was.

Everybody who may see the workflow saw it, and it went into no version only because its field was unknown to publish.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api_client import ApiCaller
from tests.factories import a_workflow
from workflows.models import Workflow

pytestmark = pytest.mark.django_db

SECRET = "whsec_" + "c2VjcmV0" * 4
STRIPE = {"scheme": "stripe"}
MISPLACED: dict[str, dict[str, Any]] = {
    "/secret": {"signature": STRIPE, "secret": SECRET},
    "/webhook_secret": {"webhook_secret": "made of words"},
    "/signature/Secret": {"signature": {**STRIPE, "Secret": SECRET}},
    "/signature/signing_secret": {"signature": {**STRIPE, "signing_secret": SECRET}},
    "/signature/signing_key": {
        "signature": {"scheme": "stripe", "preset": "calendly", "signing_key": "made of words"}
    },
    "/signature/key": {"signature": {**STRIPE, "key": SECRET}},
    "/signature/0/secret": {"signature": [{**STRIPE, "secret": SECRET}]},
    "/signature/preset": {"signature": {**STRIPE, "preset": SECRET}},
    "/signature": {"signature": SECRET},
}


@pytest.mark.parametrize("place", MISPLACED)
def test_given_a_secret_in_another_place_then_it_is_refused_and_not_stored(place: str) -> None:
    workflow, caller = a_workflow(), ApiCaller("builder")

    answer = caller.patch(
        f"/workflows/{workflow.pk}", {"trigger": {"type": "webhook", "config": MISPLACED[place]}}
    )

    assert answer.status_code == 422
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [
        (f"/trigger/config{place}", "config.invalid_secret")
    ]
    assert SECRET not in answer.content.decode()
    stored = json.dumps(Workflow.objects.get(pk=workflow.pk).draft)
    assert SECRET not in stored
    assert "made of words" not in stored


def test_given_a_sample_that_holds_secrets_of_the_senders_then_it_is_stored() -> None:
    """A body as Stripe sends it has a client_secret."""
    sample = {"data": {"object": {"client_secret": "pi_1_secret_2", "note": "whsec_ is how they begin"}}}
    workflow, caller = a_workflow(), ApiCaller("builder")
    config = {"signature": {**STRIPE, "secret": SECRET}, "sample": sample}

    answer = caller.patch(f"/workflows/{workflow.pk}", {"trigger": {"type": "webhook", "config": config}})

    assert answer.status_code == 200
    assert Workflow.objects.get(pk=workflow.pk).draft["trigger"]["config"] == {
        "signature": STRIPE,
        "sample": sample,
    }
