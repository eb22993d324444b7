"""The promises, from the outside: HTTP goes in, timelines come out. Real processes, real servers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
import pytest
import redis

from lightfield.local import demo_model, demo_workflows
from lightfield.local.calls import Api
from lightfield.local.demo_workflows import Customer
from lightfield.local.scripted_model import ScriptedModel
from tests.acceptance.installation import Installation
from tests.acceptance.sink import Sink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


def call(sink: Sink, path: str, key: str = "call", **more: Any) -> dict[str, Any]:
    config = {
        "method": "POST",
        "url": sink.url + path,
        "json": {"n": "{{ trigger.n }}"},
        "timeout_seconds": 60,
    }
    return {"key": key, "type": "http_request", "config": config, **more}


def send(installation: Installation, workflow: dict[str, Any], numbers: range) -> None:
    """One webhook per number, eight at a time."""
    hook = Api(installation.api.base)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: hook.post(workflow["webhook_url"], {"n": n}), numbers))


def test_500_steps_wait_in_one_worker_and_others_go_on(installation: Installation, sink: Sink) -> None:
    slow = installation.publish(call(sink, "/delay/10000"))
    quick = installation.publish(
        call(sink, "/ok"), {"key": "say", "type": "log", "config": {"message": "done"}}
    )

    send(installation, slow, range(500))
    installation.wait_for("500 open requests", lambda: sink.open >= 500)
    send(installation, quick, range(20))
    installation.wait_for("the quick runs", lambda: len(installation.runs(quick, "completed")) == 20)
    with psycopg.connect(installation.url("DATABASE_URL"), autocommit=True) as connection:
        (connections,) = connection.execute(CONNECTIONS).fetchone() or (0,)

    assert sink.open == 500  # the quick runs ended while every slow one still waited
    assert connections <= 20
    installation.wait_for("the slow runs", lambda: len(installation.runs(slow, "completed")) == 500)
    assert set(sink.keys("/delay/10000").values()) == {1}


def test_flushing_redis_in_the_middle_of_200_runs_loses_none(installation: Installation, sink: Sink) -> None:
    workflow = installation.publish(call(sink, "/delay/300", "one"), call(sink, "/delay/301", "two"))
    broker = redis.Redis.from_url(installation.url("REDIS_URL"))

    send(installation, workflow, range(100))
    broker.flushall()
    send(installation, workflow, range(100))
    broker.flushall()

    installation.wait_for("200 runs", lambda: len(installation.runs(workflow, "completed")) == 200)
    assert set(sink.keys("/delay/300").values()) == {1}
    assert set(sink.keys("/delay/301").values()) == {1}


def test_50_publishes_during_500_live_runs_move_no_run(installation: Installation, sink: Sink) -> None:
    def steps(version: int) -> list[dict[str, Any]]:
        return [call(sink, "/delay/200"), {"key": "say", "type": "log", "config": {"message": f"v{version}"}}]

    workflow = installation.publish(*steps(1))
    path = f"/api/v1/workflows/{workflow['id']}"
    checksums = {1: installation.api.get(f"{path}/versions/1")["checksum"]}
    for version in range(2, 52):
        send(installation, workflow, range(10))
        installation.api.patch(path, {"steps": steps(version)})
        checksums[version] = installation.api.post(f"{path}/publish")["checksum"]

    installation.wait_for("500 runs", lambda: len(installation.runs(workflow, "completed")) == 500)
    for run in installation.runs(workflow)[::25]:
        detail = installation.api.get(f"/api/v1/runs/{run['id']}")
        assert detail["steps"][-1]["output"]["message"] == f"v{detail['version']}"
    assert {run["version"] for run in installation.runs(workflow)} == set(range(1, 51))
    now = {n: installation.api.get(f"{path}/versions/{n}")["checksum"] for n in checksums}
    assert now == checksums


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ({"path": "/status/400"}, "http.client_error"),
        ({"path": "/status/500"}, "http.server_error"),
        ({"path": "/ok", "config": {"json": "{{ trigger.nobody }}"}}, "template.unresolved"),
    ],
    ids=["400", "500 without opt-in", "template.unresolved"],
)
def test_a_permanent_failure_takes_one_attempt(
    installation: Installation, sink: Sink, step: dict[str, Any], code: str
) -> None:
    first = call(sink, step["path"])
    first["config"].update(step.get("config", {}))
    workflow = installation.publish(first, call(sink, "/ok", "later"))

    send(installation, workflow, range(1))
    installation.wait_for("the run", lambda: installation.runs(workflow, "failed"))

    (run,) = installation.runs(workflow)
    detail = installation.api.get(f"/api/v1/runs/{run['id']}")
    assert [(s["status"], s["attempts"]) for s in detail["steps"]] == [("failed", 1), ("skipped", 0)]
    assert detail["error"]["code"] == code
    assert detail["error"]["retryable"] is False
    found = installation.api.get(f"/api/v1/runs?workflow={workflow['id']}&error_code={code}")["results"]
    assert [entry["id"] for entry in found] == [run["id"]]


def test_500_opted_in_is_retried(installation: Installation, sink: Sink) -> None:
    retry = {"max_attempts": 2, "base_seconds": 0.1, "retry_on_status": [500]}
    workflow = installation.publish(call(sink, "/status/500", retry=retry))

    send(installation, workflow, range(1))
    installation.wait_for("the run", lambda: installation.runs(workflow, "failed"))

    detail = installation.api.get(f"/api/v1/runs/{installation.runs(workflow)[0]['id']}")
    assert detail["steps"][0]["attempts"] == 2


def test_the_same_agent_works_with_models_of_either_shape(
    installation: Installation, model: ScriptedModel
) -> None:
    """The demo's agent, but for the model's name: its turns, calls, records and output are the same."""
    told = {}
    for provider in ("openai", "anthropic"):
        (agent, *_) = demo_workflows.welcome_a_customer("http://localhost", "whsec_unused")["steps"]
        agent["config"] |= {"model": f"{provider}:{provider}", "base_url": f"{model.url}/v1"}
        workflow = installation.publish(agent)
        customer = Customer(f"{provider}@example.com", "Ada Byron", provider, f"https://{provider}.example")
        event = demo_workflows.checkout(customer, id=f"evt_{provider}")
        Api(installation.api.base).post(workflow["webhook_url"], event)
        installation.wait_for(f"the agent of {provider}", partial(installation.runs, workflow, "completed"))
        (run,) = installation.runs(workflow)
        path = f"/api/v1/runs/{run['id']}"
        turns = installation.api.pages(f"{path}/steps/{agent['key']}/turns")
        output = installation.api.get(path)["steps"][0]["output"]
        contact = installation.api.get(f"/api/v1/crm/contacts/{output['output']['contact_id']}")
        told[provider] = (
            [(turn["kind"], turn["key"].rpartition(":")[2], turn["error_code"]) for turn in turns],
            [(call["name"], call["error"]) for call in output["tool_calls"]],
            output["usage"],
            (output["output"]["plan"], contact["first_name"], contact["last_name"], contact["custom"]),
        )
        (account,) = installation.api.get(f"/api/v1/crm/accounts?website={customer.website}")["results"]
        (deal,) = installation.api.get(f"/api/v1/crm/opportunities?account={account['id']}")["results"]
        assert contact["email"] == customer.email
        assert contact["account"] == account["id"] == output["output"]["account_id"]
        assert (deal["id"], deal["name"], deal["amount"]) == (
            output["output"]["opportunity_id"],
            provider,
            99,
        )
        asked = [(question.shape, question.turn) for question in model.asked if question.model == provider]
        assert asked == [(provider, turn) for turn in range(1, len(demo_model.SCRIPT) + 1)]
    assert told["openai"] == told["anthropic"]


def test_every_invariant_holds_after_all_of_it(installation: Installation) -> None:
    verified = installation.manage("verify", "--quiesced")

    assert verified.returncode == 0, verified.stdout + verified.stderr
