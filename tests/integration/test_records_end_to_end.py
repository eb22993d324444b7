"""From a record that somebody changes to the line that a step writes: API and admin, real dispatcher, real tasks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from crm.models import Contact
from executions.models import Run, StepRun
from lightfield.kernel import bells
from tests.admin_client import a_person
from tests.api_client import ApiCaller
from tests.bellboy import Bellboy
from tests.capturing import capturing, watching
from tests.integration.test_crm_admin import form_of
from tests.staging import say
from triggers.models import OutboxEvent

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = (
    "{{ trigger.type }} {{ trigger.id }}: {{ trigger._diff.title.before | default: 'nobody' }} "
    "is now {{ trigger._diff.title.after }} and {{ trigger.fields.email }}"
)


@pytest.fixture(params=["orm", "trigger"])
def mode(request: pytest.FixtureRequest) -> Any:
    with capturing(request.param):
        yield request.param


@pytest.fixture
def contact(mode: str) -> Contact:
    contact = Contact.objects.create(first_name="Ada", email="ada@example.com")
    watching("contact", "updated", "title", steps=[say("tell", MESSAGE)])
    return contact


def by_api(contact: Contact, title: str) -> None:
    answer = ApiCaller("builder").patch(f"/crm/contacts/{contact.pk}", {"title": title})
    assert answer.status_code == 200, answer.content


def by_admin(contact: Contact, title: str) -> None:
    person: Client = a_person()
    page = f"/admin/crm/contact/{contact.pk}/change/"
    answer = person.post(page, {**form_of(person.get(page)), "title": title, "_save": "Save"})
    assert answer.status_code == 302, answer.content


@pytest.mark.parametrize("change", [by_api, by_admin])
def test_given_a_workflow_that_watches_when_a_contact_is_changed_then_its_run_reads_the_change(
    change: Any, contact: Contact, mode: str, bellboy: Bellboy
) -> None:
    # When somebody changes what is watched
    change(contact, "Countess")

    # Then there is one event; where Django captures, the bell is rung at once, and else the sweep finds it
    event = OutboxEvent.objects.get()
    if mode == "trigger":
        assert "dispatch" not in " ".join(bellboy.names())
        bells.ring_dispatch(event.shard)
    bellboy.answer_all()

    # And its run is done, with the change as what set it off
    run = Run.objects.get()
    assert run.status == "completed"
    shown = ApiCaller("viewer").get(f"/runs/{run.pk}").json()
    trigger = shown["trigger"]
    assert (trigger["id"], trigger["type"]) == (str(contact.pk), "contact")
    assert trigger["fields"]["title"] == "Countess"
    assert trigger["_diff"] == {"title": {"before": None, "after": "Countess"}}
    assert trigger == event.payload

    # And its step has read it
    told = f"contact {contact.pk}: nobody is now Countess and ada@example.com"
    assert StepRun.objects.get(run=run).output == {"message": told}


@pytest.mark.parametrize("change", [by_api, by_admin])
def test_given_a_change_of_something_else_then_no_run_is_made(
    change: Any, contact: Contact, bellboy: Bellboy
) -> None:
    Contact.objects.update(title="Countess")
    OutboxEvent.objects.all().delete()
    change(contact, "Countess")
    Contact.objects.update(last_name="Lovelace")
    bellboy.answer_all()
    assert not OutboxEvent.objects.exists()
    assert not Run.objects.exists()


def test_given_a_sweep_when_the_database_has_captured_then_it_finds_the_event(bellboy: Bellboy) -> None:
    """Nobody rang: whoever wrote may be no process of ours."""
    from executions import sweeper

    with capturing("trigger"):
        contact = Contact.objects.create(first_name="Ada", email="ada@example.com")
        watching("contact", "updated", "title", steps=[say("tell", MESSAGE)])
        Contact.objects.filter(pk=contact.pk).update(title="Countess")
        OutboxEvent.objects.update(
            captured_at=timezone.now() - timedelta(seconds=2)
        )  # who rings is given a second
        sweeper.sweep()
        bellboy.answer_all()
    assert Run.objects.get().status == "completed"
