"""The workflows of `bin/demo`, while a process is killed with -9 at a random moment, again and again: each effect once.

More kills: `LIGHTFIELD_TEST_KILLS=20 LIGHTFIELD_TEST_SEED=8 bin/test -s tests/acceptance/test_demo_under_kills.py`.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lightfield.local.demo_model import SCRIPT
from lightfield.local.demo_workflows import AGENT
from tests.acceptance import demo_drill
from tests.acceptance.demo_drill import TOKEN, Drill

KILLS = int(os.environ.get("LIGHTFIELD_TEST_KILLS", "2"))
SEED = int(os.environ.get("LIGHTFIELD_TEST_SEED", "32"))
# Each record that a tool writes leaves an entry in the audit trail, with the call's key, in the same transaction.
WRITTEN = "SELECT metadata ->> 'call', count(*) FROM access_auditentry WHERE metadata ? 'call' GROUP BY 1"
WRITES = sum(call["name"] == "upsert_record" for turn in SCRIPT for call in turn["calls"])

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 60 * KILLS)]

Runs = dict[str, dict[str, Any]]  # by their ids


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    with demo_drill.running(tmp_path, SEED) as drill:
        yield drill


def test_given_a_kill_at_a_random_moment_of_each_round_then_each_record_and_each_effect_exists_once(
    drill: Drill,
) -> None:
    began = time.monotonic()
    for number, victim in enumerate(drill.victims(KILLS)):
        drill.round(number, victim)
    seconds = time.monotonic() - began
    api = drill.installation.api
    runs: Runs = {
        run["id"]: api.get(f"/api/v1/runs/{run['id']}")
        for workflow in (drill.welcome, drill.call)
        for run in drill.installation.runs(workflow)
    }
    timelines = {run_id: api.pages(f"/api/v1/runs/{run_id}/timeline") for run_id in runs}
    turns = {
        run_id: api.pages(f"/api/v1/runs/{run_id}/steps/{AGENT}/turns")
        for run_id, run in runs.items()
        if run["workflow"] == drill.welcome["id"]
    }
    tell(drill, timelines, turns, seconds)

    assert {run["status"] for run in runs.values()} == {"completed"}
    one_event_and_one_run_for_each_message(drill, list(runs.values()))
    one_account_contact_and_opportunity_for_each_customer_and_one_task(drill, list(runs.values()))
    no_finished_turn_was_asked_again(drill, timelines, turns)
    no_tool_wrote_twice(drill, turns)
    one_effect_for_each_message(drill)
    assert "[redacted]" in json.dumps(list(runs.values())), "the far end said the token back"
    assert TOKEN not in json.dumps([runs, timelines, turns])
    verified = drill.installation.manage("verify", "--quiesced")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def one_event_and_one_run_for_each_message(drill: Drill, runs: list[dict[str, Any]]) -> None:
    told: dict[str, set[str]] = {}
    for payment, event_id in drill.answers:
        told.setdefault(payment.id, set()).add(event_id)
    assert {message: len(ids) for message, ids in told.items()} == {
        payment.id: 1 for payment in drill.payments
    }
    events = [
        event
        for event in drill.installation.api.pages("/api/v1/events")
        if event["trigger_type"] == "webhook"
    ]
    assert sorted(event["id"] for event in events) == sorted(id for ids in told.values() for id in ids)
    assert {len(event["runs"]) for event in events} == {1}
    welcomed = [run["trigger"]["id"] for run in runs if run["workflow"] == drill.welcome["id"]]
    assert sorted(welcomed) == sorted(payment.id for payment in drill.payments)


def one_account_contact_and_opportunity_for_each_customer_and_one_task(
    drill: Drill, runs: list[dict[str, Any]]
) -> None:
    api, people = drill.installation.api, drill.people
    contacts = api.pages("/api/v1/crm/contacts")
    assert sorted(contact["email"].lower() for contact in contacts) == sorted(people)
    accounts = {account["id"]: account for account in api.pages("/api/v1/crm/accounts")}
    websites = {payment.customer.website for payment in drill.payments}
    assert sorted(account["website"] for account in accounts.values()) == sorted(websites)
    assert sorted(contact["account"] for contact in contacts) == sorted(accounts)
    opportunities = api.pages("/api/v1/crm/opportunities")
    assert sorted(opportunity["account"] for opportunity in opportunities) == sorted(accounts)
    assert {(one["name"], one["stage"]) for one in opportunities} == {
        (account["name"], "won") for account in accounts.values()
    }
    called = [run["trigger"]["id"] for run in runs if run["workflow"] == drill.call["id"]]
    assert sorted(called) == sorted(contact["id"] for contact in contacts)
    titles = Counter(task["title"] for task in api.pages("/api/v1/crm/tasks"))
    assert {email: sum(titles[f"Call {name}"] for name in names) for email, names in people.items()} == dict.fromkeys(
        people, 1
    )  # fmt: skip
    assert titles.total() == len(people)


def no_finished_turn_was_asked_again(
    drill: Drill, timelines: dict[str, list[dict[str, Any]]], turns: dict[str, list[dict[str, Any]]]
) -> None:
    """By the model's own books: an agent never goes back, and asks again only as often as an attempt of it was lost or retried."""
    asked: dict[str, list[int]] = {}
    for question in drill.model.asked:
        step, _, number = question.key.rpartition(":turn_")
        assert int(number) == question.turn
        asked.setdefault(step, []).append(question.turn)
    for run_id, rows in turns.items():
        keys = [row["key"] for row in rows if row["kind"] == "model"]
        (step,) = {key.rpartition(":turn_")[0] for key in keys}
        assert keys == [f"{step}:turn_{n}" for n in range(1, len(SCRIPT) + 1)]
        assert all(row["finished_at"] for row in rows)
        numbers = asked.pop(step)
        assert numbers == sorted(numbers), "a finished turn was asked again"
        broken = sum(
            entry["step"] == AGENT and entry["type"] in ("step.lost", "step.retrying")
            for entry in timelines[run_id]
        )
        assert len(SCRIPT) <= len(numbers) <= len(SCRIPT) + broken
    assert asked == {}


def no_tool_wrote_twice(drill: Drill, turns: dict[str, list[dict[str, Any]]]) -> None:
    calls = [row for rows in turns.values() for row in rows if row["kind"] == "tool"]
    assert {row["error_code"] for row in calls} == {None}
    writing = [row["key"] for row in calls if row["name"] == "upsert_record"]
    assert len(writing) == WRITES * len(drill.payments)
    with psycopg.connect(drill.installation.url("DATABASE_URL"), autocommit=True) as connection:
        written: dict[str, int] = dict(connection.execute(WRITTEN).fetchall())
    assert set(written.values()) == {1}
    assert written.keys() <= set(writing)


def one_effect_for_each_message(drill: Drill) -> None:
    paying = [
        f"Welcome, {payment.customer.name}!" for payment in drill.payments if payment.customer.plan == "pro"
    ]
    assert drill.far_end.effects == Counter(paying)
    keys = {(request.text, request.key, request.contact) for request in drill.far_end.requests}
    assert len(keys) == len({key for _, key, _ in keys}) == len(paying)
    assert all(request.key and request.has_token for request in drill.far_end.requests)


def tell(
    drill: Drill,
    timelines: dict[str, list[dict[str, Any]]],
    turns: dict[str, list[dict[str, Any]]],
    seconds: float,
) -> None:
    """The figures; pytest shows them when the test fails, or with -s."""
    entries = [entry for timeline in timelines.values() for entry in timeline]
    types = Counter(entry["type"] for entry in entries)
    agents = Counter(entry["type"] for entry in entries if entry["step"] == AGENT)
    rows = [row for step in turns.values() for row in step]
    journaled = sum(row["kind"] == "model" for row in rows)
    figures = {
        "seed": SEED,
        "kills": dict(drill.kills),
        "messages": len(drill.payments),
        "webhooks acknowledged": len(drill.answers),
        "webhooks sent again for want of an answer": drill.unanswered,
        "runs": len(timelines),
        "attempts lost": types["step.lost"],
        "attempts retried": types["step.retrying"],
        "of these of agents": f"{agents['step.lost']} lost, {agents['step.retrying']} retried",
        "turns journaled": journaled,
        "questions to the model": len(drill.model.asked),
        "questions asked again": len(drill.model.asked) - journaled,
        "tool calls journaled": len(rows) - journaled,
        "requests": len(drill.far_end.requests),
        "answered": dict(Counter(request.outcome for request in drill.far_end.requests)),
        "effects": drill.far_end.effects.total(),
        "doubled effects": sum(count - 1 for count in drill.far_end.effects.values()),
        "seconds": round(seconds),
    }
    print("\n" + "\n".join(f"{name}: {figure}" for name, figure in figures.items()))  # noqa: T201  for whoever runs it with -s
