"""A refused payload was shown to people who may see the inbox and no events, where payloads are."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin_client import a_person
from tests.factories import a_published_workflow
from tests.integration.test_admin_inbox import deliver, page_of
from triggers import services as triggers
from triggers.deliveries.models import Delivery
from triggers.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_body_of_a_mismatch_is_for_those_who_may_see_events(inbox: Any):
    workflow = a_published_workflow()
    deliver(workflow, {"n": 1}, **{"Idempotency-Key": "k"})
    hook = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    vera, otto = (
        a_person("triggers.view_delivery", name="vera"),
        a_person("triggers.view_delivery", "triggers.view_outboxevent", name="otto"),
    )
    vera.generic("POST", hook, b'{"n":"private"}', "application/json", headers={"Idempotency-Key": "k"})
    inbox.flush()
    mismatch = Delivery.objects.get(verdict="body_mismatch")

    assert mismatch.body == {"n": "private"}
    for path in (page_of(mismatch), f"/api/v1/deliveries/{mismatch.pk}"):
        assert "private" not in vera.get(path).content.decode()
        assert "private" in otto.get(path).content.decode()
