"""What a record step refuses: at publish as far as it is known then, else when it runs, with the place in its config."""

from __future__ import annotations

from typing import Any

import pytest

from crm.models import Account, Contact, Opportunity, Task
from executions.models import Attempt, Effect
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.errors import RequestRefused
from tests.factories import a_published_workflow
from tests.integration.record_steps.playing import create, error_of, find, play, step, update, upsert
from tests.records import NINE, NOWHERE, TEN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

T = "{{ trigger.x }}"


def refusals(one: dict[str, Any]) -> list[tuple[str, str]]:
    """(pointer in the config, code) of all that keeps a workflow with this step from being published."""
    with pytest.raises(RequestRefused) as refused:
        a_published_workflow(steps=[one])
    return [
        (problem.pointer.removeprefix("/steps/0/config"), problem.code) for problem in refused.value.problems
    ]


@pytest.mark.parametrize(
    ("config", "found"),
    [
        # shapes
        (create("deal", name="x"), [("/entity", "config.invalid")]),
        (create(T, name="x"), [("/entity", "config.invalid")]),
        (step("create_record", entity="task"), [("/fields", "config.invalid")]),
        (step("create_record", entity="task", fields=[]), [("/fields", "config.invalid")]),
        (step("update_record", entity="task", fields={}), [("/id", "config.invalid")]),
        (step("update_record", entity="task", fields={}, id=7), [("/id", "config.invalid")]),
        (upsert("contact", {}), [("/match", "config.invalid")]),
        (find("task", limit=0), [("/limit", "config.invalid")]),
        (find("task", limit=101), [("/limit", "config.invalid")]),
        (find("task", *[("title", "is", "x")] * 21), [("/filters", "config.invalid")]),
        (find("task", sort=["title"] * 6), [("/sort", "config.invalid")]),
        (find("task", ("title", "equals", "x")), [("/filters/0/operator", "config.invalid")]),
        (find("task", ("title", "is")), [("/filters/0", "config.invalid")]),
        (find("task", other=1), [("/other", "config.invalid")]),
        # names
        (create("task", title="x", deadline=T), [("/fields/deadline", "record.unknown_field")]),
        (create("task", title="x", id=T), [("/fields/id", "record.read_only_field")]),
        (update("task", T, created_at=T), [("/fields/created_at", "record.read_only_field")]),
        (update("task", T, **{"custom.": T}), [("/fields/custom.", "record.unknown_field")]),
        (update("task", T, **{"a/b": T}), [("/fields/a~1b", "record.unknown_field")]),
        (upsert("contact", {"mail": T}, tel=T), [("/match/mail", "record.unknown_field"), ("/fields/tel", "record.unknown_field")]),
        (upsert("account", {"industry": T}), [("/match/industry", "record.invalid_value")]),
        (upsert("account", {"primary_address": T}), [("/match/primary_address", "record.invalid_value")]),
        (upsert("account", {"id": T}), [("/match/id", "record.read_only_field")]),
        (create("task", status="todo"), [("/fields/title", "record.missing_field")]),
        (create("meeting", title=T), [("/fields/start_date", "record.missing_field"), ("/fields/end_date", "record.missing_field")]),
        (find("task", ("nothing", "is", T)), [("/filters/0/field", "record.unknown_field")]),
        (find("task", (T, "is", 1)), [("/filters/0/field", "record.unknown_field")]),
        (find("task", sort=["-nothing"]), [("/sort/0", "record.unknown_field")]),
        # values that hold no template
        (create("contact", email="nobody"), [("/fields/email", "record.invalid_value")]),
        (update("opportunity", T, amount="many"), [("/fields/amount", "record.invalid_value")]),
        (update("task", T, status="done"), [("/fields/status", "record.invalid_value")]),
        (upsert("contact", {"email": "nobody"}), [("/match/email", "record.invalid_value")]),
        (create("account", name="x", primary_address={"planet": "Mars"}), [("/fields/primary_address", "record.invalid_value")]),
        (find("opportunity", ("amount", "gt", "many")), [("/filters/0/value", "config.invalid")]),
        (find("opportunity", ("amount", "contains", 1)), [("/filters/0/value", "config.invalid")]),
        (find("account", ("industry", "gt", "x")), [("/filters/0/value", "config.invalid")]),
        (find("account", ("owner", "is", "ada")), [("/filters/0/value", "config.invalid")]),
    ],
)  # fmt: skip
def test_what_is_known_is_refused_when_the_workflow_is_published(
    config: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    assert sorted(refusals(config)) == sorted(found)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (create("contact", emial=T), "contact has no field 'emial'; did you mean email?"),
        (find("contact", ("emial", "is", T)), "contact has no field 'emial'; did you mean email?"),
        (find("note", sort=["-x"]), "note has no field 'x'; there is id, "),
        (find("note", ("custom.", "is", T)), "After custom. comes the name of one of your own fields"),
    ],
)
def test_an_unknown_field_is_told_with_the_one_that_was_meant(config: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        a_published_workflow(steps=[config])
    assert refused.value.problems[0].detail.startswith(words)


@pytest.mark.parametrize(
    "config",
    [
        create("contact", email=T, account=T, do_not_contact=T, custom={"a": [T]}),
        create("account", name=T, industry=[T], primary_address={"city": T, "latitude": T}),
        create("contact", last_name="x", account=NOWHERE),  # it may be made before the step runs
        update("task", T, **{"custom.a b": T, "custom.c": {"d": T}}),
        upsert("account", {"website": T, "name": T}),
        upsert("task", {"title": "x", "custom.ticket": T}),
        find("contact", ("email", T, T), ("custom.plan", "is_any_of", [T]), limit=T),
    ],
)
def test_what_depends_on_a_template_is_judged_when_it_runs(config: dict[str, Any]) -> None:
    assert a_published_workflow(steps=[config]).status == "active"


@pytest.mark.parametrize(
    ("config", "code", "problems"),
    [
        (create("contact", email=T), "record.invalid", [("/fields/email", "record.invalid_value")]),
        (create("task", title=T, status=T), "record.invalid", [("/fields/status", "record.invalid_value")]),
        (create("opportunity", name="x", amount=T), "record.invalid", [("/fields/amount", "record.invalid_value")]),
        (create("contact", last_name="x", account=T), "record.invalid", [("/fields/account", "record.invalid_value")]),
        (create("contact", first_name="{{ trigger.none }}"), "record.invalid", [("/fields", "record.invalid_value")]),
        (create("meeting", title="x", start_date=TEN, end_date=NINE), "record.invalid", [("/fields/end_date", "record.invalid_value")]),
        (create("account", name="x", custom=T), "record.invalid", [("/fields/custom", "record.invalid_value")]),
        (create("account", name="x", **{"custom.a": "{{ trigger.long }}"}), "record.invalid", [("/fields/custom.a", "record.invalid_value")]),
        (create("contact", email="{{ trigger.taken }}"), "record.duplicate", [("/fields/email", "record.duplicate")]),
        (update("contact", "{{ trigger.other }}", email="{{ trigger.taken }}"), "record.duplicate", [("/fields/email", "record.duplicate")]),
        (update("contact", NOWHERE, title="x"), "record.not_found", [("/id", "record.not_found")]),
        (update("contact", T, title="x"), "record.not_found", [("/id", "record.not_found")]),
        (update("contact", "{{ trigger.other }}", account=NOWHERE), "record.invalid", [("/fields/account", "record.not_found")]),
        (upsert("contact", {"email": T}), "record.invalid", [("/match/email", "record.invalid_value")]),
        (upsert("contact", {"email": "new@example.com"}, title="{{ trigger.long }}"), "record.invalid", [("/fields/title", "record.invalid_value")]),
        (upsert("opportunity", {"stage": "open"}), "record.invalid", [("/fields/name", "record.missing_field")]),
        (update("contact", "{{ trigger.none }}", title="x"), "config.invalid", [("/id", "config.invalid")]),
    ],
)  # fmt: skip
def test_what_is_wrong_ends_the_run_at_once_and_says_where(
    config: dict[str, Any], code: str, problems: list[tuple[str, str]]
) -> None:
    Contact.objects.create(email="taken@example.com")
    other = Contact.objects.create(email="other@example.com")
    payload = {"x": "no such thing", "none": None, "long": "x" * 70_000}
    payload |= {"taken": "TAKEN@example.com", "other": str(other.pk)}

    error = error_of(config, payload=payload)

    assert (error["code"], error["retryable"]) == (code, False)
    told = error["metadata"]["problems"]
    assert [(problem["pointer"], problem["code"]) for problem in told] == problems
    assert all(problem["detail"] for problem in told)
    assert error["metadata"]["pointer"] == problems[0][0]
    assert {code, *(one for _, one in problems)} <= CATALOGUE.keys()
    assert Attempt.objects.get().outcome == "permanent"
    assert Contact.objects.count() == 2
    assert not Account.objects.exists()
    assert not Opportunity.objects.exists()
    assert not Task.objects.exists()
    assert not Effect.objects.exists()


def test_every_problem_is_told_at_once() -> None:
    error = error_of(
        create("task", title="{{ trigger.long }}", status="{{ trigger.x }}", due_at="{{ trigger.x }}"),
        payload={"x": "?", "long": "x" * 301},
    )

    assert [problem["pointer"] for problem in error["metadata"]["problems"]] == [
        "/fields/title",
        "/fields/status",
        "/fields/due_at",
    ]
    assert error["message"].startswith("/fields/title: ")


def test_a_template_that_cannot_be_filled_in_ends_the_run_before_anything_is_looked_at() -> None:
    error = error_of(create("task", title="{{ trigger.nothing }}"), payload={})

    assert (error["code"], error["metadata"]["pointer"]) == ("template.unresolved", "/fields/title")


def test_what_comes_after_a_refused_record_is_skipped() -> None:
    run = play(
        create("contact", email="{{ trigger.x }}"), create("task", key="next", title="x"), payload={"x": "?"}
    )

    assert dict(run.steps.values_list("key", "status")) == {"it": "failed", "next": "skipped"}
