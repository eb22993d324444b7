"""What runs while things break: seven workflows and two of agents, drawn at random from the seed; others only where a fault wants them."""

from __future__ import annotations

import contextlib
import random
import secrets
from collections.abc import Collection
from typing import Any

from lightfield.local.boot import CannotStart
from lightfield.local.calls import Api
from tests.chaos import agents, judging_steps

WEBHOOK = {"type": "webhook", "config": {"signature": {"scheme": "none"}}}
RETRY = {"max_attempts": 10, "base_seconds": 0.2, "cap_seconds": 2}
CALLS = 4  # of one and the same request, at most
# How often each is drawn. `fast` has no slow step; it also serves the bursts.
WEIGHTS = {"two": 30, "flaky": 15, "careful": 15, "mixed": 15, "keys": 15, "fast": 10, "records": 15}
WEIGHTS |= agents.WEIGHTS


def call(sink: str, key: str, path: str, **config: Any) -> dict[str, Any]:
    """An http_request step whose body says which operation it is."""
    body = {"number": "{{ trigger.number }}", "step": key}
    request = {"method": "POST", "url": f"{sink}{path}", "json": body, "timeout_seconds": 10, **config}
    return {"key": key, "type": "http_request", "config": request, "retry": RETRY}


def say(key: str, words: str) -> dict[str, Any]:
    return {"key": key, "type": "log", "config": {"message": words}}


def record_step(key: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"key": key, "type": kind, "config": config, "retry": RETRY}


def record_steps(sink: str) -> list[dict[str, Any]]:
    """Runs meet at forty accounts; each makes a note of its own, named after it, and changes it in the end."""
    company, note = {"name": "Chaos {{ trigger.number | modulo: 40 }}"}, {"title": "{{ run.id }}:noted"}
    return [
        record_step("company", "upsert_record", entity="account", match=company, fields={"headcount": "{{ run.id }}"}),
        record_step("noted", "create_record", entity="note", fields={**note, "account": "{{ company.id }}"}),
        call(sink, "sent", "/keys/slow-150"),
        record_step("told", "update_record", entity="note", id="{{ noted.id }}", fields={"content": "{{ sent.status_code }}"}),
    ]  # fmt: skip


def definitions(sink: str) -> dict[str, list[dict[str, Any]]]:
    """The steps of each workflow, by its name."""
    third = {"left": "{{ trigger.third }}", "operator": "is", "right": 0}
    return {
        "two": [call(sink, "first", "/plain/slow-200"), call(sink, "second", "/plain/slow-150")],
        "flaky": [
            call(sink, "first", "/plain/flaky-30"),
            say("told", "ok"),
            call(sink, "second", "/keys/flaky-20"),
        ],
        "careful": [call(sink, "once", "/plain/slow-300", on_unknown="fail"), say("told", "ok")],
        "mixed": [
            say("began", "{{ trigger.number }}"),
            {"key": "nap", "type": "sleep", "config": {"seconds": 1}},
            {"key": "third", "type": "condition", "config": third},
            call(sink, "last", "/keys/slow-100"),
        ],
        "keys": [call(sink, "first", "/keys/slow-400"), call(sink, "second", "/keys/ok")],
        "fast": [say("one", "1"), say("two", "2")],
        "records": record_steps(sink),
    }


def on_demand(sink: str) -> dict[str, list[dict[str, Any]]]:
    """What only some faults set off."""
    return {
        "twenty": [call(sink, "first", "/plain/slow-200"), call(sink, "second", "/plain/slow-200")],
        "long": [call(sink, "once", "/keys/slow-3000"), say("told", "ok")],
        "careful_long": [call(sink, "once", "/plain/slow-4000", on_unknown="fail"), say("told", "ok")],
        "hurried": [call(sink, "once", "/keys/slow-4000"), say("told", "ok")],
        "kills_by_exit": [{"key": "kills", "type": "slow_killer", "config": {}}],
        "kills_by_memory": [{"key": "kills", "type": "slow_killer", "config": {"way": "memory"}}],
        "kills_fast": [say("began", "ok"), {"key": "kills", "type": "fast_killer", "config": {}}],
    }


TIMEOUTS = {"hurried": 2}  # seconds for the whole run


def publish(api: Api, sink: str, model: str | None) -> dict[str, str]:
    """Make all workflows, those of agents when there is a model. Returns their webhook addresses by name."""
    addresses = {}
    of_agents = agents.definitions(sink, model) if model else {}
    for name, steps in (definitions(sink) | on_demand(sink) | of_agents).items():
        definition: dict[str, Any] = {
            "schema": 1,
            "name": f"Chaos: {name}",
            "trigger": WEBHOOK,
            "steps": steps,
        }
        if name in TIMEOUTS:
            definition["settings"] = {"timeout_seconds": TIMEOUTS[name]}
        workflow = insist(api, "/api/v1/workflows", definition)
        insist(api, f"/api/v1/workflows/{workflow['id']}/publish")
        addresses[name] = workflow["webhook_url"]
    watch = {"type": "record", "config": {"entity": "note", "event": "created"}}
    noted = {"schema": 1, "name": judging_steps.WATCHER, "trigger": watch, "steps": [say("told", "ok")]}
    watcher = insist(api, "/api/v1/workflows", noted)
    insist(api, f"/api/v1/workflows/{watcher['id']}/publish")
    return addresses


def insist(api: Api, path: str, body: dict[str, Any] | None = None) -> Any:
    """A call that may take longer than its limit on a busy machine: the same again, by its key."""
    key = secrets.token_hex(16)
    for _ in range(CALLS - 1):
        with contextlib.suppress(CannotStart):
            return api.post(path, body, Idempotency_Key=key)
    return api.post(path, body, Idempotency_Key=key)


def draw(drawn: random.Random, there: Collection[str]) -> str:
    """The name of the next workflow to set off, of those that are there."""
    weights = {name: weight for name, weight in WEIGHTS.items() if name in there}
    return drawn.choices(list(weights), list(weights.values()))[0]
