"""Agents under fire: the journal against the model's books, the records, the audit trail and the sink's books.

A step's turns have the keys `<run>:<step>:turn_<n>`, its calls `<run>:<step>:call_<n>`. A replay is another step and asks anew;
only a request that it sends once more, as it was sent before, goes out under the key of that time.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.agents import CALLS, KEY, TURNS
from tests.chaos.books import Arrival

Row = tuple[Any, ...]
TOLERANCE = 0.5  # seconds between an instant in PostgreSQL and the same one noted by the sink's busy loop

STEPS = """
SELECT s.id, s.run_id::text, s.status, s.reused,
  (SELECT count(*) FROM executions_timelineentry t WHERE t.run_id = s.run_id AND t.step_key = s.key
     AND t.type IN ('step.lost', 'step.retrying'))
FROM executions_steprun s WHERE s.type = 'ai_agent'
"""
TURNS_OF_ALL = """
SELECT t.step_run_id, t.number, t.kind, t.key, t.name, t.error_code, extract(epoch FROM t.finished_at)::float8,
  t.asked #>> '{arguments,fields,title}'
FROM executions_agentturn t ORDER BY t.step_run_id, t.number
"""
DEEDS = """
SELECT actor, metadata ->> 'call', count(*) FROM access_auditentry
WHERE actor LIKE 'run %' AND metadata ? 'call' GROUP BY 1, 2
"""
NOTES = "SELECT title, count(*) FROM crm_note WHERE title LIKE '%:agent' GROUP BY 1"
WRITING = ("create_record", "upsert_record")


@dataclass(frozen=True)
class Step:
    id: int
    run: str
    status: str
    is_reused: bool
    broken: int  # attempts that were lost or are to be made again

    @property
    def key(self) -> str:
        return f"{self.run}:{KEY}"


@dataclass(frozen=True)
class Turn:
    step: int
    number: int
    kind: str
    key: str
    name: str
    error: str | None
    finished_at: float | None
    title: str | None  # of a note that it was to create


def step_key(key: str) -> str:
    """Of the step that a turn belongs to."""
    return key.rpartition(":turn_")[0]


def is_of_call(key: str) -> bool:
    return ":call_" in key


class Verdict:
    """`broken`: by rule, what breaks it."""

    def __init__(
        self,
        steps: Iterable[Step],
        turns: Iterable[Turn],
        *,
        asked: Iterable[tuple[str, int]],
        deeds: Iterable[Row],
        notes: Iterable[Row],
        arrivals: Mapping[str, list[Arrival]],
    ) -> None:
        self.broken: dict[str, list[str]] = collections.defaultdict(list)
        self._steps = {step.id: step for step in steps}
        self._turns: dict[int, list[Turn]] = collections.defaultdict(list)
        for turn in turns:
            self._turns[turn.step].append(turn)
        for step in self._steps.values():
            self._judge_step(step, self._turns[step.id])
        self._judge_questions(asked)
        self._judge_writes(deeds, notes)
        self._judge_requests(arrivals)

    def _blame(self, rule: str, what: object) -> None:
        self.broken[rule].append(str(what))

    def _judge_step(self, step: Step, turns: list[Turn]) -> None:
        answers = [turn for turn in turns if turn.kind == "model"]
        calls = [turn for turn in turns if turn.kind == "tool"]
        words = f"{step.run}: {step.status}, {len(answers)} turns, {len(calls)} calls"
        is_done = step.status == "completed" and not step.is_reused
        if is_done and (len(answers), len(calls)) != (TURNS, CALLS):
            self._blame("an agent that did not do what it was to do, once", words)
        if is_done and any(turn.finished_at is None or turn.error for turn in turns):
            self._blame("an agent that ended and something of it had not", words)
        keys = [f"{step.key}:turn_{n}" for n in range(1, len(answers) + 1)]
        if [turn.key for turn in answers] != keys:
            self._blame("turns whose keys are not theirs", words)

    def _judge_questions(self, asked: Iterable[tuple[str, int]]) -> None:
        """In the order in which the model had them."""
        questions: dict[str, list[int]] = collections.defaultdict(list)
        for key, turn in asked:
            questions[step_key(key)].append(turn)
        steps = {step.key: step for step in self._steps.values()}
        for key, numbers in questions.items():
            if key not in steps:
                self._blame("a question of a step that is not there", key)
            else:
                self._judge_conversation(steps[key], numbers)
        for row in itertools.chain(*self._turns.values()):
            number = row.key.rpartition("_")[2]
            if row.kind == "model" and int(number) not in questions[step_key(row.key)]:
                self._blame("a turn that the model was never asked", row.key)

    def _judge_conversation(self, step: Step, numbers: list[int]) -> None:
        """Turns that it asked for, in order."""
        if numbers != sorted(numbers):
            self._blame("a finished turn was asked again", f"{step.key}: {numbers}")
        # An attempt that ends in the middle of a turn costs one more; a run that is cancelled, its last one.
        answers = sum(turn.kind == "model" for turn in self._turns[step.id])
        most = answers + step.broken + (step.status != "completed")
        if len(numbers) > most:
            self._blame("more questions than turns and broken attempts", f"{step.key}: {numbers}, {most}")

    def _judge_writes(self, deeds: Iterable[Row], notes: Iterable[Row]) -> None:
        """The audit trail has an entry for each write, in its transaction; the journal has its line there too."""
        done = {(actor, call): number for actor, call, number in deeds}
        titles: collections.Counter[str] = collections.Counter()
        for turns in self._turns.values():
            for turn in turns:
                if turn.name not in WRITING or turn.error or turn.finished_at is None:
                    continue
                number = done.pop((f"run {self._steps[turn.step].run}", turn.key), 0)
                if number != 1:
                    self._blame("a tool that did not write exactly once", f"{turn.key}: {number} times")
                if turn.title:
                    titles[turn.title] += 1
        for left in done:
            self._blame("a tool wrote and the journal does not know", left)
        there: dict[str, int] = dict(notes)
        for title in titles.keys() | there.keys():
            if there.get(title, 0) != titles[title]:
                words = f"{title}: {there.get(title, 0)}, not {titles[title]}"
                self._blame("notes of agents that the journal does not agree with", words)

    def _judge_requests(self, arrivals: Mapping[str, list[Arrival]]) -> None:
        """A line of the journal is there before the request leaves; nothing leaves once the line is finished."""
        ended: dict[str, list[float | None]] = collections.defaultdict(list)
        for turns in self._turns.values():
            for turn in turns:
                if turn.name == "http_request":
                    ended[turn.key].append(turn.finished_at)
                    is_done = turn.finished_at is not None and not turn.error
                    if is_done and not arrivals.get(turn.key):
                        self._blame("a finished call of an agent that never arrived", turn.key)
        for key, came in arrivals.items():
            if key not in ended:
                self._blame("a request of an agent without a line in its journal", key)
                continue
            if len({arrival.digest for arrival in came}) > 1:
                self._blame("two bodies under one key", key)
            last = max((at for at in ended[key] if at is not None), default=float("inf"))
            if None not in ended[key] and came[-1].at > last + TOLERANCE:
                self._blame("a request of an agent after its call was finished", key)


def facts(steps: list[Step], turns: list[Turn], asked: int) -> str:
    answers = sum(turn.kind == "model" for turn in turns)
    done = sum(step.status == "completed" for step in steps)
    return (
        f"{len(steps)}, {done} completed; {answers} turns of {asked} questions, {len(turns) - answers} calls"
    )
