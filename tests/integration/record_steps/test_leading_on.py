"""What a record step changes starts other workflows, in whichever way changes are captured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm.models import Contact, Opportunity
from executions.models import Run
from lightfield.kernel import bells
from tests.bellboy import Bellboy
from tests.capturing import capturing, payloads, watching
from tests.integration.record_steps.playing import create, play, step, step_of, update, upsert
from triggers.models import OutboxEvent, UncapturedWrite

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "captured")]


@pytest.fixture(params=["orm", "trigger"], autouse=True)
def captured(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    with capturing(request.param):
        yield request.param
        assert not UncapturedWrite.objects.exists()


def ring_out(bellboy: Bellboy) -> None:
    """Answer bells until nobody rings; what the database captured by itself, the sweep finds."""
    for _ in range(20):
        for shard in set(OutboxEvent.objects.filter(status="pending").values_list("shard", flat=True)):
            bells.ring_dispatch(shard)
        bellboy.answer_all()
    assert not OutboxEvent.objects.filter(status="pending").exists()


@pytest.mark.parametrize("how", ["create", "update", "upsert, new", "upsert, found"])
def test_its_event_tells_the_run_its_trace_and_one_depth_more(how: str) -> None:
    there = Contact.objects.create(email="there@example.com")
    watching("contact", "created")
    watching("contact", "updated")
    step = {
        "create": create("contact", email="new@example.com"),
        "update": update("contact", there.pk, title="Countess"),
        "upsert, new": upsert("contact", {"email": "new@example.com"}),
        "upsert, found": upsert("contact", {"email": "there@example.com"}, title="Countess"),
    }[how]

    run = play(step, depth=2)

    (event,) = OutboxEvent.objects.filter(source="record")
    assert (event.caused_by, event.trace_id, event.depth) == (run.pk, run.trace_id, 3)
    output = step_of(run).output
    assert (event.payload["id"], event.payload["fields"]) == (output["id"], output["fields"])
    assert ("_diff" in event.payload) is ("found" in how or how == "update")


def test_an_event_of_what_a_step_wrote_starts_another_workflow_which_reads_it(bellboy: Bellboy) -> None:
    watching(
        "contact",
        "created",
        steps=[create("task", title="Greet {{ trigger.fields.first_name }}", description="{{ trigger.id }}")],
    )

    first = play(create("contact", email="ada@example.com", first_name="Ada"))
    ring_out(bellboy)

    second = Run.objects.exclude(pk=first.pk).get()
    assert (second.status, second.trace_id, second.event.caused_by) == ("completed", first.trace_id, first.pk)
    output = step_of(second).output["fields"]
    assert (output["title"], output["description"]) == ("Greet Ada", str(Contact.objects.get().pk))


def test_a_workflow_that_changes_the_record_it_watches_runs_once(bellboy: Bellboy) -> None:
    deal = Opportunity.objects.create(name="Deal", amount=1)
    watching("opportunity", "updated", "amount", steps=[update("opportunity", "{{ trigger.id }}", amount=99)])

    deal.amount = 5
    deal.save()
    ring_out(bellboy)

    deal.refresh_from_db()
    assert deal.amount == 99
    assert list(OutboxEvent.objects.order_by("depth").values_list("depth", "error_code")) == [
        (0, None),
        (1, "trigger.own_change"),
    ]


def test_two_workflows_that_change_what_the_other_watches_end_at_the_depth(
    bellboy: Bellboy, settings: Any
) -> None:
    settings.LIGHTFIELD_MAX_DEPTH = 4
    Contact.objects.create(email="ada@example.com")
    ping = [upsert("contact", {"email": "ada@example.com"}, title="{{ run.id }}")]
    watching("opportunity", "updated", steps=ping, name="Ping")
    pong = [upsert("opportunity", {"name": "Deal"}, stage="{{ run.id }}")]
    watching("contact", "updated", steps=pong, name="Pong")

    play(create("opportunity", name="Deal"), upsert("opportunity", {"name": "Deal"}, key="go", stage="go"))
    ring_out(bellboy)

    assert list(
        OutboxEvent.objects.filter(source="record").order_by("depth").values_list("depth", "error_code")
    ) == [
        *[(depth, None) for depth in range(1, 5)],
        (5, "run.depth_exceeded"),
    ]


def test_to_write_what_is_there_fires_nothing() -> None:
    there = Contact.objects.create(email="ada@example.com", title="Countess")
    watching("contact", "updated")

    play(update("contact", there.pk, title="Countess"))
    play(step("find_records", entity="contact"))

    assert payloads() == []


def test_given_a_step_that_is_undone_then_its_events_are_too(bellboy: Bellboy) -> None:
    Contact.objects.create(email="taken@example.com")
    there = Contact.objects.create(email="ada@example.com")
    watching("contact", "updated")
    bellboy.rung.clear()

    play(update("contact", there.pk, title="Countess", email="taken@example.com"))

    assert payloads() == []
    assert bellboy.names() == []
