"""What holds of every page of the admin: who may open it, what a post needs, how much it asks the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.models import Account, Contact, Meeting, Note, Opportunity, Task
from executions.models import Heartbeat, Run
from lightfield.content_policy import POLICY
from lightfield.kernel import bells, sql
from tests.admin_client import a_person
from tests.bellboy import Bellboy
from tests.dom import Dom, dom_of, words_of
from tests.factories import a_published_workflow, a_workflow, an_event
from triggers.deliveries.models import Delivery, UnmatchedDay
from triggers.models import OutboxEvent
from workflows.models import Workflow

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = {
    "/admin/workflows/workflow/": "workflows.view_workflow",
    "/admin/workflows/workflowversion/": "workflows.view_workflowversion",
    "/admin/triggers/trigger/": "triggers.view_trigger",
    "/admin/triggers/outboxevent/": "triggers.view_outboxevent",
    "/admin/triggers/delivery/": "triggers.view_delivery",
    "/admin/executions/run/": "executions.view_run",
    "/admin/executions/lane/": "executions.view_lane",
    "/admin/executions/heartbeat/": "executions.view_heartbeat",
    "/admin/crm/account/": "crm.view_account",
    "/admin/crm/contact/": "crm.view_contact",
    "/admin/crm/opportunity/": "crm.view_opportunity",
    "/admin/crm/meeting/": "crm.view_meeting",
    "/admin/crm/task/": "crm.view_task",
    "/admin/crm/note/": "crm.view_note",
    "/admin/auth/user/": "auth.view_user",
    "/admin/auth/group/": "auth.view_group",
    "/admin/django_celery_beat/periodictask/": "django_celery_beat.view_periodictask",
    "/admin/django_celery_beat/intervalschedule/": "django_celery_beat.view_intervalschedule",
    "/admin/django_celery_beat/crontabschedule/": "django_celery_beat.view_crontabschedule",
}
# Every address that changes something, and what it takes.
DEEDS = {
    "/admin/workflows/workflow/add/": "workflows.add_workflow",
    "/admin/workflows/workflow/{workflow}/change/": "workflows.change_workflow",
    "/admin/workflows/workflow/{workflow}/publish/": "workflows.publish_workflow",
    "/admin/workflows/workflow/{workflow}/pause/": "workflows.publish_workflow",
    "/admin/workflows/workflow/{workflow}/resume/": "workflows.publish_workflow",
    "/admin/workflows/workflow/{workflow}/archive/": "workflows.publish_workflow",
    "/admin/workflows/workflow/{workflow}/rotate/": "triggers.change_trigger",
    "/admin/workflows/workflow/{workflow}/run/": "workflows.run_workflow",
    "/admin/workflows/workflow/{workflow}/samples/take/": "workflows.change_workflow",
    "/admin/workflows/workflow/{workflow}/samples/throw/": "workflows.change_workflow",
    "/admin/triggers/delivery/{delivery}/send-again/event/": "workflows.run_workflow",
    "/admin/executions/run/{run}/cancel/": "executions.cancel_run",
    "/admin/executions/run/{run}/replay/": "executions.replay_run",
    "/admin/triggers/outboxevent/{event}/dispatch-again/": "triggers.change_outboxevent",
    "/admin/crm/account/add/": "crm.add_account",
    "/admin/crm/account/{account}/change/": "crm.change_account",
    "/admin/crm/account/{account}/delete/": "crm.delete_account",
}
CANARY = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'`{{7*7}}"


@pytest.fixture(autouse=True)
def nothing_cached() -> None:
    cache.clear()


def world(bellboy: Bellboy, *, workflows: int = 1, words: str = "words", key: str = "k") -> dict[str, str]:
    """Workflows with a run each, everything that people or senders write saying `words`."""
    steps = [
        {"key": "say", "name": words, "type": "log", "config": {"message": "{{ trigger.note }}"}},
        {"key": "fail", "name": words, "type": "log", "config": {"message": "{{ trigger.missing }}"}},
    ]
    for number in range(workflows):
        workflow = a_published_workflow(name=words, description=words, steps=steps)
        event = an_event(
            workflow, payload={"note": words, words: [words]}, idempotency_key=f"{key}{number}{words}"
        )
        delivery = a_delivery(event, words)
        bells.ring_dispatch(event.shard)
        Heartbeat.objects.create(node=f"fast@{key}{number}{words}", queue="fast")
        account = records(words)
    bellboy.answer_all()
    run = Run.objects.get(event=event)
    return {
        "workflow": str(workflow.pk),
        "run": str(run.pk),
        "event": str(event.pk),
        "account": str(account.pk),
        "delivery": str(delivery.pk),
    }


def a_delivery(event: OutboxEvent, words: str) -> Delivery:
    """Of an event, and of one that came again with another body."""
    shared = {
        "trigger_id": event.trigger_id,
        "workflow_id": event.workflow_id,
        "event_id": event.pk,
        "address": words[:64],
        "content_type": words[:100],
        "headers": {words: words},
    }
    other = {"verdict": "body_mismatch", "answer": 409, "body": {words: words}, "detail": {words: words}}
    Delivery.objects.create(**shared, **other)
    UnmatchedDay.objects.get_or_create(day=timezone.now().date(), defaults={"count": 7})
    return Delivery.objects.create(**shared, verdict="accepted", answer=202, digest=b"d" * 32, size=3)


def records(words: str) -> Account:
    """One of each kind, all of them concerning the account."""
    account = Account.objects.create(
        name=words, industry=[words], account_status=words, custom={words: words}
    )
    contact = Contact.objects.create(last_name=words, title=words, account=account)
    deal = Opportunity.objects.create(name=words, stage=words, account=account, champion=contact)
    noon = timezone.now()
    meeting = Meeting.objects.create(
        title=words, start_date=noon, end_date=noon, transcript=words, account=account
    )
    Task.objects.create(title=words, account=account, opportunity=deal)
    Note.objects.create(title=words, content=words, account=account, meeting=meeting)
    return account


def pages(ids: dict[str, str]) -> list[str]:
    """Every page there is, with rows."""
    version = Workflow.objects.get(pk=ids["workflow"]).active_version_id
    workflow = f"/admin/workflows/workflow/{ids['workflow']}"
    trigger = Workflow.objects.get(pk=ids["workflow"]).trigger.pk
    return [
        "/admin/",
        *LISTS,
        "/admin/crm/account/add/",
        f"/admin/crm/account/{ids['account']}/change/",
        f"/admin/crm/account/{ids['account']}/delete/",
        "/admin/workflows/workflow/add/?starter=forward",
        *(f"{workflow}/{page}/" for page in ("change", "run", "archive", "rotate")),
        f"/admin/workflows/workflowversion/{version}/change/?against=draft",
        f"/admin/triggers/trigger/{trigger}/change/",
        f"/admin/executions/run/{ids['run']}/change/",
        f"/admin/triggers/outboxevent/{ids['event']}/change/",
        *(
            f"/admin/triggers/delivery/{delivery.pk}/change/"
            for delivery in Delivery.objects.filter(event_id=ids["event"]).order_by("answer")
        ),
    ]


def test_every_page_opens_with_the_content_policy_and_without_scripts_or_handlers_in_it(
    bellboy: Bellboy,
) -> None:
    ada = a_person()

    for path in pages(world(bellboy)):
        answer = ada.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["Content-Security-Policy"] == POLICY
        page = dom_of(answer)
        assert inline_scripts(page) == [], path
        assert handlers(page) == [], path
        assert [e.tag for e in page.elements if "//" in e.attributes.get("src", "")] == [], path


def test_whatever_people_and_senders_write_stays_text(bellboy: Bellboy) -> None:
    # Given two worlds that differ in their words only
    ada = a_person()
    plain = [dom_of(ada.get(path)) for path in pages(world(bellboy))]
    Heartbeat.objects.all().delete()
    hostile_ids = world(bellboy, words=CANARY, key="h")

    # When
    hostile = [(path, dom_of(ada.get(path))) for path in pages(hostile_ids)]

    # Then no page has an element that the words made, and they are there to be read
    for (path, page), before in zip(hostile, plain, strict=True):
        assert page.tags()["img"] == before.tags()["img"], path
        assert inline_scripts(page) == handlers(page) == [], path
        assert [name for e in page.elements for name in e.attributes if name.startswith("onerror")] == []
    for path, page in hostile[-3:]:
        assert "onerror=alert(1)" in page.text, path
        assert "{{7*7}}" in page.text, path  # and no template was rendered with them


def test_the_words_of_errors_and_of_the_person_stay_text_too(bellboy: Bellboy) -> None:
    workflow = a_workflow()
    eve = a_person(name=f"eve{CANARY[:20]}")

    for typed in (
        CANARY,
        f'{{"{CANARY[:3]}": 1}}',
        f'{{"schema": 1, "name": "{CANARY[:28]}", "{CANARY[:4]}": 1}}',
    ):
        page = dom_of(eve.post(f"/admin/workflows/workflow/{workflow.pk}/change/", {"definition": typed}))
        assert page.one("ul", class_="lf-problems").children("li")
        assert page.one("textarea", name="definition").text.strip("\n") == typed
        assert inline_scripts(page) == handlers(page) == []
    page = dom_of(eve.get("/admin/executions/run/", {"q": CANARY}))
    assert page.one("input", id="searchbar").attributes["value"] == CANARY
    assert inline_scripts(page) == handlers(page) == []


def test_lists_ask_the_same_few_questions_however_long_they_are(
    bellboy: Bellboy, django_assert_max_num_queries: Any
) -> None:
    ada = a_person()
    paths = [path for path in LISTS if "/auth/" not in path and "beat" not in path]
    world(bellboy)
    few = {path: _queries(ada, path) for path in paths}

    world(bellboy, workflows=12, key="more")

    assert {path: _queries(ada, path) for path in paths} == few
    assert max(few.values()) <= 6, few  # session and user are two of them


def test_a_page_of_its_own_asks_a_fixed_number_of_questions(bellboy: Bellboy) -> None:
    ids = world(bellboy)
    ada = a_person()
    version = Workflow.objects.get().active_version_id

    # Session and user are two of them in each.
    assert _queries(ada, "/admin/") <= 8
    assert _queries(ada, f"/admin/workflows/workflow/{ids['workflow']}/change/") <= 8
    assert _queries(ada, f"/admin/workflows/workflowversion/{version}/change/") <= 5
    assert (
        _queries(ada, f"/admin/executions/run/{ids['run']}/change/") <= 10
    )  # of a failed one, whom it is told to
    assert _queries(ada, f"/admin/triggers/outboxevent/{ids['event']}/change/") <= 6
    assert _queries(ada, f"/admin/triggers/delivery/{ids['delivery']}/change/") <= 5


def test_nobody_opens_a_page_without_signing_in(bellboy: Bellboy) -> None:
    for path in pages(world(bellboy)):
        answer = Client().get(path)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/admin/login/")


@pytest.mark.parametrize("path", LISTS)
def test_a_list_takes_its_own_permission_and_the_sidebar_shows_only_that(path: str, bellboy: Bellboy) -> None:
    world(bellboy)
    other = "auth.view_permission"

    assert a_person(LISTS[path], name="vera").get(path).status_code == 200
    nina = a_person(other, name="nina")
    assert nina.get(path).status_code == 403
    assert path not in [link.attributes.get("href") for link in dom_of(nina.get("/admin/")).all("a")]


@pytest.mark.parametrize("path", DEEDS)
def test_a_deed_takes_its_permission_and_a_csrf_token(path: str, bellboy: Bellboy) -> None:
    path_here = path.format(**world(bellboy))
    needed = DEEDS[path]
    everything_else = [
        permission for permission in {*DEEDS.values(), *LISTS.values()} if permission != needed
    ]

    assert a_person(*everything_else, name="nina").post(path_here).status_code == 403
    allowed = a_person(needed, name="vera").post(path_here)
    assert allowed.status_code in (200, 302)
    assert a_person(name="carl", enforce_csrf_checks=True).post(path_here).status_code == 403


def test_who_may_not_see_the_address_does_not(bellboy: Bellboy) -> None:
    ids = world(bellboy)
    vera = a_person("workflows.view_workflow", name="vera")

    page = dom_of(vera.get(f"/admin/workflows/workflow/{ids['workflow']}/change/"))

    assert "/hooks/" not in str([element.attributes for element in page.elements]) + page.text
    assert page.one("textarea", name="definition").attributes.get("readonly") == ""
    assert page.all("button", class_="lf-button") == []


def test_the_overview_counts_what_happened_and_names_what_needs_a_look(bellboy: Bellboy) -> None:
    ids = world(bellboy)
    event = OutboxEvent.objects.get(pk=ids["event"])
    an_event(event.workflow, status="poison", error_code="engine.dispatch_failed", tries=3)

    page = dom_of(a_person().get("/admin/"))

    figures = {
        words_of(f.children("span")[0]): words_of(f.children("strong")[0])
        for f in page.all("a", class_="lf-figure")
    }
    assert figures == {
        "Events, 24 hours": "2",
        "Runs, 24 hours": "1",
        "Failed runs": "1",
        "Oldest waiting event": "none",
        "Poison events": "1",
    }
    assert "1 thing to look at" in page.text
    assert "1 poison event waits for a person to look at." in [
        link.text for link in page.all("a", href="/admin/triggers/outboxevent/?status=poison")
    ]
    assert "template.unresolved" in page.text
    assert len(page.one("ol", class_="lf-chart").children("li")) == 24
    assert "/api/docs" in [link.attributes.get("href") for link in page.all("a", class_="lf-button")]
    assert "http://testserver:5555/" in [
        link.attributes.get("href") for link in page.all("a", class_="lf-button")
    ]


def test_an_overview_of_nothing_is_calm() -> None:
    page = dom_of(a_person().get("/admin/"))

    assert "Everything moves" in page.text
    assert "No runs in the last 24 hours." in page.text


def test_the_overview_tells_nothing_to_who_may_see_nothing(bellboy: Bellboy) -> None:
    world(bellboy)

    page = dom_of(a_person("workflows.view_workflow", name="vera").get("/admin/"))

    assert page.all("a", class_="lf-figure") == []
    assert "template.unresolved" not in page.text


def test_pages_that_are_not_there_look_like_ours() -> None:
    answer = a_person().get("/admin/nothing/here/")

    assert answer.status_code == 404
    assert "There is nothing here" in dom_of(answer).text


def inline_scripts(page: Dom) -> list[str]:
    return [
        e.text
        for e in page.all("script")
        if "src" not in e.attributes and e.attributes.get("type") != "application/json"
    ]


def handlers(page: Dom) -> list[str]:
    return [name for element in page.elements for name in element.attributes if name.startswith("on")]


def _queries(person: Client, path: str) -> int:
    """Statements of one page, those past the ORM included."""
    past_the_orm: list[str] = []

    def rows(statement: str, params: Any) -> Any:
        past_the_orm.append(statement)
        return real(statement, params)

    cache.clear()
    real = sql.rows
    with pytest.MonkeyPatch.context() as patch, CaptureQueriesContext(connection) as caught:
        patch.setattr(sql, "rows", rows)  # `sql.row` calls it too
        assert person.get(path).status_code == 200
    return len(caught) + len(past_the_orm)
