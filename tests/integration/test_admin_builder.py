"""The builder, as a person uses it: start, edit, publish, pause, archive. Every write through a service."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from lightfield.access.models import AuditEntry
from lightfield.builder import drafts
from lightfield.builder.starters import STARTERS, Starter
from tests.admin_client import a_person
from tests.dom import dom_of, words_of
from tests.factories import BY, LOG_STEP, a_definition, a_published_workflow, a_workflow
from workflows import services
from workflows.models import Workflow, WorkflowVersion
from workflows.trigger_types import trigger_type_names

pytestmark = pytest.mark.django_db

ADD = "/admin/workflows/workflow/add/"


def page_of(workflow: Workflow, deed: str = "change") -> str:
    return f"/admin/workflows/workflow/{workflow.pk}/{deed}/"


def text_of(**parts: Any) -> str:
    return json.dumps(a_definition(**parts), indent=2)


def messages_of(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def problems_in(answer: Any) -> list[str]:
    """The lines under the editor: where, what, pointer, code."""
    return [words_of(item) for item in dom_of(answer).one("ul", class_="lf-problems").children("li")]


def base_of(answer: Any) -> str:
    return dom_of(answer).one("input", name="base").attributes["value"]


@pytest.fixture
def ada() -> Client:
    return a_person()


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.slug)
def test_every_starter_can_be_published_as_it_is(starter: Starter, settings: Any) -> None:
    settings.LIGHTFIELD_AI_MODEL = "scripted"  # for those with an agent
    workflow = services.create_workflow(definition=starter.definition, by=BY)

    assert services.publish(workflow_id=workflow.pk, by=BY)[1]


def test_every_kind_of_trigger_has_its_words() -> None:
    assert set(drafts.TRIGGER_TITLES) == set(trigger_type_names())


def test_who_starts_a_schedule_by_hand_is_offered_what_a_tick_brings(ada: Client) -> None:
    workflow = a_published_workflow(
        trigger={"type": "schedule", "config": {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}}
    )

    page = dom_of(ada.get(f"/admin/workflows/workflow/{workflow.pk}/run/"))

    offered = json.loads(page.one("textarea", name="payload").text)
    assert list(offered) == ["scheduled_for", "fired_at", "timezone", "late_by_seconds"]
    assert offered["timezone"] == "Europe/Berlin"


def test_a_starter_is_offered_put_into_the_editor_and_stored(ada: Client) -> None:
    # Given the page with its starters, and one that was chosen
    assert len(dom_of(ada.get(ADD)).all("a", class_="lf-starter")) == len(STARTERS)
    editor = dom_of(ada.get(f"{ADD}?starter=manual")).one("textarea", name="definition")

    # When its text is saved as it stands
    answer = ada.post(ADD, {"definition": editor.text, "_save": "1"}, follow=True)

    # Then there is a draft, made by the service, with its address and its trail
    workflow = Workflow.objects.get()
    assert answer.redirect_chain[-1][0] == page_of(workflow)
    assert (workflow.name, workflow.status) == ("Say hello", "draft")
    assert workflow.trigger.token_hash
    assert list(AuditEntry.objects.values_list("actor", "action")) == [("ada", "workflow.created")]
    assert messages_of(answer) == ["The workflow is there, as a draft."]


def test_line_breaks_as_browsers_send_them_are_stored_as_people_see_them(ada: Client) -> None:
    ada.post(ADD, {"definition": text_of().replace("\n", "\r\n")})

    assert Workflow.objects.get().name == "A workflow"


def test_a_syntax_error_is_shown_at_the_field_with_line_and_column(ada: Client) -> None:
    typed = '{\n  "schema": 1\n  "name": "x"\n}'

    answer = ada.post(ADD, {"definition": typed})

    assert problems_in(answer) == [
        "Line 3 A comma is missing before this, or a bracket was closed too early. column 3 payload.invalid_json"
    ]
    editor = dom_of(answer).one("textarea", name="definition")
    assert editor.text.strip("\n") == typed
    assert editor.attributes["aria-invalid"] == "true"
    assert editor.attributes["data-error-lines"].split() == ["3"]
    assert not Workflow.objects.exists()


def test_every_problem_has_its_line_pointer_code_and_plain_words(ada: Client) -> None:
    typed = text_of(name="", steps=[{**LOG_STEP, "key": "Hello World", "colour": "red"}])

    answer = ada.post(ADD, {"definition": typed})

    lines = typed.split("\n")
    name, key, colour = (
        next(number for number, line in enumerate(lines, 1) if f'"{field}"' in line)
        for field in ("name", "key", "colour")
    )
    assert problems_in(answer) == [
        f"Line {name} Needs at least 1 character(s). /name config.invalid_definition",
        f"Line {key} Use 1 to 40 of a-z, 0-9 and _, a letter first. /steps/0/key config.invalid_definition",
        f"Line {colour} There is no field of this name here. /steps/0/colour config.invalid_definition",
    ]
    assert not Workflow.objects.exists()


def test_saving_replaces_the_draft_and_leaves_what_runs_alone(ada: Client) -> None:
    workflow = a_published_workflow()
    base = base_of(ada.get(page_of(workflow)))

    answer = ada.post(
        page_of(workflow), {"definition": text_of(name="Renamed"), "base": base, "_save": "1"}, follow=True
    )

    workflow.refresh_from_db()
    assert workflow.name == workflow.draft["name"] == "Renamed"
    assert WorkflowVersion.objects.get().definition["name"] == "A workflow"
    assert "The draft differs from version 1" in dom_of(answer).text
    assert AuditEntry.objects.filter(action="workflow.edited", actor="ada").count() == 1


def test_a_part_that_is_left_out_falls_back_to_its_default(ada: Client) -> None:
    workflow = a_workflow(description="Old words", settings={"timeout_seconds": 60})

    ada.post(page_of(workflow), {"definition": text_of()})

    workflow.refresh_from_db()
    assert workflow.draft["description"] == ""
    assert workflow.draft["settings"]["timeout_seconds"] == 86_400


def test_a_draft_that_cannot_be_published_says_so_where_it_stands(ada: Client) -> None:
    workflow = a_workflow(steps=[{"key": "a", "type": "log", "config": {"message": "{{ later.x }}"}}])

    answer = ada.get(page_of(workflow))

    (problem,) = problems_in(answer)
    assert "There is no later: use trigger, run, workflow or the key of an earlier step." in problem
    assert "/steps/0/config/message template.unknown_reference" in problem
    assert "Saved, but it cannot be published yet" in dom_of(answer).text


def test_publishing_what_cannot_be_published_changes_nothing_and_says_why(ada: Client) -> None:
    workflow = a_workflow(steps=[])

    answer = ada.post(page_of(workflow, "publish"), follow=True)

    workflow.refresh_from_db()
    assert workflow.status == "draft"
    assert messages_of(answer) == ["Not published: 1 problem in the draft, listed at the editor."]
    assert "A workflow needs at least one step." in problems_in(answer)[0]


def test_save_and_publish_does_both(ada: Client) -> None:
    answer = ada.post(ADD, {"definition": text_of(name="At once"), "_publish": "1"}, follow=True)

    workflow = Workflow.objects.get()
    assert (workflow.name, workflow.status) == ("At once", "active")
    assert messages_of(answer) == ["Published as version 1. New events run on it."]
    assert "Same as version 1" in dom_of(answer).text


def test_publishing_again_without_a_change_makes_no_version(ada: Client) -> None:
    workflow = a_published_workflow()

    answer = ada.post(page_of(workflow, "publish"), follow=True)

    assert WorkflowVersion.objects.count() == 1
    assert messages_of(answer) == ["Version 1 is active; the draft holds nothing new."]


def test_pause_and_resume(ada: Client) -> None:
    workflow = a_published_workflow()

    ada.post(page_of(workflow, "pause"))
    workflow.refresh_from_db()
    assert workflow.status == "paused"

    answer = ada.post(page_of(workflow, "pause"), follow=True)
    assert messages_of(answer)[-1] == "Cannot pause a workflow that is paused."

    ada.post(page_of(workflow, "resume"))
    workflow.refresh_from_db()
    assert workflow.status == "active"


def test_archiving_asks_first_and_then_takes_every_button_away(ada: Client) -> None:
    workflow = a_published_workflow()

    question = ada.get(page_of(workflow, "archive"))
    assert "Archive this workflow for good?" in dom_of(question).text
    workflow.refresh_from_db()
    assert workflow.status == "active"

    answer = ada.post(page_of(workflow, "archive"), follow=True)
    workflow.refresh_from_db()
    assert workflow.status == "archived"
    page = dom_of(answer)
    assert page.one("textarea", name="definition").attributes.get("readonly") == ""
    assert page.all("button", class_="lf-button") == []
    assert [words_of(link) for link in page.all("a", class_="lf-button")] == []


def test_a_new_address_is_asked_for_first(ada: Client) -> None:
    workflow = a_published_workflow()
    before = workflow.trigger.token_hash
    shown = dom_of(ada.get(page_of(workflow))).one("button", aria_label="Copy the webhook address")

    assert "The old address answers 404" in dom_of(ada.get(page_of(workflow, "rotate"))).text
    answer = ada.post(page_of(workflow, "rotate"), follow=True)

    workflow.trigger.refresh_from_db()
    assert workflow.trigger.token_hash != before
    fresh = dom_of(answer).one("button", aria_label="Copy the webhook address")
    assert fresh.attributes["data-copy"].startswith("http://testserver/hooks/")
    assert fresh.attributes["data-copy"] != shown.attributes["data-copy"]


def test_deeds_without_a_question_do_nothing_by_get(ada: Client) -> None:
    workflow = a_published_workflow()

    for deed in ("publish", "pause", "resume"):
        assert ada.get(page_of(workflow, deed)).status_code == 302

    workflow.refresh_from_db()
    assert workflow.status == "active"


def test_given_somebody_saved_meanwhile_when_saving_then_nothing_is_overwritten_unseen(ada: Client) -> None:
    # Given a page that was opened before another person saved
    workflow = a_workflow()
    base = base_of(ada.get(page_of(workflow)))
    services.update_draft(workflow_id=workflow.pk, changes={"name": "Theirs"}, by="bob")

    # When
    answer = ada.post(page_of(workflow), {"definition": text_of(name="Mine"), "base": base})

    # Then theirs stands, and mine is in the editor
    workflow.refresh_from_db()
    assert workflow.name == "Theirs"
    page = dom_of(answer)
    assert "Somebody else saved this draft after you opened it." in page.text
    assert "workflow.conflict" in page.text
    assert '"name": "Mine"' in page.one("textarea", name="definition").text

    # And saving once more, now that it was said, replaces it
    ada.post(page_of(workflow), {"definition": text_of(name="Mine"), "base": base_of(answer)})
    workflow.refresh_from_db()
    assert workflow.name == "Mine"


def test_a_secret_that_cannot_be_one_is_refused_at_its_line(ada: Client) -> None:
    trigger = {"type": "webhook", "config": {"signature": {"scheme": "stripe", "secret": "whsec_1"}}}

    answer = ada.post(ADD, {"definition": text_of(trigger=trigger)})

    (problem,) = problems_in(answer)
    assert "/trigger/config/signature/secret config.invalid_secret" in problem
    assert not Workflow.objects.exists()


def test_a_workflow_cannot_be_deleted_here(ada: Client) -> None:
    workflow = a_workflow()

    assert ada.post(page_of(workflow, "delete"), {"post": "yes"}).status_code == 403
    assert Workflow.objects.filter(pk=workflow.pk).exists()


def test_a_version_shows_its_definition_and_what_changed(ada: Client) -> None:
    workflow = a_published_workflow()
    services.update_draft(
        workflow_id=workflow.pk,
        changes={"steps": [{**LOG_STEP, "config": {"message": "other words"}}]},
        by="bob",
    )
    version, _ = services.publish(workflow_id=workflow.pk, by="bob")
    url = f"/admin/workflows/workflowversion/{version.pk}/change/"

    page = dom_of(ada.get(url))
    (added,) = page.all("tr", class_="lf-diff-added")
    assert words_of(added.children("td")[-1]) == '"message": "other words"'
    assert '"message": "other words"' in page.one("pre").text
    assert "No difference." in dom_of(ada.get(f"{url}?against=draft")).text
    assert "there is none to compare it with" in dom_of(ada.get(f"{url}?against=99")).text


def test_unknown_workflows_versions_and_words_for_them_are_not_found(ada: Client) -> None:
    for path in (
        "/admin/workflows/workflow/0199c0de-0000-7000-8000-000000000000/change/",
        "/admin/workflows/workflow/nonsense/change/",
        "/admin/workflows/workflow/0199c0de-0000-7000-8000-000000000000/run/",
        "/admin/workflows/workflowversion/999999/change/",
        "/admin/workflows/workflowversion/x/change/",
    ):
        assert ada.get(path).status_code == 404, path


def test_the_history_of_a_workflow_is_its_audit_trail(ada: Client) -> None:
    workflow = a_published_workflow()

    answer = ada.get(page_of(workflow, "history"), follow=True)

    assert answer.redirect_chain[0][0] == f"/admin/access/auditentry/?q={workflow.pk}"
    assert (
        len(dom_of(answer).all("tr", class_="data-row"))
        == AuditEntry.objects.filter(subject=workflow.pk).count()
        == 2
    )


def test_the_reference_names_what_records_can_be_watched_and_what_they_tell(ada: Client) -> None:
    page = dom_of(ada.get(f"{ADD}?starter=record"))
    kinds = {
        words_of(item.children("summary")[0]): item.children("dl")[0]
        for item in page.all("details", class_="lf-watchable")
    }
    assert list(kinds) == ["account", "contact", "meeting", "note", "opportunity", "task"]
    fields = {
        words_of(row.children("dt")[0]): words_of(row.children("dd")[0])
        for row in kinds["opportunity"].children("div")
    }
    assert fields["stage"] == "text"
    assert fields["champion"] == "text, the id of contact"
    assert fields["updated_at"] == "instant, changes with every save: told, not to be watched"
    assert "{{ trigger.fields.name }}" in page.one("details", class_="lf-reference").text
    assert "{{ trigger._diff.name.after }}" in page.one("details", class_="lf-reference").text


def test_a_record_workflow_is_built_from_its_starter_and_watches(ada: Client) -> None:
    editor = dom_of(ada.get(f"{ADD}?starter=record")).one("textarea", name="definition")

    answer = ada.post(ADD, {"definition": editor.text, "_publish": "1"}, follow=True)

    workflow = Workflow.objects.get()
    assert (workflow.status, workflow.trigger.kind) == ("active", "record")
    assert workflow.trigger.config == {"entity": "opportunity", "event": "updated", "fields": ["stage"]}
    assert "A record is made or changes" in dom_of(answer).text
