"""`lightfield.testing`: what an author's test sees is what production would have done."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from django.db import transaction

from executions.models import Attempt, Effect, Run
from lightfield.kernel.errors import TransientStepError
from lightfield.testing import (
    Fakes,
    NeverEnds,
    NotPublishable,
    OutputMismatch,
    UnfakedRequest,
    WrongDatabase,
    publish,
    run,
    secret_value,
)
from tests.scripted import ScriptedFast, ScriptedSlow, installed
from workflows.step_types import Completed, StepOutput

pytestmark = pytest.mark.django_db(transaction=True)

HOOK = "https://example.com/hook"


def workflow(*steps: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return {"schema": 1, "name": "Tested", "trigger": {"type": "manual"}, "steps": list(steps), **parts}


def say(key: str = "say", message: str = "hello") -> dict[str, Any]:
    return {"key": key, "type": "log", "config": {"message": message}}


def post(key: str = "notify", url: str = HOOK, **more: Any) -> dict[str, Any]:
    config = {
        "method": "POST",
        "url": url,
        "json": {"email": "{{ trigger.email }}"},
        **more.pop("config", {}),
    }
    return {"key": key, "type": "http_request", "config": config, **more}


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody but the database's own connection may connect to anything."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_a_run_is_carried_to_its_end_and_told_as_it_was():
    fakes = Fakes()
    fakes.http(HOOK, method="POST", status=201, json={"id": 7})

    done = run(
        workflow(say(), post(), say("after", "got {{ notify.body.id }}")), {"email": "a@b.c"}, fakes=fakes
    )

    assert (done.status, done.error) == ("completed", None)
    assert done.outputs["notify"]["body"] == {"id": 7}
    assert done.messages == ["hello", "got 7"]
    assert done.told() == [
        "run.created",
        "run.started",
        "step.started say",
        "step.logged say",
        "step.completed say",
        "step.started notify",
        "step.completed notify",
        "step.started after",
        "step.logged after",
        "step.completed after",
        "run.completed",
    ]
    (sent,) = fakes.requests
    assert (sent.method, sent.url, sent.json) == ("POST", HOOK, {"email": "a@b.c"})
    assert sent.headers["host"] == "example.com"
    # Its rows are there, as in production.
    effect = Effect.objects.get()
    assert (effect.status, done.steps["notify"].effect) == ("done", "done")
    assert sent.headers["idempotency-key"] == effect.key
    assert done.steps["notify"].request == effect.request


def test_retries_pass_at_once_under_one_key_and_say_how_long_they_would_have_taken():
    fakes = Fakes()
    fakes.http(HOOK, status=503, headers={"Retry-After": "120"}, times=1)
    fakes.http(HOOK, fault="http.timeout", times=1)
    fakes.http(HOOK, fault="http.connect_failed", times=1)
    fakes.http(HOOK, json={"ok": True})

    done = run(workflow(post()), {"email": "a@b.c"}, fakes=fakes)

    assert done.status == "completed"
    assert done.steps["notify"].attempts == 4
    assert [line.metadata["error_code"] for line in done.timeline if line.type == "step.retrying"] == [
        "http.unavailable",
        "http.timeout",
        "http.connect_failed",
    ]
    assert list(Attempt.objects.order_by("number").values_list("number", "outcome")) == [
        (1, "refused"),
        (2, "unknown"),  # it had left when nothing came back
        (3, "refused"),
        (4, "ok"),
    ]
    assert done.skipped_seconds >= 120
    assert len({sent.headers["idempotency-key"] for sent in fakes.requests}) == 1
    assert len(fakes.requests) == 3  # of one of the four nothing was sent


def test_a_run_that_fails_is_a_result():
    fakes = Fakes()
    fakes.http(HOOK, status=400, json={"error": "no such person"})

    done = run(workflow(post(), say("after")), {"email": "a@b.c"}, fakes=fakes)

    assert done.status == "failed"
    assert done.error is not None
    assert (done.error.code, done.error.metadata["status_code"]) == ("http.client_error", 400)
    assert done.steps["after"].status == "skipped"


def test_a_template_that_finds_nothing_fails_as_it_would_in_production():
    done = run(workflow(say(message="{{ trigger.emial }}")), {"email": "a@b.c"})

    assert done.error is not None
    assert done.error.code == "template.unresolved"
    assert done.error.metadata["did_you_mean"] == "email"


def test_sleeps_are_over_at_once_and_a_runs_own_end_comes_when_it_would():
    month = {"key": "nap", "type": "sleep", "config": {"seconds": 30 * 86_400}}

    slept = run(workflow(month, say(), settings={"timeout_seconds": 2_592_000}))
    ended = run(workflow({**month, "config": {"seconds": 7_200}}, say(), settings={"timeout_seconds": 3_600}))

    assert slept.status == "failed"  # the sleep and the run end at the same instant: the run was made first
    assert ended.error is not None
    assert ended.error.code == "run.timeout"
    assert 3_590 < ended.skipped_seconds < 3_610
    short = run(workflow({**month, "config": {"seconds": 600}}, say()))
    assert short.status == "completed"
    assert 590 < short.skipped_seconds < 610


def test_a_request_without_a_fake_is_refused_and_leaves_nothing():
    fakes = Fakes()
    fakes.http("https://example.com/other", json={})

    with pytest.raises(
        UnfakedRequest, match=r"POST https://example.com/hook has no fake\. Fakes are: any method"
    ):
        run(workflow(post()), {"email": "a@b.c"}, fakes=fakes)

    assert fakes.requests == []
    failed = Run.objects.get()
    assert (failed.status, failed.error_code) == ("failed", "testing.unfaked_request")
    with pytest.raises(UnfakedRequest, match="Fakes are: none"):
        run(workflow(post()), {"email": "a@b.c"})


@pytest.mark.parametrize(
    ("fake", "url", "fits"),
    [
        ("https://example.com/*", "https://example.com/a/b?c=d", True),
        ("https://example.com/hook", "https://example.com/hook?a=1", True),
        ("https://example.com/hook?a=2", "https://example.com/hook?a=1", False),
        ("https://EXAMPLE.com", "https://example.com/", True),
        ("https://example.com/hook", "https://example.com/hooks", False),
        ("https://*.example.com/*", "https://eu.example.com/x", True),
    ],
)
def test_a_fake_is_for_its_url(fake, url, fits):
    fakes = Fakes()
    fakes.http(fake)

    assert (fakes.find("GET", url) is not None) == fits


def test_a_fake_may_be_for_one_method_and_used_up():
    fakes = Fakes()
    once = fakes.http(HOOK, method="POST", times=1, status=202)
    fakes.http(HOOK, method="POST", status=204)
    fakes.http(HOOK, method="GET", body="plain")

    done = run(
        workflow(
            post("a"),
            post("b"),
            {"key": "c", "type": "http_request", "config": {"method": "GET", "url": HOOK}},
        ),
        {"email": "x"},
        fakes=fakes,
    )

    assert [done.outputs[key]["status_code"] for key in "abc"] == [202, 204, 200]
    assert done.outputs["c"]["body"] == "plain"
    assert len(once.requests) == 1


def test_what_egress_refuses_it_refuses_here_too():
    fakes = Fakes()
    fakes.http("http://*", json={})

    for url, code in (
        ("http://169.254.169.254/latest", "egress.denied_address"),
        ("http://example.com:22/", "egress.denied_port"),
        ("ftp://example.com/", "egress.denied_scheme"),
    ):
        done = run(workflow(post(url=url)), {"email": "x"}, fakes=fakes)
        assert done.error is not None
        assert done.error.code == code
    assert fakes.requests == []


def test_a_definition_with_problems_is_refused_with_each_at_its_place(tmp_path):
    with pytest.raises(
        NotPublishable, match=r"/steps/0/type: Expected one of: .*config.unknown_step_type"
    ) as refused:
        run(workflow({"key": "a", "type": "nope"}, say(message="{{ nope.x }}")))
    assert len(refused.value.problems) == 2

    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow(say())))
    assert run(file).status == "completed"
    assert run(str(file)).status == "completed"


def test_what_publishing_warns_of_is_told():
    done = run(workflow(say("a"), say("b", "{{ a.mesage | default: '' }}")))

    assert [(one.pointer, one.code) for one in done.warnings] == [
        ("/steps/1/config/message", "template.unknown_field")
    ]


class Weight(StepOutput):
    grams: int


def test_an_output_that_the_step_type_does_not_declare_is_refused():
    with installed("weigh", ScriptedFast, Output=Weight) as step_type:
        step_type.script = lambda config, context: Completed({"grams": "heavy"})
        with pytest.raises(
            OutputMismatch, match="the output of a is not what the step type weigh declares: grams"
        ):
            run(workflow({"key": "a", "type": "weigh"}))
        assert run(workflow({"key": "a", "type": "weigh"}), check_outputs=False).status == "completed"


def test_runs_that_a_run_leads_to_are_run_too():
    publish(workflow(say(message="{{ trigger.fields.name }}"), name="On a new account", trigger={
        "type": "record", "config": {"entity": "account", "event": "created"},
    }))  # fmt: skip
    with installed("make", ScriptedFast) as step_type:

        def make(config: Any, context: Any) -> Completed:
            from crm.models import Account

            return Completed({"id": str(Account.objects.create(name="Acme").pk)})

        step_type.script = make
        done = run(workflow({"key": "made", "type": "make"}))

    (led_to,) = done.led_to
    assert (led_to.workflow, led_to.status, led_to.depth) == ("On a new account", "completed", 1)
    assert led_to.messages == ["Acme"]
    assert led_to.trace_id == done.trace_id


def test_slow_steps_of_other_types_are_attempted_as_their_settings_say():
    with installed("slow", ScriptedSlow) as step_type:

        def fail(request: Any, context: Any) -> Any:
            raise TransientStepError("step.timeout")

        step_type.script = fail
        done = run(workflow({"key": "a", "type": "slow", "retry": {"max_attempts": 3}}))

    assert (done.status, done.steps["a"].attempts) == ("failed", 3)
    assert [context.attempt for _, context in step_type.sent] == [1, 2, 3]


def test_inside_a_transaction_it_says_what_the_test_needs():
    with transaction.atomic(), pytest.raises(WrongDatabase, match=r"django_db\(transaction=True\)"):
        run(workflow(say()))


def test_outside_of_tests_it_writes_nothing(monkeypatch):
    from django.test import utils

    monkeypatch.delattr(utils._TestState, "saved_data")
    with pytest.raises(WrongDatabase, match="in tests only"):
        run(workflow(say()))


def test_a_run_that_stands_still_is_an_error(monkeypatch):
    from executions import engine

    def broken(run_id: str) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(engine, "advance_run", broken)
    with pytest.raises(NeverEnds, match="Tested: pending"):
        run(workflow(say()))


def test_a_secret_is_sent_to_its_host_and_stands_nowhere_in_the_result() -> None:
    fakes = Fakes()
    fakes.http(
        "https://chat.example/messages", method="POST", status=201, json={"echo": secret_value("chat")}
    )
    step = {
        "key": "say",
        "type": "http_request",
        "config": {
            "method": "POST",
            "url": "https://chat.example/messages",
            "auth": {"type": "bearer", "token": "{{ secret.chat }}"},
        },
    }
    workflow = {"schema": 1, "name": "Says", "trigger": {"type": "manual"}, "steps": [step]}

    with pytest.raises(NotPublishable, match=r"secret\.unknown"):
        run(workflow, fakes=fakes)
    done = run(workflow, fakes=fakes, secrets={"chat": "chat.example"})

    assert fakes.requests[0].headers["authorization"] == f"Bearer {secret_value('chat')}"
    assert done.outputs["say"]["body"] == {"echo": "[redacted]"}


def test_a_record_step_writes_a_record_and_what_watches_it_is_run_too() -> None:
    publish(
        {
            "schema": 1,
            "name": "Watches",
            "trigger": {"type": "record", "config": {"entity": "contact", "event": "created"}},
            "steps": [{"key": "seen", "type": "log", "config": {"message": "{{ trigger.fields.email }}"}}],
        }
    )
    step = {
        "key": "contact",
        "type": "upsert_record",
        "config": {
            "entity": "contact",
            "match": {"email": "{{ trigger.email }}"},
            "fields": {"first_name": "Ada"},
        },
    }
    used = {"key": "told", "type": "log", "config": {"message": "{{ contact.fields.emial }}"}}
    workflow = {"schema": 1, "name": "Writes", "trigger": {"type": "manual"}, "steps": [step]}

    done = run(workflow, {"email": "ada@example.com"})
    warned = run({**workflow, "steps": [step, used]}, {"email": "ada@example.com"})

    assert done.outputs["contact"]["created"] is True
    assert [one.outputs["seen"] for one in done.led_to] == [{"message": "ada@example.com"}]
    assert [one.pointer for one in warned.warnings] == ["/steps/1/config/message"]
    assert warned.error is not None


def test_many_failures_of_one_fake_are_what_the_retries_say_and_open_no_circuit(settings: Any) -> None:
    """A circuit and a budget of retries go by the clock on the wall; the test's step waited for a day, and failed by it."""
    settings.LIGHTFIELD_CIRCUIT_CALLS = 4
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 0.1, 0.0
    fakes = Fakes()
    fakes.http(HOOK, status=503, times=12)
    fakes.http(HOOK, status=200)

    found = run(
        workflow(post(retry={"max_attempts": 20, "base_seconds": 1})), {"email": "a@b.example"}, fakes=fakes
    )

    assert (found.status, len(fakes.requests)) == ("completed", 13)
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"refused", "ok"}
