"""One tool call: whether it may be made, how it is made according to what it does, and what the model is told of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from django.db import InterfaceError, OperationalError
from pydantic import ValidationError

from executions.agents import keeping, tools
from executions.agents.journal import Journal, Turn, unknown_to_others
from executions.agents.models import TurnKind
from executions.agents.schemas import Schema
from executions.agents.spending import Spending
from executions.agents.telling import shown
from executions.agents.tools import Tool, ToolContext
from executions.agents.values import FINAL, CallResult, CallWanted, JsonObject
from executions.attempts import checked_request
from executions.secrets import hiding
from executions.timeline import entry
from executions.transacting import CANCELLED
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, RequestRefused, StepError, TransientStepError
from workflows.step_types import StepContext

DENIED = "ai.permission_denied"
INVALID = "ai.invalid_arguments"
TRIED_CHARS = 300  # of what was tried, in the timeline


@dataclass(frozen=True)
class Permitted:
    """A tool of this step, and what its arguments have to be like."""

    tool: Tool
    schema: Schema


def permitted(grants: list[JsonObject]) -> dict[str, Permitted]:
    """The tools of a step by their names. Raises PermanentStepError: `config.invalid`."""
    parsed: list[tools.Grant] = []
    for grant in grants:
        kind = tools.find(str(grant.get("type")))
        if kind is None:
            raise PermanentStepError("config.invalid", f"There are no tools of type {grant.get('type')!r}.")
        try:
            parsed.append(kind.Grant.model_validate(grant))
        except ValidationError as error:
            raise PermanentStepError(
                "config.invalid", f"The permission {kind.name} is not valid: {error.errors()[0]['msg']}"
            ) from None
    found: dict[str, Permitted] = {}
    for name in dict.fromkeys(grant.type for grant in parsed):
        kind = tools.find(name)
        assert kind is not None
        for tool in kind.tools([grant for grant in parsed if grant.type == name], parsed):
            if tool.spec.name in found or tool.spec.name == FINAL:
                raise PermanentStepError("config.invalid", f"Two tools are called {tool.spec.name!r}.")
            found[tool.spec.name] = Permitted(tool, _schema_of(tool))
    return found


def _schema_of(tool: Tool) -> Schema:
    try:
        return Schema(tool.spec.parameters)
    except RequestRefused as refusal:
        raise PermanentStepError(
            "config.invalid", f"The schema of the tool {tool.spec.name!r} cannot be used: {refusal.message}"
        ) from None


class Caller:
    """Makes the calls of one attempt. Each is journaled, also one that is refused."""

    def __init__(
        self,
        context: StepContext,
        journal: Journal,
        spending: Spending,
        permitted: Mapping[str, Permitted],
    ) -> None:
        self._context = context
        self._journal = journal
        self._spending = spending
        self._permitted = permitted
        self._is_first = True  # nothing was sent in this attempt so far

    def sent(self) -> None:
        """Something else was sent in this attempt."""
        self._is_first = False

    def is_retry(self) -> bool:
        """Whether what is sent next is what an attempt before may have sent."""
        return self._is_first and self._context.is_retry

    def held_for(self) -> str | None:
        """The code for which the attempt before did not send what is sent next."""
        return self._context.held_for if self._is_first else None

    def make(self, wanted: CallWanted) -> Turn:
        """Make a new call, and journal it.

        Raises:
            TransientStepError: the attempt ends, and the next one makes the call again.
            PermanentStepError: `ai.limit_*`.
            LostRace: the step is somebody else's by now.
        """
        self._spending.check_call()
        self._spending.tool_calls += 1
        asked = {"id": wanted.id, "arguments": wanted.arguments}
        turn = self._journal.next(TurnKind.TOOL, wanted.name, asked=asked)
        try:
            tool = self._judged(wanted)
            assert isinstance(wanted.arguments, dict)
            return self._made(tool, turn, wanted.arguments)
        except PermanentStepError as error:
            return self._end(turn, error=error)

    def resume(self, turn: Turn) -> Turn:
        """Make a call again whose request was journaled and may have been sent. Raises as `make`."""
        self._spending.tool_calls += 1
        self._spending.check_seconds()
        permitted = self._permitted.get(turn.name)
        if permitted is None:
            return self._end(turn, error=_denied(turn.name))
        asked = turn.asked or {}
        return self._send(permitted.tool, turn, asked["request"], is_repeat=True)

    def _judged(self, wanted: CallWanted) -> Tool:
        permitted = self._permitted.get(wanted.name)
        if permitted is None:
            raise _denied(wanted.name)
        if not isinstance(wanted.arguments, dict):
            raise PermanentStepError(INVALID, "The arguments are no JSON object that can be read.")
        permitted.tool.judge(wanted.arguments)
        if problems := permitted.schema.problems(wanted.arguments):
            raise PermanentStepError(INVALID, problems=problems)
        return permitted.tool

    def _made(self, tool: Tool, turn: Turn, arguments: JsonObject) -> Turn:
        if tool.effect == "sends":
            request = checked_request(tool.freeze(arguments, self._tool_context(turn.key)))
            key = self._journal.key_of_request(turn, request)
            turn = replace(turn, key=key, asked={**(turn.asked or {}), "request": request})
            begun = self._journal.begin(turn)  # together with what has just happened
            return self._send(tool, begun, (begun.asked or {})["request"], is_repeat=False)
        if tool.effect == "writes":
            context = self._tool_context(turn.key)
            return self._journal.write_with(turn, lambda: _kept(tool.call(arguments, context)))
        self._journal.flush_urgent()
        began = time.monotonic()
        with _NoConnection():
            answer = _kept(tool.call(arguments, self._tool_context(turn.key)))
        return self._end(turn, answer=answer, began=began)

    def _send(self, tool: Tool, turn: Turn, request: JsonObject, *, is_repeat: bool) -> Turn:
        began = time.monotonic()
        context = self._tool_context(turn.key, is_repeat=is_repeat)
        self.sent()
        try:
            self._context.before_sending()
            with _NoConnection():
                answer = _kept(tool.call(request, context))
        except PermanentStepError as error:
            unknown_to_others()
            return self._end(turn, error=error, began=began)
        unknown_to_others()
        return self._end(turn, answer=answer, began=began)

    def _end(
        self,
        turn: Turn,
        *,
        answer: Any = None,
        error: StepError | None = None,
        began: float | None = None,
    ) -> Turn:
        """Journal what came of it, with the next flush."""
        seconds = 0.0 if began is None else time.monotonic() - began
        if error is None:
            done = replace(turn, answer=answer, seconds=seconds)
        else:
            done = replace(turn, answer=_told(error), error_code=error.code, seconds=seconds)
        is_denied = error is not None and error.code == DENIED
        refusal = _refusal(self._context, done) if is_denied else None
        # What only read, or did nothing, is done again for nothing; a request that was answered is not.
        has_sent = "request" in (turn.asked or {})
        self._journal.add(done, refusal, can_wait=not has_sent)
        return done

    def _tool_context(self, key: str, *, is_repeat: bool = False) -> ToolContext:
        context = self._context
        return ToolContext(
            run_id=context.run_id,
            step_key=context.step_key,
            attempt=context.attempt,
            trace_id=context.trace_id,
            key=key,
            deadline=min(context.deadline, self._spending.deadline),
            is_repeat=is_repeat,
            is_retry=self.is_retry(),
            held_for=self.held_for(),
            before_sending=context.before_sending,
        )


class _NoConnection:
    """Around a tool that reads or sends: it leaves no connection behind, and the database away is nobody's bug."""

    def __enter__(self) -> None:
        sql.release()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        sql.release()
        if isinstance(error, OperationalError | InterfaceError):
            is_slow = sql.sqlstate(error) == CANCELLED
            code = "step.timeout" if is_slow else "engine.database_unavailable"
            raise TransientStepError(code, "A tool could not read.") from error


def result_of(turn: Turn) -> CallResult:
    """What the model is told of a call that was made."""
    asked = turn.asked or {}
    return CallResult(asked["id"], turn.name, turn.answer, is_error=turn.error_code is not None)


def _kept(answer: Any) -> Any:
    try:
        return keeping.kept_result(answer)
    except ValueError as error:
        raise PermanentStepError(
            "step.invalid_output", f"The tool's result cannot be kept: {error}"
        ) from None


def _told(error: StepError) -> JsonObject:
    """As the model, and whoever reads the journal, is told of it."""
    told: JsonObject = {
        "code": error.code,
        "message": keeping.shortened(keeping.clean_text(error.message), 2_000),
    }
    if error.metadata:
        with suppress(ValueError):  # a tool's own oddity: code and message say enough
            told["details"] = keeping.kept_result(error.metadata, keeping.LARGEST_DETAILS)
    return {"error": hiding.hidden_json(told)}


def _denied(name: str) -> PermanentStepError:
    return PermanentStepError(DENIED, f"There is no tool {name!r} for this step.")


def _refusal(context: StepContext, turn: Turn) -> JsonObject:
    asked = turn.asked or {}
    return entry(
        "step.logged",
        step=context.step_key,
        attempt=context.attempt,
        metadata={
            "message": f"The agent was refused {turn.name}: {turn.answer['error']['message']}"[:500],
            "error_code": turn.error_code,
            "tool": turn.name,
            "tried": keeping.brief(shown(asked), TRIED_CHARS, 20),
        },
    )
