"""The one door to AgentTurn: what an agent of this process did, written under its step's fence or not at all.

Rows are numbered 1, 2, … in the order in which things happened. What is `add`ed is written with the next `flush`, together
with the timeline's entries for it, in one statement. A write whose reply was lost is looked for before it is made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from executions import transacting
from executions.agents import kept_keys
from executions.agents.journal_statements import LOAD, WAIT_FOR_STEP, WRITE, WRITE_AND_TELL, WRITTEN
from executions.agents.kept_keys import KeptKeys
from executions.agents.models import TurnKind
from executions.agents.values import JsonObject
from lightfield.kernel import sql, strict_json
from lightfield.kernel.crashpoint import crashpoint
from lightfield.kernel.errors import TransientStepError
from workflows.step_types import StepContext

logger = logging.getLogger(__name__)

R = TypeVar("R")

LONGEST_DELAY: Final = 1.0  # seconds between two looks whether the database is back


@dataclass(frozen=True)
class Turn:
    """One row. `seconds` is what it took; None: it is not finished."""

    number: int
    kind: TurnKind
    key: str
    name: str
    asked: JsonObject | None = None
    answer: Any = None
    error_code: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    seconds: float | None = None

    @property
    def is_finished(self) -> bool:
        return self.seconds is not None


class Journal:
    """Of one step, in the hands of one attempt. Each write raises LostRace when the step is somebody else's by now."""

    def __init__(self, context: StepContext) -> None:
        self._context = context
        self._pending: list[Turn] = []
        self._entries: list[JsonObject] = []
        self._is_urgent = False
        # Not the effect's, which a replay may have from the run that it replays.
        self._own_key = f"{context.run_id}:{context.step_key}"
        self._kept_keys = KeptKeys()
        self.turns: list[Turn] = []  # what has happened, and what is begun

    # --- reading ----------------------------------------------------------------------------------

    def load(self) -> None:
        """What earlier attempts did; the first one of a run that is no replay asks nothing."""
        context = self._context
        if context.attempt > 1:
            self.turns = self._persisted(lambda _: _load(context.step_run_id))
        if context.is_replay:
            self._kept_keys = self._persisted(lambda _: kept_keys.load(context.run_id, context.step_key))

    def key_of(self, kind: TurnKind) -> str:
        """For the next turn, or the next call."""
        number = sum(turn.kind == kind for turn in self.turns) + 1
        word = "turn" if kind == TurnKind.MODEL else "call"
        return f"{self._own_key}:{word}_{number}"

    def key_of_request(self, turn: Turn, request: JsonObject) -> str:
        """The same, unless this very request was sent in the run that is replayed."""
        used = (one.key for one in self.turns)
        return self._kept_keys.key_of(turn.name, request, used) or turn.key

    # --- writing ----------------------------------------------------------------------------------

    def next(self, kind: TurnKind, name: str, **columns: Any) -> Turn:
        """The next row, as it would be."""
        return Turn(len(self.turns) + 1, kind, self.key_of(kind), name, **columns)

    def add(self, turn: Turn, told: JsonObject | None = None, *, can_wait: bool = False) -> None:
        """To be written with the next flush: a new row, or the end of one that was begun.

        Args:
            told: the timeline's entry for it.
            can_wait: it may be lost with this process, and is then done again.
        """
        self._is_urgent = self._is_urgent or not can_wait
        if turn.number == len(self.turns) + 1:
            self.turns.append(turn)
        else:
            self.turns[turn.number - 1] = turn
        # What was begun and is finished before it was written is one row.
        self._pending = [one for one in self._pending if one.number != turn.number] + [turn]
        if told is not None:
            self._entries.append(told)

    def flush(self) -> None:
        """Write what was added, in one statement, and hold no connection afterwards."""
        if self._pending:
            self._flushed()

    def begin(self, turn: Turn) -> Turn:
        """Write a request that is about to be sent, together with what was added before it.

        Returns the turn with the request as the journal has it: a later attempt sends that, and the first one the same.
        jsonb spells some values otherwise than they came, the order of fields for one.
        """
        self.add(turn)
        asked = self._flushed()
        begun = replace(turn, asked=_read(asked))
        self.turns[turn.number - 1] = begun
        return begun

    def _flushed(self) -> str | None:
        """Write what was added. What was asked for in the row that is only begun, as it stands there."""

        def write(is_repeated: bool) -> str | None:
            if is_repeated and len(found := self._found(self._pending)) == len(self._pending):
                there: str | None = found[-1][3]
                return there
            return self._write(self._pending, self._entries)

        asked = self._persisted(write)
        self._pending, self._entries, self._is_urgent = [], [], False
        return asked

    def flush_urgent(self) -> None:
        """The same, unless all of it can wait."""
        if self._is_urgent:
            self.flush()

    def write_with(self, turn: Turn, work: Callable[[], Any]) -> Turn:
        """Do a tool's work in the transaction that journals it. Returns the turn with what `work` returned.

        Raises:
            StepError: of the work, or others wrote at the same moment every time; nothing of it is written.
        """
        transacting.refuse_to_nest()
        self.flush()
        done = self._persisted(lambda is_repeated: self._worked(turn, work, is_repeated=is_repeated))
        self.turns.append(done)
        return done

    def _worked(self, turn: Turn, work: Callable[[], Any], *, is_repeated: bool) -> Turn:
        if is_repeated and (found := self._found([replace(turn, seconds=0.0)])):
            _, answer, error_code, _ = found[0]
            return replace(turn, answer=_read(answer), error_code=error_code, seconds=0.0)
        context = self._context

        def once() -> Turn:
            began = time.monotonic()
            with transaction.atomic():
                transacting.lock(context.run_id, context.step_run_id, context.fence, was="running")
                with transacting.told_apart():
                    answer = work()
                done = replace(turn, answer=answer, seconds=time.monotonic() - began)
                self._write([done], [])
                unknown_to_others()
            return done

        return transacting.repeated(once, run_id=context.run_id, step=context.step_key)

    # --- statements -------------------------------------------------------------------------------

    def _write(self, turns: Sequence[Turn], entries: Sequence[JsonObject]) -> str | None:
        """What was asked for in the row that is only begun, as it stands there."""
        params = {
            **self._guard(),
            "run_id": self._context.run_id,
            "attempt": self._context.attempt,
            "turns": sql.json([_row(turn) for turn in turns]),
        }
        asked: str | None
        if entries:
            ((_, asked),) = sql.rows(WRITE_AND_TELL, {**params, "entries": sql.json(list(entries))})
        else:
            ((_, asked),) = sql.rows(WRITE, params)
        return asked

    def _found(self, turns: Sequence[Turn]) -> list[tuple[Any, ...]]:
        """Which of these this attempt has written already."""
        wanted = [{"number": turn.number, "key": turn.key, "seconds": turn.seconds} for turn in turns]
        return sql.rows_after(WAIT_FOR_STEP, WRITTEN, {**self._guard(), "turns": sql.json(wanted)})

    def _guard(self) -> JsonObject:
        return {"step_run_id": self._context.step_run_id, "fence": self._context.fence}

    def _persisted(self, transact: Callable[[bool], R]) -> R:
        """Run it although the database restarts meanwhile, as long as the step is ours. It is told whether it may have run.

        Raises:
            LostRace: the lease is nearly over; whoever takes the step over goes on from the journal.
            TransientStepError: `engine.database_unavailable`.
        """
        give_up = time.monotonic() + settings.LIGHTFIELD_LEASE_SECONDS
        delay, is_repeated = 0.05, False
        while True:
            try:
                return sql.retrying_conflicts(transact)(is_repeated)
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() + delay > give_up:
                    raise TransientStepError(
                        "engine.database_unavailable", "What the agent did could not be written."
                    ) from error
                logger.info("journal_written_again", extra={"error": str(error)})
            finally:
                sql.release()
            self._context.before_sending()
            time.sleep(delay)
            delay, is_repeated = min(delay * 2, LONGEST_DELAY), True


def unknown_to_others() -> None:
    """Here a tool has done its work, and no row says so yet."""
    crashpoint("CP-A2")


def _load(step_run_id: int) -> list[Turn]:
    return [
        Turn(row[0], TurnKind(row[1]), row[2], row[3], _read(row[4]), _read(row[5]), *row[6:])
        for row in sql.rows(LOAD, {"step_run_id": step_run_id})
    ]


def _read(text: str | None) -> Any:
    return None if text is None else strict_json.from_storage(text)


def _row(turn: Turn) -> JsonObject:
    return {
        "number": turn.number,
        "kind": turn.kind.value,
        "key": turn.key,
        "name": turn.name,
        "asked": turn.asked,
        "answer": turn.answer,
        "error_code": turn.error_code,
        "input_tokens": turn.input_tokens,
        "output_tokens": turn.output_tokens,
        "cost": None if turn.cost is None else str(turn.cost),
        "seconds": turn.seconds,
    }
