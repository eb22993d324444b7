"""Many questions at once: each thread asks for itself, and nothing is left open."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from executions.agents.asking import ask
from executions.egress import current
from tests.scripted_models import a_question, a_scripted_model, spec_of

AT_ONCE = 100
whose: ContextVar[str] = ContextVar("whose", default="nobody's")


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> Any:
    settings.LIGHTFIELD_EGRESS_ALLOW = "127.0.0.0/8"
    settings.LIGHTFIELD_OWN_SERVERS = []
    yield
    current.close()


def test_given_a_hundred_threads_then_all_their_questions_wait_at_once_and_each_gets_its_own_answer() -> None:
    def answers(conversation: Any) -> dict[str, Any]:
        return {"text": conversation.texts[0], "together": AT_ONCE}

    with a_scripted_model({"*": answers}) as server:

        def question(number: int) -> str:
            provider: Any = ("openai", "anthropic")[number % 2]
            prompt = f"I am {number}."
            return ask(
                a_question(spec_of(server, provider), prompt=prompt, key=f"k{number}", seconds=60.0)
            ).text

        with ThreadPoolExecutor(AT_ONCE) as threads:
            said = list(threads.map(question, range(AT_ONCE)))
        assert said == [f"I am {number}." for number in range(AT_ONCE)]
        assert {server.times(f"k{number}") for number in range(AT_ONCE)} == {1}


def test_given_hundreds_of_questions_then_no_file_no_thread_and_no_loop_is_left() -> None:
    with a_scripted_model([{"text": "x"}]) as server:
        models = [spec_of(server), spec_of(server, "anthropic")]
        for model in models:
            ask(a_question(model))  # what is made once has been made
        before = (len(os.listdir("/proc/self/fd")), threading.active_count())
        for number in range(300):
            ask(a_question(models[number % 2]))
        assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_given_a_question_then_what_egress_asks_for_runs_in_the_steps_own_thread_and_context() -> None:
    """Django refuses its database inside a running event loop; a step's secrets are known to its context alone."""
    seen: list[Any] = []

    def look() -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        seen.append((threading.get_ident(), whose.get()))

    token = whose.set("this step's")
    try:
        with a_scripted_model([{"text": "x"}]) as server:
            for provider in ("openai", "anthropic"):
                ask(a_question(spec_of(server, provider), before_sending=look))  # type: ignore[arg-type]
    finally:
        whose.reset(token)
    assert seen == [(threading.get_ident(), "this step's")] * 2


@pytest.mark.parametrize(("role", "is_there"), [("worker-ai", True), ("worker-http", False)])
def test_given_a_workers_first_message_then_what_speaks_with_models_is_there_before_a_step_is_claimed(
    role: str, is_there: bool
) -> None:
    code = (
        "import sys, django; django.setup()\n"
        "from executions import worker\n"
        "def claim(ids, **_): print('pydantic_ai' in sys.modules); return []\n"
        "worker.execute([1], claim=claim)"
    )
    environ = {**os.environ, "LIGHTFIELD_ROLE": role}
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert told.stdout.strip() == str(is_there)
