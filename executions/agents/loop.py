"""The agent's loop: ask the model, do what it wants if it may, tell it what came of that, until it gives its output.

What happened is journaled, and the journal is replayed first: an attempt that follows a crash, a retry or a put-back takes the
same way through this code, fed from the rows, and goes on where they end. So nothing here may depend on anything else but
the frozen request and what was answered.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from executions.agents import asking, keeping, prompting, telling
from executions.agents.calling import Caller, permitted, result_of
from executions.agents.journal import Journal, Turn
from executions.agents.measuring import MOST_BYTES, Conversation
from executions.agents.models import TurnKind
from executions.agents.schemas import Schema
from executions.agents.spending import Spending
from executions.agents.values import (
    FINAL,
    CallResult,
    CallWanted,
    JsonObject,
    ModelSpec,
    Question,
    Reply,
    Told,
    ToolSpec,
)
from lightfield.kernel import sql
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import LostRace, PermanentStepError, RequestRefused, StepError
from workflows.step_types import StepContext

MOST_REPAIRS: Final = 2
MARGIN_SECONDS: Final = 20.0  # of an attempt beyond limits.seconds: to write down what came last


def run(request: JsonObject, context: StepContext) -> JsonObject:
    """One attempt of an agent step; returns its output: `{"output", "usage", "tool_calls"}`.

    Args:
        request: as frozen (`executions.steps.ai_agent`).

    Raises:
        PermanentStepError: `ai.limit_*`, `ai.context_too_long`, `ai.invalid_output`, `ai.content_filtered`, and what models
            and secrets say; the metadata of ours has the `usage` so far.
        TransientStepError: the next attempt goes on after the last finished turn.
        LostRace: the step is somebody else's by now.
    """
    return _Agent(request, context).run()


def time_limit(request: JsonObject) -> float:
    """Seconds that one attempt may take in all."""
    return float(request["limits"]["seconds"]) + MARGIN_SECONDS


class _Agent:
    def __init__(self, request: JsonObject, context: StepContext) -> None:
        self.request, self.context = request, context
        began = time.monotonic()
        schema = request.get("output_schema")
        self.schema = _usable(schema) if schema is not None else None
        self.permitted = permitted(request.get("tools") or [])
        self.journal = Journal(context)
        self.journal.load()
        self.spending = Spending(
            request["limits"],
            request.get("price"),
            sum(turn.seconds or 0.0 for turn in self.journal.turns),
            began,
        )
        self.caller = Caller(context, self.journal, self.spending, self.permitted)
        key = context.idempotency_key
        self.said = Conversation(
            prompting.instructions(request, key), prompting.prompt(request, key), self._tools()
        )
        self.repairs = 0
        self.at = 0  # rows of the journal that were gone through

    def run(self) -> JsonObject:
        try:
            return self._run()
        except (LostRace, MemoryError):
            raise
        except Exception:
            self.journal.flush()  # whatever ends the attempt, what has happened is known
            raise

    def _run(self) -> JsonObject:
        while True:
            reply = self._replayed() or self._asked()
            self.spending.check_answer()
            if reply.finish == "content_filter":
                raise self.spending.failure("ai.content_filtered")
            told, output = self._followed(reply)
            if told is None:
                self.journal.flush()
                return telling.output_of(output, self.spending.usage(), self.journal.turns)
            self.said.add((reply, told))

    # --- the model --------------------------------------------------------------------------------

    def _replayed(self) -> Reply | None:
        turn = self._journaled(TurnKind.MODEL)
        if turn is None:
            return None
        reply = telling.reply_of(turn)
        self.spending.count_turn(reply.usage, turn.cost)
        return reply

    def _asked(self) -> Reply:
        self.spending.check_turn()
        self._check_length()
        self.journal.flush()  # what the model is told now stands in the journal
        question, began = self._question(), time.monotonic()
        sql.release()
        self.context.before_sending()
        self.caller.sent()
        with self._in_time():
            reply = keeping.kept_reply(asking.ask(question))
        crashpoint("CP-A1")
        cost = self.spending.cost_of(reply.usage)
        self.journal.add(telling.turn_of(reply, self._next_model_turn(), cost, time.monotonic() - began))
        self.at += 1
        self.spending.count_turn(reply.usage, cost)
        if not self._begins_by_sending(reply):
            self.journal.flush()
        return reply

    def _check_length(self) -> None:
        """Raises PermanentStepError: `ai.context_too_long`; nothing is sent."""
        if (size := self.said.bytes) > MOST_BYTES:
            raise self.spending.failure(
                "ai.context_too_long",
                f"The conversation has {size:,} bytes with its tools' answers; {MOST_BYTES:,} are allowed.",
                bytes=size,
                limit=MOST_BYTES,
            )

    def _next_model_turn(self) -> Turn:
        return self.journal.next(TurnKind.MODEL, self.request["model"]["name"])

    def _begins_by_sending(self, reply: Reply) -> bool:
        """Then the answer is journaled with the first request: nothing is waited for in between."""
        first = next((call for call in reply.calls if not self._is_final(call)), None)
        found = self.permitted.get(first.name) if first is not None else None
        return found is not None and found.tool.effect == "sends"

    def _question(self) -> Question:
        context, said = self.context, self.said
        return Question(
            model=_model_of(self.request),
            instructions=said.instructions,
            prompt=said.prompt,
            exchanges=tuple(said.exchanges),
            tools=said.tools,
            must_call=self.schema is not None,
            most_output_tokens=self.spending.answer_tokens,
            seconds=max(min(self.spending.deadline - time.monotonic(), context.seconds_left()), 0.001),
            key=self.journal.key_of(TurnKind.MODEL),
            trace_id=context.trace_id,
            is_retry=self.caller.is_retry(),
            held_for=self.caller.held_for(),
            before_sending=context.before_sending,
        )

    def _tools(self) -> tuple[ToolSpec, ...]:
        specs = [one.tool.spec for one in self.permitted.values()]
        if self.schema is not None:
            specs.append(prompting.final_tool(self.schema.schema))
        return tuple(specs)

    # --- what follows from an answer --------------------------------------------------------------

    def _followed(self, reply: Reply) -> tuple[Told | None, Any]:
        """Do what the answer wants. What the model is told then; None: it has given its output, which is the second."""
        if not reply.calls:
            return self._of_text(reply)
        results = {call.id: self._called(call) for call in reply.calls if not self._is_final(call)}
        finals = [call for call in reply.calls if self._is_final(call)]
        if len(finals) == 1:
            output, wrong = self._given(finals[0])
            if wrong is None and not any(result.is_error for result in results.values()):
                return None, output
            if wrong is None:
                wrong = prompting.AFTER_A_FAILURE
            else:
                self._repair(wrong)
            results[finals[0].id] = CallResult(finals[0].id, FINAL, wrong, is_error=True)
        elif finals:
            self._repair(prompting.GIVE_ONCE)
            for call in finals:
                results[call.id] = CallResult(call.id, FINAL, prompting.GIVE_ONCE, is_error=True)
        return Told(results=tuple(results[call.id] for call in reply.calls)), None

    def _of_text(self, reply: Reply) -> tuple[Told | None, Any]:
        if reply.finish == "length":
            wrong = prompting.CUT_OFF
        elif self.schema is not None:
            wrong = prompting.NOT_GIVEN
        elif not reply.text.strip():
            wrong = prompting.EMPTY
        else:
            return None, reply.text
        self._repair(wrong)
        return Told(text=wrong), None

    def _given(self, call: CallWanted) -> tuple[Any, Any]:
        """The output of a final call, or what is wrong with it."""
        assert self.schema is not None
        value: Any = call.arguments
        if not isinstance(value, dict):
            return None, {
                "message": prompting.UNFIT,
                "problems": [_problem("It is no JSON object that can be read.")],
            }
        if not prompting.is_object(self.schema.schema):
            if set(value) != {prompting.WRAPPED}:
                problem = _problem(f"It has to have the one field {prompting.WRAPPED!r}.")
                return None, {"message": prompting.UNFIT, "problems": [problem]}
            value = value[prompting.WRAPPED]
        problems = self.schema.problems(value) or telling.flaws_of_output(value)
        return value, {"message": prompting.UNFIT, "problems": problems} if problems else None

    def _repair(self, wrong: Any) -> None:
        """Raises PermanentStepError: `ai.invalid_output`, when the model was told often enough."""
        self.repairs += 1
        if self.repairs > MOST_REPAIRS:
            problems = wrong["problems"] if isinstance(wrong, dict) else [_problem(wrong)]
            raise self.spending.failure("ai.invalid_output", problems=problems)

    def _is_final(self, call: CallWanted) -> bool:
        return call.name == FINAL and self.schema is not None

    def _called(self, call: CallWanted) -> CallResult:
        turn = self._journaled(TurnKind.TOOL)
        if turn is not None and turn.is_finished:
            self.spending.tool_calls += 1
            return result_of(turn)
        with self._in_time():
            made = self.caller.make(call) if turn is None else self.caller.resume(turn)
        if turn is None:
            self.at += 1
        return result_of(made)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Around what waits for others: whatever error comes when the time is over, the time is over."""
        try:
            yield
        except StepError as error:
            judged = self.spending.judged(error)
            if judged is error:
                raise
            raise judged from None

    def _journaled(self, kind: TurnKind) -> Turn | None:
        """The next row of the journal, if there is one."""
        if self.at >= len(self.journal.turns):
            return None
        turn = self.journal.turns[self.at]
        if turn.kind != kind:  # what this code makes of the rows is not what the code that wrote them did
            raise PermanentStepError("step.unexpected", f"Turn {turn.number} of the journal does not fit.")
        self.at += 1
        return turn


def _usable(schema: JsonObject) -> Schema:
    try:
        return Schema(schema)
    except RequestRefused as refusal:
        raise PermanentStepError(
            "config.invalid",
            f"The output_schema cannot be used: {refusal.message}",
            problems=[problem.as_json() for problem in refusal.problems],
        ) from None


def _model_of(request: JsonObject) -> ModelSpec:
    model = request["model"]
    key = model["api_key"]
    return ModelSpec(model["provider"], model["name"], model["base_url"], None if key is None else tuple(key))


def _problem(detail: str) -> JsonObject:
    return {"pointer": "", "detail": detail}
