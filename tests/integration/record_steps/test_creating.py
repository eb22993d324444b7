"""`create_record` and `update_record`: every kind of record, every kind of field, as the API and record triggers tell it."""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Account, Contact, Opportunity, Record
from crm.steps.entities import ENTITIES
from executions.models import Effect
from lightfield.access.models import AuditEntry
from tests.api_client import ApiCaller
from tests.capturing import payloads, watching
from tests.integration.record_steps.playing import create, last_step, output_of, play, update
from tests.records import KINDS, NINE, SMALLEST, TEN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

PLURAL = {model._meta.model_name: kind for kind, model in KINDS.items()}
# A value for every field that may be set, references aside.
FULL: dict[str, dict[str, Any]] = {
    "account": {
        "name": "Acme",
        "website": "acme.example",
        "industry": ["Tools", "Anvils"],
        "headcount": "11-50",
        **{name: name for name in ("last_funding_type", "linkedin", "twitter", "facebook", "instagram")},
        "how_they_make_money": "Anvils.",
        "account_status": "Fine.",
        "custom": {"tier": {"level": 1.5}},
        "primary_address": {"city": "Tucson", "latitude": 32.25, "longitude": None},
    },
    "contact": {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "ada@example.com",
        "title": "Countess",
        "instagram": "@ada",
        "profile_photo_url": "https://example.com/ada.png",
        "do_not_contact": True,
        "custom": {"plans": ["pro", None, 7]},
    },
    "opportunity": {
        "name": "Big",
        "stage": "open",
        "pipeline": "new",
        "amount": 1234.5,
        "opportunity_status": "Warm.",
        "last_interaction_at": "2026-03-01T09:00:00+01:00",
        "custom": {},
    },
    "meeting": {
        "title": "A talk",
        "start_date": NINE,
        "end_date": TEN,
        "description": "Of all.",
        "transcript": "…",
        "meeting_url": "https://meet.example/1",
        "organizer_email": "ada@example.com",
        "custom": {"a": 1},
        "attendee_emails": ["ada@example.com", "bob@example.com"],
        "privacy_setting": "metadata",
    },
    "task": {
        "title": "Call",
        "status": "in_progress",
        "description": "Now.",
        "due_at": NINE,
        "custom": {"n": 12345678901234567},
    },
    "note": {"title": "Called", "content": "**Yes**", "custom": {"deep": [[[[1]]]]}},
}


def as_the_api_says(api: ApiCaller, entity: str, record_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/crm/{PLURAL[entity]}/{record_id}").json()
    return found


def told_of(output: dict[str, Any]) -> dict[str, Any]:
    """A record's output in the form of the API: one flat object."""
    return {"id": output["id"], **output["fields"]}


def test_every_kind_and_every_field_is_tried() -> None:
    for name, entity in ENTITIES.items():
        references = {field.name for field in entity.model._meta.concrete_fields if field.is_relation}
        settable = {name for name, form in entity.form.items() if not form.read_only}
        assert set(FULL[name]) == settable - references, name


@pytest.mark.parametrize("entity", FULL)
def test_a_created_record_is_told_as_the_api_and_record_triggers_tell_it(entity: str, api: ApiCaller) -> None:
    watching(entity, "created")

    output = output_of(create(entity, **FULL[entity]))

    assert (output["type"], output["created"]) == (entity, True)
    assert told_of(output) == as_the_api_says(api, entity, output["id"])
    (event,) = payloads()
    assert (event["id"], event["type"], event["fields"]) == (output["id"], entity, output["fields"])


@pytest.mark.parametrize("entity", FULL)
def test_the_smallest_record_is_created_and_every_field_of_it_updated(entity: str, api: ApiCaller) -> None:
    made = output_of(create(entity, **SMALLEST[PLURAL[entity]]))
    watching(entity, "updated")

    output = output_of(update(entity, made["id"], **FULL[entity]))

    assert (output["id"], output["created"]) == (made["id"], False)
    assert told_of(output) == as_the_api_says(api, entity, made["id"])
    (event,) = payloads()
    assert event["fields"] == output["fields"]
    assert ENTITIES[entity].model._default_manager.count() == 1


def test_templates_give_values_their_types() -> None:
    output = output_of(
        create(
            "opportunity",
            name="Deal of {{ trigger.who }}",
            amount="{{ trigger.amount }}",
            stage="{{ trigger.none }}",
            custom="{{ trigger.own }}",
        ),
        payload={"who": "Ada", "amount": "12.5", "none": None, "own": {"a": [True]}},
    )

    fields = output["fields"]
    assert (fields["name"], fields["amount"], fields["stage"]) == ("Deal of Ada", 12.5, None)
    assert fields["custom"] == {"a": [True]}


def test_what_one_step_creates_another_refers_to() -> None:
    output = output_of(
        create("account", key="acme", name="Acme"),
        create("contact", key="ada", email="ada@example.com", account="{{ acme.id }}"),
        create("opportunity", key="deal", name="Deal", account="{{ acme.id }}", champion="{{ ada.id }}"),
    )

    deal = Opportunity.objects.get(pk=output["id"])
    assert (deal.account, deal.champion) == (Account.objects.get(), Contact.objects.get())
    assert output["fields"]["account"] == str(deal.account_id)
    assert deal.created_by is None  # a program did


def test_a_field_that_is_not_named_stays_and_null_clears_one() -> None:
    made = Contact.objects.create(email="ada@example.com", first_name="Ada", title="Countess")

    output_of(update("contact", made.pk, title=None))

    made.refresh_from_db()
    assert (made.first_name, made.title) == ("Ada", None)


def test_nothing_to_change_changes_nothing() -> None:
    made = Contact.objects.create(email="ada@example.com")

    output = output_of(update("contact", made.pk))

    assert output["fields"]["email"] == "ada@example.com"
    assert Contact.objects.get().updated_at == made.updated_at
    assert not AuditEntry.objects.filter(subject=str(made.pk)).exists()


def test_one_field_of_custom_is_set_and_the_others_stay() -> None:
    made = output_of(create("account", **{"name": "Acme", "custom": {"a": 1}, "custom.b.c": [2]}))

    output = output_of(update("account", made["id"], **{"custom.a": "{{ trigger.n }}", "custom.d": None}))

    assert output["fields"]["custom"] == {"a": 7, "b.c": [2], "d": None}


def test_who_wrote_stands_in_the_audit_trail() -> None:
    run = play(create("contact", email="ada@example.com"))
    record = Contact.objects.get()
    changing = play(update("contact", record.pk, title="Countess"))

    trail = AuditEntry.objects.filter(subject=str(record.pk)).order_by("pk")
    assert [(entry.actor, entry.action) for entry in trail] == [
        (f"run {run.pk}", "contact.created"),
        (f"run {changing.pk}", "contact.edited"),
    ]
    assert [entry.metadata for entry in trail] == [
        {"step": "it", "trace_id": run.trace_id},
        {"step": "it", "trace_id": changing.trace_id, "fields": ["title"]},
    ]


def test_the_ledger_keeps_what_was_asked_for_and_which_record_it_was() -> None:
    run = play(create("contact", email="{{ trigger.email }}"), payload={"email": "ada@example.com"})

    effect = Effect.objects.get()
    assert (effect.scope, effect.key, effect.status) == (run.pk, f"{run.pk}:it", "done")
    assert effect.request == {"entity": "contact", "fields": {"email": "ada@example.com"}}
    assert effect.answer == {"type": "contact", "id": str(Contact.objects.get().pk), "created": True}
    attempt = last_step(run).tries.get()
    assert (attempt.outcome, attempt.intent_at) == ("ok", effect.decided_at)


def test_models_are_saved_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers of signals and whatever overrides `save` have their say."""
    saved: list[str] = []
    save = Record.save

    def noted(self: Record, **how: Any) -> None:
        saved.append(f"{type(self).__name__} {sorted(how)}")
        save(self, **how)

    monkeypatch.setattr(Record, "save", noted)
    made = output_of(create("account", name="Acme"))
    output_of(update("account", made["id"], name="Acme Ltd"))

    assert saved == ["Account ['force_insert']", "Account ['update_fields']"]
