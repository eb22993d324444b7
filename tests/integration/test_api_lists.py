"""Every list of the API: cursor pages, limits, filters that are refused, and what a page costs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.models import Contact
from executions.models import Run, StepRun, TimelineEntry
from tests.api_client import ApiCaller, code_of
from tests.factories import a_published_workflow, a_workflow, active_version_of, an_event
from triggers.models import Decision, Trigger
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db

ROWS = 23


@pytest.fixture
def api() -> ApiCaller:
    return ApiCaller()


@pytest.fixture
def workflow() -> Workflow:
    return a_published_workflow()


def workflows(workflow: Workflow) -> str:
    for _ in range(ROWS - 1):
        a_workflow()
    return "/workflows"


def versions(workflow: Workflow) -> str:
    first = active_version_of(workflow)
    for number in range(2, ROWS + 1):
        WorkflowVersion.objects.create(
            workflow=workflow, number=number, definition=first.definition, plan=first.plan, checksum="x"
        )
    return f"/workflows/{workflow.pk}/versions"


def events(workflow: Workflow) -> str:
    for _ in range(ROWS):
        a_run_of(workflow)
    return f"/events?workflow={workflow.pk}"


def runs(workflow: Workflow) -> str:
    for _ in range(ROWS):
        a_run_of(workflow)
    return f"/runs?workflow={workflow.pk}"


def timeline(workflow: Workflow) -> str:
    run = a_run_of(workflow)
    for seq in range(1, ROWS + 1):
        TimelineEntry.objects.create(run=run, seq=seq, type="step.logged", at=timezone.now())
    return f"/runs/{run.pk}/timeline"


def a_run_of(workflow: Workflow) -> Run:
    """A row as the dispatcher makes it, without the work."""
    event = an_event(workflow)
    return Run.objects.create(
        event=event, workflow=workflow, version=event.version, trace_id=event.trace_id, status="pending"
    )


def records(workflow: Workflow) -> str:
    Contact.objects.bulk_create(Contact(email=f"{number}@example.com") for number in range(ROWS))
    return "/crm/contacts"


def decisions(workflow: Workflow) -> str:
    """From two tables, in turn and in runs."""
    trigger = Trigger.objects.get(workflow=workflow)
    for number in range(ROWS):
        if number % 3 and number > 8:
            a_run_of(workflow)
        else:
            Decision.objects.create(
                trigger=trigger, at=timezone.now(), verdict="unchanged", subject=str(number)
            )
    return f"/workflows/{workflow.pk}/decisions"


LISTS = [workflows, versions, events, runs, timeline, records, decisions]


@pytest.mark.parametrize("a_list", LISTS)
def test_pages_forward_and_back_hold_every_row_once_and_in_order(api, workflow, a_list: Callable[..., str]):
    path = a_list(workflow)
    (whole,) = api.pages(path)
    assert len(whole) == ROWS
    mark = "?" if "?" not in path else "&"

    forward = api.pages(f"{path}{mark}limit=5")
    assert [len(page) for page in forward] == [5, 5, 5, 5, 3]
    assert [row for page in forward for row in page] == whole

    last = f"{path}{mark}limit=5"
    while following := api.get(last).json()["next"]:
        last = following
    backward = api.pages(last, link="previous")
    assert backward == forward[::-1]


@pytest.mark.parametrize("a_list", LISTS)
def test_the_first_page_has_no_previous_and_the_last_no_next(api, workflow, a_list):
    path = a_list(workflow)

    whole = api.get(path).json()
    assert list(whole) == ["next", "previous", "results"]
    assert (whole["next"], whole["previous"]) == (None, None)
    mark = "?" if "?" not in path else "&"
    first = api.get(f"{path}{mark}limit={ROWS - 1}").json()
    assert first["previous"] is None
    last = api.get(first["next"]).json()
    assert (len(last["results"]), last["next"]) == (1, None)


def test_given_new_rows_between_two_pages_then_none_is_shown_twice_or_left_out(api, workflow):
    path = runs(workflow)
    first = api.get(f"{path}&limit=10").json()
    expected = [row["id"] for row in api.get(path).json()["results"]]

    for _ in range(3):
        a_run_of(workflow)
    rest = [row["id"] for page in api.pages(first["next"]) for row in page]

    assert [row["id"] for row in first["results"]] + rest == expected


def test_the_limit_goes_to_a_hundred(api, workflow):
    for _ in range(101):
        a_run_of(workflow)

    assert len(api.get("/runs").json()["results"]) == 50
    assert len(api.get("/runs?limit=100").json()["results"]) == 100
    assert len(api.get("/runs?limit=1").json()["results"]) == 1


def test_links_keep_the_filters_and_the_host(api, workflow):
    path = runs(workflow)

    link = api.get(f"{path}&status=pending&limit=2").json()["next"]

    assert link.startswith("http://testserver/api/v1/runs?")
    assert f"workflow={workflow.pk}" in link
    assert "status=pending" in link
    assert "limit=2" in link


# The key, then the list. A timeline and the versions first look whether what they belong to is there. Decisions are
# two lists and their runs, and look for their trigger.
@pytest.mark.parametrize(
    ("a_list", "queries"),
    [(workflows, 2), (versions, 3), (events, 2), (runs, 2), (timeline, 3), (records, 2), (decisions, 6)],
)
def test_a_page_costs_the_same_for_one_row_and_for_many(api, workflow, a_list, queries):
    path = a_list(workflow)
    api.get(path)  # marks the key as used

    for limit in (1, 20):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            mark = "?" if "?" not in path else "&"
            assert len(api.get(f"{path}{mark}limit={limit}").json()["results"]) == limit
        assert len(captured) == queries, [query["sql"] for query in captured]


def test_a_run_costs_the_same_with_one_step_and_with_many(api, workflow):
    run = a_run_of(workflow)
    api.get("/runs")

    for position in range(1, 30):
        StepRun.objects.create(
            run=run,
            workflow=workflow,
            position=position,
            key=f"s{position}",
            type="log",
            lane="fast",
            status="completed",
            max_attempts=1,
            finished_at=timezone.now(),
        )
        if position in (1, 29):
            with CaptureQueriesContext(connection) as captured:
                assert len(api.get(f"/runs/{run.pk}").json()["steps"]) == position
            assert len(captured) == 3  # the key, the run, its steps


def test_heavy_columns_are_not_read_for_a_list(api, workflow):
    runs(workflow)

    with CaptureQueriesContext(connection) as captured:
        for path in ("/runs", "/events", "/workflows"):
            api.get(path)

    statements = " ".join(query["sql"] for query in captured)
    for column in ('"payload"', '"output"', '"definition"', '"plan"', '"workflows_workflow"."draft",'):
        assert column not in statements


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("colour=red", "/colour"),
        ("stauts=failed", "/stauts"),
        ("status=done", "/status"),
        ("status=failed&status=completed", "/status"),
        ("status=", "/status"),
        ("workflow=7", "/workflow"),
        ("workflow__name=x", "/workflow__name"),
        ("error_code=DROP TABLE", "/error_code"),
        ("trace_id=xyz", "/trace_id"),
        ("trace_id=%00", "/trace_id"),
        ("since=yesterday", "/since"),
        ("limit=0", "/limit"),
        ("limit=101", "/limit"),
        ("limit=ten", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=", "/limit"),
        ("cursor=", "/cursor"),
        ("cursor=!!!", "/cursor"),
        ("cursor=YWJj", "/cursor"),
        ("cursor=" + "A" * 5000, "/cursor"),
    ],
)
def test_what_a_list_does_not_understand_is_refused_at_its_name(api, query, pointer):
    answer = api.get(f"/runs?{query}")

    assert code_of(answer) == (400, "request.invalid")
    assert {problem["pointer"] for problem in answer.json()["errors"]} == {pointer}
