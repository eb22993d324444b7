"""A chain of runs, read from either end: in the API and in the admin."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from executions import causal_chain
from executions.models import Run
from lightfield.kernel import sql
from tests.admin_client import VIEWER, a_person
from tests.api_client import ApiCaller, code_of
from tests.bellboy import Bellboy
from tests.dom import Element, dom_of, words_of
from tests.factories import a_published_workflow, an_event
from tests.leading_on import a_starter, play, starting_others
from tests.staging import a_run, say
from triggers.models import OutboxEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]


@pytest.fixture
def starter() -> Iterator[None]:
    with starting_others():
        yield


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


@pytest.fixture
def family(bellboy: Bellboy, starter: None) -> dict[str, Run]:
    """`a` starts `b` and `c`; `b` starts `d` and itself, which is ignored."""
    a_starter("d")
    a_starter("c")
    a_starter("b", "d", "b")
    play(bellboy, a_starter("a", "b", "c"))
    return {run.workflow.name: run for run in Run.objects.select_related("workflow")}


def named(links: list[dict[str, Any]]) -> list[str]:
    """`b` with its run's status, or the code of an event that has none."""
    return [f"{link['workflow_name']} {link['run_status'] or link['error_code']}" for link in links]


def test_from_its_first_run_a_chain_shows_all_that_followed(api: ApiCaller, family: dict[str, Run]) -> None:
    chain = api.get(f"/runs/{family['a'].pk}/chain").json()

    assert list(chain) == ["trace_id", "path", "led_to", "has_more"]
    assert chain["trace_id"] == family["a"].trace_id
    assert named(chain["path"]) == ["a completed"]
    # Each followed by what it led to in turn.
    assert named(chain["led_to"]) == ["b completed", "d completed", "b trigger.own_change", "c completed"]
    assert [link["depth"] for link in chain["led_to"]] == [1, 2, 2, 1]
    assert chain["has_more"] is False


def test_from_its_last_run_a_chain_shows_all_that_led_there(api: ApiCaller, family: dict[str, Run]) -> None:
    chain = api.get(f"/runs/{family['d'].pk}/chain").json()

    assert named(chain["path"]) == ["a completed", "b completed", "d completed"]
    assert [link["depth"] for link in chain["path"]] == [0, 1, 2]
    causes = [link["caused_by"] for link in chain["path"]]
    assert causes == [None, str(family["a"].pk), str(family["b"].pk)]
    assert chain["led_to"] == []


def test_from_the_middle_both_ends_can_be_seen(api: ApiCaller, family: dict[str, Run]) -> None:
    chain = api.get(f"/runs/{family['b'].pk}/chain").json()

    assert named(chain["path"]) == ["a completed", "b completed"]
    assert named(chain["led_to"]) == ["d completed", "b trigger.own_change"]
    ignored = chain["led_to"][1]
    assert (ignored["run_id"], ignored["event_status"]) == (None, "ignored")


def test_runs_and_events_name_their_cause_and_share_a_trace(api: ApiCaller, family: dict[str, Run]) -> None:
    first, last = (api.get(f"/runs/{family[name].pk}").json() for name in "ad")
    assert (first["caused_by"], first["depth"]) == (None, 0)
    assert (last["caused_by"], last["depth"]) == (str(family["b"].pk), 2)

    event = api.get(f"/events/{last['event_id']}").json()
    assert (event["caused_by"], event["depth"]) == (str(family["b"].pk), 2)

    traced = api.get(f"/runs?trace_id={first['trace_id']}").json()["results"]
    assert {run["id"] for run in traced} == {str(run.pk) for run in family.values()}


def test_what_a_run_led_to_is_a_list_of_events_too(api: ApiCaller, family: dict[str, Run]) -> None:
    pages = api.pages(f"/events?caused_by={family['b'].pk}&limit=1")

    found = [row for page in pages for row in page]
    assert [(row["status"], row["error_code"]) for row in found] == [
        ("ignored", "trigger.own_change"),
        ("dispatched", None),
    ]
    assert api.get("/events?caused_by=nonsense").status_code == 400


def test_given_a_replay_then_both_runs_of_the_event_stand_in_the_chain(
    api: ApiCaller, bellboy: Bellboy, starter: None
) -> None:
    cause = play(bellboy, a_published_workflow(name="cause"))
    run = a_run(say("one", "{{ trigger.missing }}"), caused_by=cause.pk, depth=1)
    api.post(f"/runs/{run.pk}/cancel")
    again = api.post(f"/runs/{run.pk}/replay").json()["run_id"]

    led_to = api.get(f"/runs/{cause.pk}/chain").json()["led_to"]
    assert [link["run_id"] for link in led_to] == [str(run.pk), again]
    assert [link["event_id"] for link in led_to] == [str(run.event_id)] * 2
    assert api.get(f"/runs/{again}/chain").json()["path"][-1]["run_id"] == again


def test_given_more_than_a_hundred_then_the_nearest_are_listed_and_it_says_so(
    api: ApiCaller, bellboy: Bellboy
) -> None:
    root = play(bellboy, a_published_workflow(name="root"))
    other = a_published_workflow(name="other")
    near = [play(bellboy, other, caused_by=root.pk, depth=1) for _ in range(3)]
    for run in near:
        for _ in range(40):
            an_event(other, caused_by=run.pk, depth=2)

    chain = api.get(f"/runs/{root.pk}/chain").json()

    assert (len(chain["led_to"]), chain["has_more"]) == (100, True)
    assert {link["run_id"] for link in chain["led_to"] if link["depth"] == 1} == {str(run.pk) for run in near}


def test_a_chain_costs_one_statement_however_long_and_wide_it_is(
    api: ApiCaller, bellboy: Bellboy, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflows = [a_published_workflow(name=name) for name in ("ping", "pong")]
    runs = [play(bellboy, workflows[0])]
    for depth in range(1, 9):
        runs.append(play(bellboy, workflows[depth % 2], caused_by=runs[-1].pk, depth=depth))
    for _ in range(50):
        an_event(workflows[0], caused_by=runs[-1].pk, depth=9)
    asked: list[str] = []
    send = sql.rows

    def rows(statement: str, params: Any) -> Any:
        asked.append(statement)
        return send(statement, params)

    monkeypatch.setattr(sql, "rows", rows)
    api.get("/runs")  # marks the key as used

    for run, path, led_to in ((runs[0], 1, 58), (runs[8], 9, 50)):
        asked.clear()
        with CaptureQueriesContext(connection) as captured:
            chain = api.get(f"/runs/{run.pk}/chain").json()
        assert (len(chain["path"]), len(chain["led_to"])) == (path, led_to)
        assert asked == [causal_chain.CHAIN]
        assert len(captured) == 1  # the key


def test_a_chain_of_no_run_is_not_found(api: ApiCaller) -> None:
    assert code_of(api.get(f"/runs/{uuid.uuid4()}/chain")) == (404, "request.not_found")


def test_given_a_cause_that_is_gone_then_the_chain_begins_where_it_is_known(
    api: ApiCaller, bellboy: Bellboy
) -> None:
    run = play(bellboy, a_published_workflow(name="orphan"), caused_by=uuid.uuid4(), depth=3)

    assert named(api.get(f"/runs/{run.pk}/chain").json()["path"]) == ["orphan completed"]
    page = dom_of(a_person().get(f"/admin/executions/run/{run.pk}/change/"))
    assert "by a webhook event" in words_of(page.one("p", class_="lf-lead"))


# --- in the admin -------------------------------------------------------------------------------------


def run_page(person: Client, run: Run) -> Any:
    return dom_of(person.get(f"/admin/executions/run/{run.pk}/change/"))


def said(page: Any) -> list[Element]:
    """Of each row of the chain what stands between its badge and its instant."""
    rows = page.one("ol", class_="lf-chain").children("li")
    return [span for row in rows for span in row.children("span") if span.has_class("lf-row-main")]


def chain_in(page: Any) -> list[str]:
    return [words_of(element) for element in said(page)]


def links_in(page: Any) -> list[str]:
    return [link.attributes["href"] for element in said(page) for link in element.children("a")]


def test_a_runs_page_says_what_caused_it_and_what_it_led_to(family: dict[str, Run]) -> None:
    a, b, d = (family[name] for name in "abd")
    ignored = OutboxEvent.objects.get(status="ignored")

    page = run_page(a_person(), b)

    lead = page.one("p", class_="lf-lead")
    assert f"by a change that run {str(a.pk)[-8:]} of a made" in words_of(lead)
    assert lead.children("a")[0].attributes["href"] == f"/admin/executions/run/{a.pk}/change/"
    assert chain_in(page) == [
        f"a {str(a.pk)[-8:]}",
        f"b {str(b.pk)[-8:]} this run",
        f"d {str(d.pk)[-8:]}",
        f"b event {str(ignored.pk)[-8:]} trigger.own_change",
    ]
    assert links_in(page) == [
        f"/admin/executions/run/{a.pk}/change/",
        f"/admin/executions/run/{d.pk}/change/",
        f"/admin/triggers/outboxevent/{ignored.pk}/change/",
    ]


def test_who_may_not_see_events_is_led_to_none(family: dict[str, Run]) -> None:
    page = run_page(a_person(*VIEWER), family["b"])

    assert links_in(page) == [f"/admin/executions/run/{family[name].pk}/change/" for name in "ad"]


def test_a_run_that_stands_alone_shows_no_chain(bellboy: Bellboy) -> None:
    page = run_page(a_person(), play(bellboy, a_published_workflow()))

    assert page.all("ol", class_="lf-chain") == []
    assert "by a webhook event" in words_of(page.one("p", class_="lf-lead"))


def test_an_events_page_says_the_same_both_ways(family: dict[str, Run]) -> None:
    ada, a, b = a_person(), family["a"], family["b"]
    ignored = OutboxEvent.objects.get(status="ignored")

    page = dom_of(ada.get(f"/admin/triggers/outboxevent/{ignored.pk}/change/"))
    lead = words_of(page.one("p", class_="lf-lead"))
    assert "the workflow made this change itself" in lead
    assert f"A change that run {str(b.pk)[-8:]} of b made led to it." in lead
    assert chain_in(page) == [
        f"a {str(a.pk)[-8:]}",
        f"b {str(b.pk)[-8:]}",
        f"b event {str(ignored.pk)[-8:]} this event trigger.own_change",
    ]
    assert links_in(page) == [f"/admin/executions/run/{run.pk}/change/" for run in (a, b)]
    assert "its own changes do not start it" in page.one("section", class_="lf-failure").text

    page = dom_of(ada.get(f"/admin/triggers/outboxevent/{b.event_id}/change/"))
    assert chain_in(page)[1] == f"b {str(b.pk)[-8:]} this event"
    assert len(chain_in(page)) == 4
