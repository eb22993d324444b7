"""Runs in the admin: what a run did and why, and the two things a person may do about it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from executions.models import Run, StepRun
from lightfield.access.models import AuditEntry
from lightfield.kernel import bells
from lightfield.kernel.errors import PermanentStepError, TransientStepError
from tests.admin_client import VIEWER, a_person
from tests.bellboy import Bellboy
from tests.dom import Element, dom_of, words_of
from tests.factories import a_published_workflow
from tests.integration.record_steps.playing import create
from tests.scripted import ScriptedSlow
from tests.staging import a_run, nap, say, slow

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/executions/run/"
RETRY = {"max_attempts": 3, "base_seconds": 1, "cap_seconds": 1}


def page_of(run: Run, deed: str = "change") -> str:
    return f"{LIST}{run.pk}/{deed}/"


def ended(bellboy: Bellboy, *steps: dict[str, Any], **columns: Any) -> Run:
    run = a_run(*steps, **columns)
    bells.ring_advance([str(run.pk)])
    bells.ring_admit("http")
    bellboy.answer_all()
    run.refresh_from_db()
    return run


def failing(slow_step: ScriptedSlow, *codes: str) -> None:
    """The step's next attempts: a code fails it, "" lets it pass."""
    waiting = list(codes)

    def script(request: Any, context: Any) -> dict[str, Any]:
        code = waiting.pop(0) if waiting else ""
        if code == "http.client_error":
            raise PermanentStepError(
                code, "example.com answered 400.", sent=True, answered=True, status_code=400
            )
        if code:
            raise TransientStepError(
                code, "example.com answered 503.", sent=True, answered=True, status_code=503
            )
        return {"body": {"id": "rec_1"}, "status_code": 200}

    slow_step.script = script


def cells(row: Element) -> list[str]:
    return [words_of(cell) for cell in row.children("td")]


@pytest.fixture
def ada() -> Client:
    return a_person()


def test_a_run_tells_its_steps_its_attempts_and_its_timeline(
    ada: Client, bellboy: Bellboy, slow_step: ScriptedSlow, due_now: Any
) -> None:
    # Given a run whose first step failed once before it went well
    failing(slow_step, "http.unavailable", "")
    steps = [slow("call", name="Call them", retry=RETRY), say("note", "it was {{ call.status_code }}")]
    run = ended(bellboy, *steps)
    due_now()
    bellboy.answer_all()

    # When
    page = dom_of(ada.get(page_of(run)))

    # Then both attempts stand in the step's table
    rows = page.one("table", class_="lf-tries").text
    assert "Refused" in rows
    assert "http.unavailable" in rows
    assert [words_of(step)[:13] for step in page.all("li", class_="lf-step")] == [
        "1 Call them c",
        "2 note note ·",
    ]
    # And the output, the single values first
    assert page.all("pre", aria_label="Output")[0].text.index("status_code") < 30
    # And the timeline, in order and in words
    told = [words_of(line) for line in page.all("p", class_="lf-timeline-text")]
    assert re.fullmatch(r"call, attempt 1 failed, again after \d+ ms http.unavailable", told.pop(3))
    assert told == [
        "Run created from its event",
        "Run started",
        "call started, attempt 1",
        "call started, attempt 2",
        "call completed",
        "note started, attempt 1",
        "note logged",
        "note completed",
        "Run completed",
    ]
    assert words_of(page.all("p", class_="lf-quote")[-1]) == "it was 200"


def test_a_failed_run_says_why_and_what_to_do(ada: Client, bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failing(slow_step, "http.client_error")
    run = ended(bellboy, slow("call", name="Call them"), say("later"))

    page = dom_of(ada.get(page_of(run)))

    failure = words_of(page.one("section", aria_label="Why the run failed"))
    assert "The receiver refused the request with a 4xx status." in failure
    assert "http.client_error in step 1, Call them" in failure
    assert "What to do: Correct the request" in failure
    assert "example.com answered 400." in failure
    assert "status_code400" in failure
    assert "Skipped: a step before it failed." in page.text


def test_the_request_is_shown_without_its_secrets(
    ada: Client, bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    config = {"url": "https://example.com/?api_key=k1", "headers": {"Authorization": "Bearer sk_live_1"}}
    run = ended(bellboy, {"key": "call", "type": "slow", "config": config})

    page = dom_of(ada.get(page_of(run)))

    request = page.one("pre", aria_label="Request as sent").text
    assert "example.com" in request
    for secret in ("sk_live_1", "=k1"):
        assert secret not in page.text
    assert f"{run.pk}:call" in page.text  # the idempotency key


def test_steps_whose_turn_has_not_come_are_there_and_the_page_renews_itself(ada: Client) -> None:
    run = a_run(nap("rest"), say("note"))

    page = dom_of(ada.get(page_of(run)))

    assert [words_of(step)[:10] for step in page.all("li", class_="lf-step-later")] == ["2 note not"]
    assert page.all("span", data_live="2000")
    assert "Cancel" in page.text


def test_a_finished_run_does_not_renew_itself(ada: Client, bellboy: Bellboy) -> None:
    run = ended(bellboy, say())

    page = dom_of(ada.get(page_of(run)))

    assert page.all("span", data_live="2000") == []
    assert [words_of(button) for button in page.all("button", class_="lf-button")] == []


def test_a_sleeping_step_says_when_it_wakes(ada: Client, bellboy: Bellboy) -> None:
    run = ended(bellboy, nap("rest", seconds=7200))

    assert "Wakes in 1 h." in dom_of(ada.get(page_of(run))).text


def test_cancel(ada: Client) -> None:
    run = a_run(nap())

    answer = ada.post(page_of(run, "cancel"), follow=True)

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert "The run is cancelled." in dom_of(answer).text
    assert "Run cancelled by ada" in dom_of(answer).text
    assert AuditEntry.objects.get(action="run.cancelled").actor == "ada"


def test_replay_leads_to_the_new_run_and_back(ada: Client, bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    failing(slow_step, "http.client_error", "")
    run = ended(bellboy, say("first"), slow("call"))

    answer = ada.post(page_of(run, "replay"), follow=True)

    new = Run.objects.get(replay_of=run)
    assert answer.redirect_chain[-1][0] == page_of(new)
    page = dom_of(answer)
    assert page_of(run) in [link.attributes["href"] for link in page.all("a", class_="lf-link")]
    assert "Taken over" in page.text
    old = dom_of(ada.get(page_of(run)))
    assert page_of(new) in [link.attributes["href"] for link in old.all("a", class_="lf-link")]
    assert "Replay" not in [words_of(button) for button in old.all("button", class_="lf-button")]


def test_deeds_that_come_too_late_say_so(ada: Client, bellboy: Bellboy) -> None:
    run = ended(bellboy, say())

    for deed, words in (("cancel", "cannot be cancelled"), ("replay", "cannot be replayed")):
        answer = ada.post(page_of(run, deed), follow=True)
        assert words in dom_of(answer).text
    assert ada.get(page_of(run, "cancel")).status_code == 405


def test_runs_are_found_by_id_beginning_trace_event_and_key(ada: Client, bellboy: Bellboy) -> None:
    run = ended(bellboy, say(), idempotency_key="order 7/é")
    ended(bellboy, say())
    terms = (
        str(run.pk),
        run.pk.hex,
        str(run.pk)[:23],
        run.trace_id,
        str(run.event_id),
        " order 7/é ",
    )

    for term in terms:
        found = dom_of(ada.get(LIST, {"q": term})).all("tr", class_="data-row")
        assert [words_of(row.children("th")[0]) for row in found] == [str(run.pk)[-8:]], term


@pytest.mark.parametrize("term", ["nothing", "%", "'", "0199", "zz" * 16, "x" * 5000])
def test_other_words_find_nothing(ada: Client, bellboy: Bellboy, term: str) -> None:
    ended(bellboy, say())

    answer = ada.get(LIST, {"q": term})

    assert answer.status_code == 200
    assert dom_of(answer).all("tr", class_="data-row") == []


@pytest.mark.parametrize("name", ["q", "error_code", "workflow"])
def test_a_character_that_no_row_holds_is_a_bad_request(ada: Client, name: str) -> None:
    assert ada.get(LIST, {name: "\x00"}).status_code == 400


def test_runs_are_filtered_by_status_workflow_code_and_age(
    ada: Client, bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    failing(slow_step, "http.client_error")
    good, bad = ended(bellboy, say()), ended(bellboy, slow())

    def found(**filters: Any) -> list[str]:
        rows = dom_of(ada.get(LIST, filters)).all("tr", class_="data-row")
        return [words_of(row.children("th")[0]) for row in rows]

    assert found() == [str(bad.pk)[-8:], str(good.pk)[-8:]]
    assert found(status="failed") == found(error_code="http.client_error") == [str(bad.pk)[-8:]]
    assert found(workflow=good.workflow_id) == found(status="completed", since="1h") == [str(good.pk)[-8:]]
    assert found(workflow="x") == found(error_code="x' OR 1=1") == []
    assert found(since="nonsense") == found()
    assert ada.get(LIST, {"status": "nonsense"}).status_code == 400


def test_nothing_about_a_run_can_be_edited_added_or_deleted(ada: Client, bellboy: Bellboy) -> None:
    run = ended(bellboy, say())

    assert ada.get(f"{LIST}add/").status_code == 403
    assert ada.post(page_of(run, "delete"), {"post": "yes"}).status_code == 403
    answer = ada.post(page_of(run), {"status": "failed"})
    run.refresh_from_db()
    assert (answer.status_code, run.status) == (200, "completed")  # a page is all that POST gets
    assert StepRun.objects.count() == 1


def test_who_may_not_read_events_sees_how_a_run_went_and_nothing_of_what_it_carried(
    bellboy: Bellboy, slow_step: ScriptedSlow
) -> None:
    # Given a run whose every text holds the same word
    slow_step.script = lambda request, context: {"echo": "canary"}
    workflow = a_published_workflow(steps=[slow("call"), say("note", "{{ call.echo }}")])
    run = ended(bellboy, workflow=workflow, payload={"n": "canary"}, idempotency_key="canary-key")

    # When one looks who may see it all, and one who may see runs only
    everything = dom_of(a_person().get(page_of(run)))
    page = dom_of(a_person(*VIEWER, name="vera").get(page_of(run)))

    # Then
    assert everything.text.count("canary") >= 5
    assert "canary" not in page.text
    assert "canary" not in str([element.attributes for element in page.elements])
    assert "call completed" in page.text
    assert page.all("button", class_="lf-button") == []


def test_an_unknown_run_is_not_found(ada: Client) -> None:
    assert ada.get(f"{LIST}0199c0de-0000-7000-8000-000000000000/change/").status_code == 404
    assert ada.get(f"{LIST}nonsense/change/").status_code == 404


def test_a_record_step_tells_what_it_was_to_write_and_that_it_was_written_once(
    ada: Client, bellboy: Bellboy
) -> None:
    run = ended(bellboy, create("contact", email="ada@example.com"))

    page = dom_of(ada.get(page_of(run)))

    assert "ada@example.com" in page.one("pre", aria_label="What was to be written").text
    assert "Written once, together with this step's end" in words_of(page.one("p", class_="lf-effect"))
    assert "Sent" not in words_of(page.one("p", class_="lf-effect"))
