"""Budgets: how many transactions and messages a run costs, and how many statements a save. More than that is a bug."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client

from benchmarks.saves import counted
from crm.models import Account, Opportunity
from executions import engine, sweeper
from executions.models import Run, StepRun
from executions.notices.models import Notice
from lightfield.kernel import sql
from tests.agents import Model, ReadTool, SendTool, agents_installed, an_agent, asked_of, calls, says
from tests.bellboy import TASKS, Bellboy
from tests.capturing import capturing, payloads, watching
from tests.factories import a_published_workflow
from tests.integration.record_steps.playing import create, find, update, upsert
from tests.jotter import Jotter
from tests.staging import a_run, answer_with_cells_here, let_time_pass, nap, say, slow
from triggers import services
from triggers.models import Trigger
from workflows import services as workflows
from workflows.models import Workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept", "slow_step")]


@pytest.fixture
def pooled() -> Iterator[None]:
    """One pooled connection, as workers have them: giving it back and taking it again costs no transaction."""
    settings: Any = connection.settings_dict
    before = settings["OPTIONS"]
    connection.close()
    settings["OPTIONS"] = {**before, "pool": {"min_size": 1, "max_size": 1, "timeout": 5}}
    try:
        yield
    finally:
        connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has it
        settings["OPTIONS"] = before
        connection.close()


class Counter:
    """What PostgreSQL counts of this test's database, read through a connection to another one."""

    def __init__(self) -> None:
        given = connection.get_connection_params()
        params = {name: given[name] for name in ("host", "port", "user", "password") if name in given}
        self._other = psycopg.connect(**params, dbname="postgres", autocommit=True)
        self._name = str(connection.settings_dict["NAME"])
        self._cost_of_looking = self._look() * -1 + self._look()

    def _look(self) -> int:
        # The pool's one connection reports its share, but only if it touched a table.
        sql.rows("SELECT pg_stat_force_next_flush() FROM executions_lane LIMIT 1", {})
        found = self._other.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", [self._name]
        ).fetchone()
        assert found is not None
        return int(found[0])

    @contextmanager
    def counted(self) -> Iterator[list[int]]:
        found: list[int] = []
        before = self._look()
        yield found
        found.append(self._look() - before - self._cost_of_looking)

    def close(self) -> None:
        self._other.close()


@pytest.fixture
def counter(pooled: None) -> Iterator[Counter]:
    counter = Counter()
    yield counter
    counter.close()


def a_webhook(workflow: Any) -> Callable[[int], None]:
    """Deliver n to the workflow's own address."""
    path = services.webhook_path(Trigger.objects.get(workflow=workflow))
    client = Client()

    def deliver(n: int) -> None:
        assert client.post(path, {"n": n}, content_type="application/json").status_code == 202

    return deliver


def cost_of_a_run(bellboy: Bellboy, counter: Counter, steps: list[dict[str, Any]]) -> int:
    """Transactions from webhook to end of a run that is not its workflow's first; what rang is in `bellboy.rung`."""
    deliver = a_webhook(a_published_workflow(steps=steps))
    deliver(1)  # each process reads a version once
    bellboy.answer_all()
    bellboy.rung.clear()
    with counter.counted() as counted:
        deliver(2)
        bellboy.answer_all()
    return counted[0]


def test_the_counter_counts(counter: Counter) -> None:
    sql.rows("SELECT 1", {})  # to prepare a statement counts as well, once for each connection
    with counter.counted() as nothing:
        pass
    with counter.counted() as three:
        for _ in range(3):
            sql.rows("SELECT 1", {})
    with counter.counted() as one, transaction.atomic():
        for _ in range(3):
            sql.rows("SELECT 1", {})

    assert (nothing, three, one) == ([0], [3], [1])


def test_a_one_step_run_costs_at_most_six_transactions_and_two_messages(
    bellboy: Bellboy, counter: Counter
) -> None:
    transactions = cost_of_a_run(bellboy, counter, [slow()])

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert transactions <= 6  # capture, dispatch, admit, claim, intent, settle
    assert bellboy.names() == ["dispatch_shard", "execute_steps"]


def test_each_further_slow_step_costs_one_transaction_more_and_no_message(
    bellboy: Bellboy, counter: Counter
) -> None:
    transactions = cost_of_a_run(bellboy, counter, [slow("one"), slow("two"), slow("three")])

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    assert transactions <= 8  # the outcome of each step but the last brings the next one's intent along
    assert bellboy.names() == ["dispatch_shard", "execute_steps"]


def test_a_run_of_fast_steps_costs_one_transaction_for_each_and_one_message(
    bellboy: Bellboy, counter: Counter
) -> None:
    transactions = cost_of_a_run(bellboy, counter, [say("one"), say("two")])

    assert transactions <= 5  # capture, dispatch, the run's context, two steps
    assert bellboy.names() == ["dispatch_shard"]


RECORD_STEPS = [
    upsert("account", {"name": "Acme"}, key="acme"),
    upsert("contact", {"email": "ada@example.com"}, key="ada", account="{{ acme.id }}"),
    create("task", key="call", title="Call {{ ada.fields.email }}", account="{{ acme.id }}"),
    update("contact", "{{ ada.id }}", key="note", title="Called {{ run.id }}"),
    find("task", ("account", "is", "{{ acme.id }}"), key="found"),
]


@pytest.mark.parametrize("mode", ["orm", "trigger"])
def test_five_record_steps_cost_at_most_seven_transactions_and_two_messages_after_the_capture(
    mode: str, bellboy: Bellboy, counter: Counter
) -> None:
    with capturing(mode):
        watching("contact", "updated", "title")
        transactions = cost_of_a_run(bellboy, counter, RECORD_STEPS)

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    # Those, and the run that the change of the contact starts: its dispatch, its context and its step.
    own, started = 1 + 2 + 5, 3 if mode == "orm" else 0
    assert transactions <= own + started
    assert bellboy.names() == ["dispatch_shard"] * (2 if mode == "orm" else 1)


AGENT = [
    calls(("test_read", {}), ("test_read", {}), ("rm", {})),
    calls(("test_write", {"name": "Acme"})),
    calls(("test_send", {"n": 1}), ("test_send", {"n": 2})),
    says("Done."),
]


def test_an_agent_costs_a_transaction_for_each_answer_and_one_for_what_must_be_known_before_the_next(
    bellboy: Bellboy, counter: Counter
) -> None:
    held: list[Any] = []

    def look(*_: Any) -> Any:
        held.append((connection.connection, connection.pool.get_stats()["pool_available"]))  # type: ignore[attr-defined]
        return {}

    model = Model(*AGENT)

    def answer(question: Any) -> Any:
        look()
        return model(question)

    with agents_installed(), asked_of(answer):
        ReadTool.script = SendTool.script = look
        transactions = cost_of_a_run(bellboy, counter, [an_agent()])

    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}
    # Reads and refusals of one answer are written together, and an answer with the first request that it wants.
    answers, reads, write, requests = 4, 1, 1, 2
    assert transactions <= 6 + answers + reads + write + requests
    assert bellboy.names() == ["dispatch_shard", "execute_steps"]
    assert held == [(None, 1)] * 2 * (4 + 2 + 2)  # nobody waits with a connection in hand


def test_an_agent_that_answers_at_once_costs_one_transaction_more_than_any_slow_step(
    bellboy: Bellboy, counter: Counter
) -> None:
    with agents_installed(), asked_of(Model(says("Done."))):
        transactions = cost_of_a_run(bellboy, counter, [an_agent()])

    assert transactions <= 7
    assert bellboy.names() == ["dispatch_shard", "execute_steps"]


# BEGIN and COMMIT aside: lock, the record's own statements, audit, what it is now, settle.
STATEMENTS: dict[str, tuple[dict[str, Any], int]] = {
    "create": (create("task", title="Call"), 6),  # INSERT, capture
    "create with a reference": (
        create("task", title="Call", account="{{ trigger.acme }}"),
        7,
    ),  # a look at it
    "update": (
        update("account", "{{ trigger.acme }}", headcount="{{ run.id }}"),
        8,
    ),  # SELECT, look, UPDATE, capture
    "upsert, found": (upsert("account", {"name": "Acme"}, headcount="{{ run.id }}"), 8),  # as update
    "upsert by e-mail, new": (
        upsert("contact", {"email": "{{ run.id }}@example.com"}),
        7,
    ),  # SELECT, INSERT, capture
    "upsert by name, new": (
        upsert("account", {"name": "{{ run.id }}"}),
        9,
    ),  # SELECT, lock, SELECT, INSERT, capture
    "find": (find("account"), 3),  # lock, SELECT, settle
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_record_step_is_few_statements(name: str, bellboy: Bellboy) -> None:
    step, most = STATEMENTS[name]
    for entity in ("account", "contact", "task"):
        watching(entity, "created")
        watching(entity, "updated")
    acme = Account.objects.create(name="Acme")
    workflow = a_published_workflow(steps=[step])
    for _ in range(2):  # each process reads a version once
        run = a_run(workflow=workflow, payload={"acme": str(acme.pk)})
        with counted() as executed:
            engine.advance([str(run.pk)])
            statements = executed[0] - 1  # the run's context, before all its steps

    run.refresh_from_db()
    assert run.status == "completed"
    assert statements <= most


def test_an_idle_sweep_is_one_transaction_without_a_message(bellboy: Bellboy, counter: Counter) -> None:
    sweeper.sweep()
    with counter.counted() as counted:
        sweeper.sweep()

    assert counted == [1]
    assert bellboy.rung == []


def test_a_webhook_that_starts_nothing_costs_one_transaction_and_one_that_is_repeated_two(
    bellboy: Bellboy, counter: Counter, jotter: Jotter
) -> None:
    """To say why is free: the first looks once, the second looks for the first event besides."""
    workflow = a_published_workflow()
    path = services.webhook_path(Trigger.objects.get(workflow=workflow))

    def deliver() -> int:
        headers = {"Idempotency-Key": "k"}
        return Client().post(path, {}, content_type="application/json", headers=headers).status_code

    assert (deliver(), deliver()) == (202, 200)  # each connection prepares its statements once
    with counter.counted() as repeated:
        assert deliver() == 200
    workflows.pause(workflow_id=workflow.pk, by="a tester")
    with counter.counted() as refused:
        assert deliver() == 404

    assert (repeated, refused) == ([2], [1])
    assert [verdict for _, verdict, _ in jotter.told] == ["duplicate", "duplicate", "paused"]


def test_two_hundred_runs_of_three_steps_cost_at_most_one_message_for_each_step(bellboy: Bellboy) -> None:
    deliver = a_webhook(a_published_workflow(steps=[slow("one"), slow("two"), slow("three")]))
    for n in range(200):
        deliver(n)

    bellboy.answer_all()

    assert Run.objects.filter(status="completed").count() == 200
    assert StepRun.objects.filter(status="completed").count() == 600
    assert len(bellboy.rung) <= 600


def test_given_every_message_lost_in_the_middle_of_two_hundred_runs_then_all_complete(
    bellboy: Bellboy,
) -> None:
    deliver = a_webhook(a_published_workflow(steps=[say(), slow("one"), nap(seconds=5), slow("two")]))
    for n in range(200):
        deliver(n)
    for messages in (0, 1, 10, 10, 20, 40, 40, 40):
        for _ in range(messages):
            if not bellboy.waiting:
                break
            bell = bellboy.waiting.pop(0)
            TASKS[bell.task].apply(args=bell.args)
        bellboy.lose_all()  # FLUSHALL
        let_time_pass()
        sweeper.sweep()
    assert 0 < Run.objects.filter(status="completed").count() < 200

    for _ in range(3):
        answer_with_cells_here(bellboy)
        let_time_pass()
        sweeper.sweep()

    assert Run.objects.filter(status="completed").count() == 200
    assert set(StepRun.objects.values_list("attempts", flat=True)) == {1}


def a_changed_deal(field: str) -> Opportunity:
    deal = Opportunity.objects.create(name="One", stage="new", pipeline="one")
    setattr(deal, field, "other")
    return deal


SAVES: dict[str, Callable[[], Any]] = {
    "the watched field": lambda: a_changed_deal("stage"),
    "another field": lambda: a_changed_deal("pipeline"),
    "a new record": lambda: Opportunity(name="Two"),
    "an unwatched model": lambda: Workflow(name="Nobody watches workflows", draft={}),
}


@pytest.mark.parametrize(
    ("listens", "what", "statements", "events"),
    [
        ("updated", "the watched field", 2, 1),
        ("updated", "another field", 1, 0),
        ("updated", "a new record", 1, 0),
        ("created", "a new record", 1, 1),
        ("", "the watched field", 1, 0),
        ("", "a new record", 1, 0),
        ("updated", "an unwatched model", 0, 0),
    ],
)
@pytest.mark.parametrize("mode", ["orm", "trigger"])
def test_a_save_costs_few_statements_more_and_one_transaction(
    mode: str, listens: str, what: str, statements: int, events: int, counter: Counter, bellboy: Bellboy
) -> None:
    with capturing(mode):
        for name in filter(None, [listens]):
            watching("opportunity", name, *(["stage"] if name == "updated" else []))
        SAVES[what]().save()  # each statement is prepared once for each connection
        captured_before, one = len(payloads()), SAVES[what]()
        bellboy.rung.clear()

        with counter.counted() as transactions, counted() as executed:
            one.save()
            in_save = executed[0]

    assert transactions == [1]
    assert in_save == 1 + (statements if mode == "orm" else 0)
    assert len(payloads()) == captured_before + events
    assert bellboy.names() == ["dispatch_shard"] * (events if mode == "orm" else 0)


def test_a_failure_that_is_told_costs_no_more_transactions_than_one_that_is_not(
    bellboy: Bellboy, counter: Counter
) -> None:
    """The notice is part of the statement that fails the run; whether its end counts is part of the dispatch."""

    def cost(**settings: Any) -> int:
        deliver = a_webhook(
            a_published_workflow(steps=[say(message="{{ trigger.field }}")], settings=settings)
        )
        deliver(1)
        bellboy.answer_all()
        with counter.counted() as counted:
            deliver(2)
            bellboy.answer_all()
        return counted[0]

    told = {"webhook": {"url": "https://example.com/"}, "email": []}

    assert cost(on_failure=told, pause_after_failures=9) == cost()
    assert Notice.objects.count() == 4
