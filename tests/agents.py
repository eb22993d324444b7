"""Agents for tests: a step type that is the loop and nothing else, a model that says what the test wants, tools of three kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from crm.models import Account
from executions import admission, claims, worker
from executions.agents import asking, loop, tools
from executions.agents.models import AgentTurn
from executions.agents.tools import Grant, Tool, ToolContext, ToolKind
from executions.agents.values import FINAL, CallWanted, Question, Reply, ToolSpec, Usage
from executions.models import Run, StepRun
from tests.staging import a_run, live
from workflows import step_types
from workflows.step_types import JsonObject, SlowStepType, StepContext

LIMITS = {"turns": 10, "tool_calls": 20, "tokens": 100_000, "seconds": 120, "cost": None}
READ, WRITE, SEND = {"type": "test_read"}, {"type": "test_write"}, {"type": "test_send"}
ANY_OBJECT: JsonObject = {"type": "object"}


class AnyConfig(BaseModel):
    model_config = ConfigDict(extra="allow")


class AgentStep(SlowStepType[AnyConfig]):
    """The loop, with a frozen request that the test writes."""

    name = "test_agent"
    lane = "ai"
    summary = "Asks a model."
    Config = AnyConfig
    freezes_early = True

    def freeze(self, config: AnyConfig) -> JsonObject:
        return a_request(**(config.model_extra or {}))

    def execute(self, request: JsonObject, context: StepContext) -> JsonObject:
        return loop.run(request, context)

    def time_limit(self, request: JsonObject) -> float:
        return loop.time_limit(request)


def a_request(**more: Any) -> JsonObject:
    """A frozen request, as `ai_agent` makes them."""
    limits = {**LIMITS, **more.pop("limits", {})}
    return {
        "model": {
            "provider": "openai",
            "name": "scripted",
            "base_url": "http://localhost:1",
            "api_key": None,
        },
        "instructions": [],
        "prompt": ["Do it."],
        "output_schema": None,
        "tools": [READ, WRITE, SEND],
        "limits": limits,
        "price": None,
        **more,
    }


def an_agent(key: str = "agent", **config: Any) -> JsonObject:
    """The step as a definition has it."""
    retry = config.pop("retry", None)
    step = {"key": key, "type": "test_agent", "config": config}
    return {**step, "retry": retry} if retry else step


# --- the model ------------------------------------------------------------------------------------------

Says = Reply | Exception | Callable[[Question], Reply]


class Model:
    """Answers the n-th turn of an agent with the n-th of its answers, whoever asks and however often."""

    def __init__(self, *answers: Says) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> Reply:
        self.asked.append(question)
        said = self.answers[min(len(question.exchanges), len(self.answers) - 1)]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Reply) else said(question)

    @property
    def turns(self) -> list[int]:
        """Which turn each question was for, from 1."""
        return [len(question.exchanges) + 1 for question in self.asked]


def says(text: str, *, tokens: int = 10, **more: Any) -> Reply:
    return Reply(text=text, usage=Usage(tokens, tokens), model="scripted-1", **more)


def calls(*wanted: tuple[str, Any], tokens: int = 10, **more: Any) -> Reply:
    """An answer that wants these tools called: `("test_read", {…})`."""
    made = tuple(CallWanted(f"c{n}", name, arguments) for n, (name, arguments) in enumerate(wanted, start=1))
    return Reply(calls=made, usage=Usage(tokens, tokens), model="scripted-1", finish="tool_calls", **more)


def gives(output: Any) -> tuple[str, Any]:
    return FINAL, output


# --- the tools ------------------------------------------------------------------------------------------


class ScriptedTool(Tool):
    """Does what `script` says; `called` has the arguments and the context of each call."""

    effect: ClassVar[Literal["reads", "writes", "sends"]]
    script: ClassVar[Callable[[JsonObject, ToolContext], Any] | None] = None
    called: ClassVar[list[tuple[JsonObject, ToolContext]]] = []

    def call(self, asked: JsonObject, context: ToolContext) -> Any:
        type(self).called.append((asked, context))
        script = type(self).script
        return script(asked, context) if script else self.by_default(asked, context)

    def by_default(self, asked: JsonObject, context: ToolContext) -> Any:
        return {"ok": True, "n": asked.get("n")}


class ReadTool(ScriptedTool):
    spec = ToolSpec("test_read", "Reads.", ANY_OBJECT)
    effect = "reads"


class WriteTool(ScriptedTool):
    """By default it makes an account of the name that it is given."""

    spec = ToolSpec(
        "test_write",
        "Writes.",
        {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    )
    effect = "writes"

    def by_default(self, asked: JsonObject, context: ToolContext) -> Any:
        return {"id": str(Account.objects.create(name=asked["name"]).pk)}


class SendTool(ScriptedTool):
    spec = ToolSpec("test_send", "Sends.", ANY_OBJECT)
    effect = "sends"

    def freeze(self, arguments: JsonObject, context: ToolContext) -> JsonObject:
        return {"frozen": arguments}


TOOLS: tuple[type[ScriptedTool], ...] = (ReadTool, WriteTool, SendTool)


def _kind(tool: type[ScriptedTool]) -> type[ToolKind[Grant]]:
    def made(self: Any, grants: Sequence[Grant], all_grants: Sequence[Grant]) -> list[Tool]:
        return [tool()]

    return type(
        f"Kind_{tool.spec.name}",
        (ToolKind,),
        {"name": tool.spec.name, "summary": "Of a test.", "Grant": Grant, "tools": made},
    )


@contextmanager
def agents_installed() -> Iterator[None]:
    """The step type, and the three kinds of tools as they are by default."""
    step_types.register(AgentStep)
    for tool in TOOLS:
        tool.script, tool.called = None, []
        tools.register(_kind(tool))
    try:
        yield
    finally:
        step_types.unregister(AgentStep.name)
        for tool in TOOLS:
            tools.unregister(tool.spec.name)


@contextmanager
def asked_of(model: asking.Asks) -> Iterator[None]:
    before = asking.use(model)
    try:
        yield
    finally:
        asking.use(before)


class Story:
    """An agent that reads, writes twice and sends twice over three turns; whatever is asked of anybody is noted in a file.

    So that processes that die of it, and those that go on, tell one story.
    """

    FILE = "story"
    ANSWERS = (
        calls(("test_read", {"n": 1}), ("test_write", {"name": "Acme"}), ("test_send", {"n": 1})),
        calls(("test_send", {"n": 2}), ("test_write", {"name": "Beta"})),
        says("Done."),
    )
    # What is asked of whom when nobody dies.
    WHOLE = (
        "ask 1",
        "read call_1",
        "write call_2",
        "send call_3",
        "ask 2",
        "send call_4",
        "write call_5",
        "ask 3",
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model = Model(*self.ANSWERS)

    def note(self, what: str) -> None:
        with self._path.open("a") as file:
            file.write(what + "\n")

    def noted(self) -> list[str]:
        return self._path.read_text().splitlines()

    def model(self, question: Question) -> Reply:
        self.note(f"ask {len(question.exchanges) + 1}")
        return self._model(question)

    @contextmanager
    def told(self) -> Iterator[None]:
        def noting(tool: type[ScriptedTool]) -> Callable[[JsonObject, ToolContext], Any]:
            def script(asked: JsonObject, context: ToolContext) -> Any:
                self.note(f"{tool.spec.name.removeprefix('test_')} {context.key.rpartition(':')[2]}")
                return tool().by_default(asked, context)

            return script

        for tool in TOOLS:
            tool.script = noting(tool)
        try:
            yield
        finally:
            for tool in TOOLS:
                tool.script = None


# --- runs of agents -------------------------------------------------------------------------------------


def play(run: Run) -> Any:
    """One attempt at the agent that this run stands at; its step run."""
    from lightfield.kernel import sql

    sql.rows("UPDATE executions_steprun SET due_at = clock_timestamp() WHERE status = 'waiting'", {})
    admission.admit("ai")
    step = live(run)
    worker.execute([step.pk])
    step.refresh_from_db()
    return step


def played(*answers: Says, model: Model | None = None, **config: Any) -> Any:
    """One attempt at a new agent whose model answers so."""
    with asked_of(model or Model(*answers)):
        return play(a_run(an_agent(**config)))


def context_of(step: claims.StepInHand, **more: Any) -> StepContext:
    """What `execute` is given."""
    from executions import attempts

    return attempts.context_of(step, limit_seconds=60, **more)


def turns_of(step: StepRun) -> list[tuple[int, str, str, str | None]]:
    """Number, kind, last part of the key, error."""
    found = AgentTurn.objects.filter(step_run=step).order_by("number")
    return [(one.number, one.kind, one.key.rpartition(":")[2], one.error_code) for one in found]
