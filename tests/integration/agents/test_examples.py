"""The recipes: each can be published as it is, comes out of every door, and does in a run what it says."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from crm.models import Account, Contact, Meeting, Note, Opportunity, Task
from executions.agents.values import Question
from lightfield import examples
from lightfield.builder.starters import STARTERS, find
from lightfield.examples import EXAMPLES
from lightfield.testing import Fakes, run
from tests.agents import Model, calls, gives
from tests.api_client import ApiCaller
from workflows import services
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = [example.name for example in EXAMPLES]
NOTES = "https://notes.example.com/v1"


@pytest.fixture(autouse=True)
def a_model(settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL, settings.LIGHTFIELD_AI_BASE_URL = "scripted", "http://localhost:1/v1"
    settings.LIGHTFIELD_AI_API_KEY = "sk-test"


def definition_of(name: str) -> dict[str, Any]:
    example = examples.find(name)
    assert example is not None
    return example.definition


def outcome(run: Any) -> dict[str, str]:
    return {key: step.status for key, step in run.steps.items()}


# --- by every door --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_can_be_published_as_it_is_and_nothing_is_to_be_warned_of(name):
    workflow = services.create_workflow(definition=definition_of(name), by="a tester")

    version, is_new = services.publish(workflow_id=workflow.pk, by="a tester")

    assert is_new
    assert warnings_of(parse_definition(version.definition)) == []


def test_every_file_is_a_recipe_with_words_of_its_own():
    files = {path.stem for path in Path(examples.__file__).parent.glob("*.json")}

    assert files == set(NAMES)
    assert len({example.title for example in EXAMPLES} | {one.title for one in STARTERS}) == len(STARTERS)


def test_a_recipe_is_offered_in_the_admin():
    starter = find("stripe-signup")

    assert starter is not None
    assert (starter.title, starter.group) == ("A customer from Stripe", "Recipes")
    assert starter.definition == definition_of("stripe-signup")


def test_a_recipe_is_listed_by_the_api_and_taken_by_it_as_it_is():
    api = ApiCaller()

    listed = {one["name"]: one for one in api.get("/examples").json()["results"]}
    made = api.post("/workflows", listed["new-contact-routed"]["definition"])

    assert sorted(listed) == sorted(NAMES)
    assert (made.status_code, made.json()["name"]) == (201, "A new contact, told to whom it concerns")


def imported(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("import_workflow", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_lists_stores_and_publishes(tmp_path):
    listed, _ = imported()
    made, told = imported("linkedin-message", "--publish")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**definition_of("message-sorted"), "name": "Mine"}))
    mine, _ = imported(str(file))

    assert all(name in listed for name in NAMES)
    assert "Published as version 1." in told
    assert Workflow.objects.get(pk=made.strip()).status == "active"
    assert (Workflow.objects.get(pk=mine.strip()).name, Workflow.objects.count()) == ("Mine", 2)


def test_the_command_tells_warnings(tmp_path):
    definition = definition_of("message-sorted")
    definition["steps"][0]["config"]["instructions"] = "You sort messages of {{ trigger.from }}."
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(definition))

    assert "/steps/0/config/instructions  ai.data_in_instructions" in imported(str(file), "--publish")[1]


def test_the_command_says_what_is_wrong_and_where(tmp_path, settings):
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": 1, "steps": 5}')

    with pytest.raises(CommandError, match="The recipes are message-sorted"):
        imported("no-such-recipe")
    with pytest.raises(CommandError, match=r"/steps  config\.invalid_definition  Expected a list"):
        imported(str(broken))
    settings.LIGHTFIELD_AI_MODEL = ""
    with pytest.raises(CommandError, match=r"/steps/0/config/model  ai\.no_model  No model is named"):
        imported("message-sorted", "--publish")


def test_a_file_tells_the_terminal_nothing_but_text(tmp_path):
    hostile = tmp_path / "hostile.json"
    hostile.write_text(
        json.dumps({**definition_of("message-sorted"), "name": "\x1b]0;owned\x07", "\x1b[2J": 1})
    )

    with pytest.raises(CommandError) as refused:
        imported(str(hostile))
    assert "\x1b" not in str(refused.value)
    for no_file in ("\0", "\x1b[2J", str(tmp_path), "/dev/zero"):
        with pytest.raises(CommandError) as refused:
            imported(no_file)
        assert "\x1b" not in str(refused.value)


def answering(model: Model) -> Fakes:
    fakes = Fakes()
    fakes.model(model)
    return fakes


# --- what they do ---------------------------------------------------------------------------------------


def test_somebody_who_paid_by_stripe_becomes_contact_account_and_opportunity():
    def write_contact(question: Question):
        account = Account.objects.get()
        return calls(
            (
                "upsert_record",
                {
                    "entity": "contact",
                    "match": {"email": "ada@analytical.example"},
                    "fields": {"first_name": "Ada", "account": str(account.pk)},
                },
            ),
            (
                "create_record",
                {
                    "entity": "opportunity",
                    "fields": {
                        "name": "Team plan",
                        "stage": "won",
                        "amount": "99.00",
                        "account": str(account.pk),
                    },
                },
            ),
        )

    def give(question: Question):
        return calls(
            gives(
                {
                    "contact_id": str(Contact.objects.get().pk),
                    "account_id": str(Account.objects.get().pk),
                    "opportunity_id": str(Opportunity.objects.get().pk),
                    "summary": "Ada is new.",
                }
            )
        )

    model = Model(
        calls(
            ("find_records", {"entity": "contact", "filters": []}),
            ("create_record", {"entity": "account", "fields": {"name": "Analytical Engines"}}),
        ),
        write_contact,
        give,
    )
    definition = definition_of("stripe-signup")

    done = run(definition, definition["trigger"]["config"]["sample"], fakes=answering(model))

    assert outcome(done) == {"paid": "completed", "agent": "completed", "told": "completed"}
    assert Contact.objects.get().account == Account.objects.get() == Opportunity.objects.get().account
    # What Stripe sent stands between marks, not among the author's words
    assert 'from="trigger.data.object"' in model.asked[0].prompt
    assert "ada@analytical.example" not in model.asked[0].instructions


def test_a_message_of_somebody_who_wants_to_buy_becomes_a_note_and_a_task():
    ada = Contact.objects.create(first_name="Ada", last_name="Lovelace")
    model = Model(
        calls(
            (
                "find_records",
                {
                    "entity": "contact",
                    "filters": [{"field": "last_name", "operator": "contains", "value": "lovelace"}],
                },
            )
        ),
        calls(
            (
                "create_record",
                {"entity": "note", "fields": {"title": "LinkedIn message", "contact": str(ada.pk)}},
            )
        ),
        calls(
            gives(
                {
                    "contact_id": str(ada.pk),
                    "signals": [{"kind": "price", "quote": "What would this cost"}],
                    "summary": "Ada asks for the price.",
                }
            )
        ),
    )
    definition = definition_of("linkedin-message")

    run(definition, definition["trigger"]["config"]["sample"], fakes=answering(model))

    assert Note.objects.get().contact == ada
    task = Task.objects.get()
    assert (task.title, task.custom) == ("Answer Ada Lovelace on LinkedIn", {"contact": str(ada.pk)})
    assert "* price: What would this cost" in str(task.description)


def test_the_notes_of_a_day_become_notes_tasks_and_news():
    deal = Opportunity.objects.create(name="Engines")
    model = Model(
        calls(("find_records", {"entity": "opportunity", "filters": []})),
        calls(
            (
                "create_record",
                {"entity": "note", "fields": {"title": "Kick-off", "opportunity": str(deal.pk)}},
            ),
            (
                "create_record",
                {"entity": "task", "fields": {"title": "Send the offer", "opportunity": str(deal.pk)}},
            ),
            (
                "update_record",
                {
                    "entity": "opportunity",
                    "id": str(deal.pk),
                    "fields": {"opportunity_status": "Wants an offer."},
                },
            ),
        ),
        calls(gives({"notes": 1, "tasks": 1, "opportunities": 1, "left_out": []})),
    )
    fakes = answering(model)
    fakes.http(
        f"{NOTES}/notes*", json={"notes": [{"id": "n1", "title": "Kick-off", "text": "They want an offer."}]}
    )

    done = run(
        definition_of("daily-meeting-notes"),
        {"scheduled_for": "2026-03-02T17:00:00Z", "timezone": "Europe/Berlin"},
        fakes=fakes,
    )

    assert done.status == "completed"
    deal.refresh_from_db()
    assert (Note.objects.get().opportunity, Task.objects.get().opportunity) == (deal, deal)
    assert deal.opportunity_status == "Wants an offer."
    assert "day=2026-03-02" in fakes.requests[0].url


def a_meeting(title: str) -> Meeting:
    return Meeting.objects.create(
        title=title,
        start_date="2026-03-02T10:00:00Z",
        end_date="2026-03-02T11:00:00Z",
        attendee_emails=["ada@analytical.example"],
    )


def matching(meeting_id: str, *, is_certain: bool = True) -> tuple[Any, Fakes]:
    """The run of a transcript that the model takes for that meeting's."""
    transcript = {
        "id": "t 1",
        "title": "Kick-off",
        "started_at": "2026-03-02T10:04:00Z",
        "attendees": ["ada@analytical.example"],
        "text": "Ada: hello.",
    }
    output = {"meeting_id": meeting_id, "is_certain": is_certain, "why": "Same people."}
    fakes = answering(Model(calls(gives(output))))
    fakes.http(f"{NOTES}/transcripts?*", json={"transcripts": [transcript]})
    fakes.http(f"{NOTES}/transcripts/t+1/done", method="POST", status=204)
    return run(definition_of("transcript-to-meeting"), {}, fakes=fakes), fakes


def test_a_transcript_goes_to_the_meeting_that_it_belongs_to():
    meeting, _other = a_meeting("Kick-off with Ada"), a_meeting("Lunch")

    done, _ = matching(str(meeting.pk))

    meeting.refresh_from_db()
    assert (done.status, meeting.transcript) == ("completed", "Ada: hello.")


@pytest.mark.parametrize("how", ["another that was not shown", "uncertain"])
def test_a_transcript_goes_nowhere_when_the_model_is_not_sure_or_names_a_meeting_that_it_was_not_shown(how):
    meeting = a_meeting("Kick-off with Ada")
    other = Meeting.objects.create(
        title="Board", start_date="2026-04-02T10:00:00Z", end_date="2026-04-02T11:00:00Z"
    )

    done, _ = matching(str((meeting if how == "uncertain" else other).pk), is_certain=how != "uncertain")

    assert outcome(done)["keep"] == "skipped"
    assert not Meeting.objects.exclude(transcript=None).exists()


DEAL = {
    "id": "o-1",
    "type": "opportunity",
    "fields": {"name": "Engines", "amount": "99.00", "stage": "new"},
    "occurred_at": "2026-03-02T10:00:00Z",
}


def test_a_new_deal_is_told_in_slack_and_to_several_systems():
    fakes = Fakes()
    for url in (
        "https://hooks.slack.com/*",
        "https://billing.example.com/*",
        "https://warehouse.example.com/*",
    ):
        fakes.http(url, method="PUT" if "warehouse" in url else "POST", json={}, times=None)

    told = run(definition_of("new-deal-to-slack"), DEAL, fakes=fakes)
    several = run(definition_of("new-deal-to-systems"), DEAL, fakes=fakes)

    assert (told.status, several.status) == ("completed", "completed")
    assert fakes.requests[0].json == {"text": "New deal: Engines, 99.00 (new)"}
    assert fakes.requests[1].json["reference"] == "o-1"


@pytest.mark.parametrize(
    ("team", "host"),
    [("sales", "sales.example.com"), ("success", "success.example.com"), ("nobody", None)],
)
def test_a_new_contact_is_told_to_whom_the_agent_decides(team, host):
    fakes = answering(Model(calls(gives({"team": team, "why": "It says so."}))))
    fakes.http("https://*.example.com/hook", method="POST", json={})
    contact = {
        "id": "c-1",
        "type": "contact",
        "fields": {"email": "a@b.c"},
        "occurred_at": "2026-03-02T10:00:00Z",
    }

    done = run(definition_of("new-contact-routed"), contact, fakes=fakes)

    assert done.status == "completed"
    assert [sent.url for sent in fakes.requests] == ([f"https://{host}/hook"] if host else [])


def test_an_agent_that_sent_by_itself_would_be_warned_of():
    definition = definition_of("new-contact-routed")
    definition["steps"][0]["config"]["tools"].append({"type": "http", "hosts": ["sales.example.com"]})

    [warning] = warnings_of(parse_definition(definition))

    assert (warning.pointer, warning.code) == ("/steps/0/config/tools", "ai.exposed_data")
