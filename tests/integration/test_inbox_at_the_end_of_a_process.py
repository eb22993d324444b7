"""A web process that is told to end first writes what it noted, deliveries and their decisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories import BY, a_published_workflow
from tests.gunicorns import a_gunicorn
from triggers import services as triggers
from triggers.decisions import collecting
from triggers.deliveries.models import Delivery, UnmatchedDay
from triggers.models import DecisionCount, Trigger
from workflows import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MANY = 20


def test_given_a_sigterm_after_the_answers_then_no_delivery_and_no_decision_is_lost(tmp_path: Path):
    workflow = a_published_workflow()
    hook = triggers.webhook_path(Trigger.objects.get(workflow=workflow))
    services.pause(workflow_id=workflow.pk, by=BY)
    with a_gunicorn(tmp_path) as server:
        answers = [server.post(hook).status_code for _ in range(MANY)]
        answers += [server.post("/hooks/nobodys").status_code]
    collecting.collect()

    assert set(answers) == {404}
    assert Delivery.objects.filter(verdict="paused").count() == MANY
    assert UnmatchedDay.objects.get().count == 1
    assert DecisionCount.objects.get(verdict="paused").count == MANY
    assert "Traceback" not in (tmp_path / "log").read_text()
