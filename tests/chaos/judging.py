"""The books against the rows: what was acknowledged is there once, what was sent was meant, nothing else was."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import ends, fences, judging_agents, judging_steps, logs, schedules
from tests.chaos.books import Arrival, Books
from tests.chaos.fences import TOLERANCE, Log, Told
from tests.chaos.pace import own_time
from tests.chaos.stack import Stack

EVENTS = """
SELECT e.id::text, e.idempotency_key, e.status,
  (SELECT count(*) FROM executions_run r WHERE r.event_id = e.id AND r.generation = 1)
FROM triggers_outboxevent e WHERE e.source = 'webhook'
"""
RUNS = "SELECT r.id::text, w.name, r.status, r.error_code FROM executions_run r JOIN workflows_workflow w ON w.id = r.workflow_id"
# A request that was intended when its run was cancelled or timed out may still leave, until the effect is decided.
# A key may be kept by a replay: then several effects, of one run each, share it.
EFFECTS = """
SELECT e.key, e.status, extract(epoch FROM e.decided_at)::float8, e.answer->>'status_code', e.request->>'on_unknown',
  s.status, s.reused
FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id WHERE s.lane <> 'fast'
"""
ATTEMPTS = """
SELECT e.key, extract(epoch FROM a.intent_at)::float8,
  extract(epoch FROM CASE WHEN s.status IN ('cancelled', 'failed') AND a.number = s.attempts THEN greatest(a.finished_at, e.decided_at)
                          ELSE coalesce(a.finished_at, now()) END)::float8
FROM executions_attempt a JOIN executions_effect e ON e.step_run_id = a.step_run_id
JOIN executions_steprun s ON s.id = a.step_run_id WHERE a.intent_at IS NOT NULL AND s.lane <> 'fast'
"""
KILLERS = """
SELECT DISTINCT split_part(a.worker, ':', 2)::int FROM executions_attempt a JOIN executions_steprun s ON s.id = a.step_run_id
WHERE a.outcome = 'lost' AND s.key = 'kills' AND a.worker NOT LIKE '%:cell:%'
"""
# Requests whose process was gone when we looked: zombies are told by their requests, so there may only be a few.
UNKNOWN_SHARE, FEW = 0.05, 20
EXPECTED_CODES = {
    "http.outcome_unknown",  # only where on_unknown is `fail`
    "http.unavailable",  # the flaky receiver refused ten times
    "http.connection_lost",
}
CAREFUL = ("Chaos: careful", "Chaos: careful_long")
ENDS_OF = {  # how else, and only how, the runs of these workflows may fail
    "Chaos: hurried": "run.timeout",
    "Chaos: kills_by_exit": "step.worker_lost",
    "Chaos: kills_by_memory": "step.worker_lost",
    "Chaos: kills_fast": "step.worker_lost",
}


@dataclass
class Judgement:
    """What contradicts what: the rule and the first few ids."""

    broken: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    facts: dict[str, Any] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    log: Log = field(default_factory=lambda: Log([]))

    def blame(self, rule: str, what: object) -> None:
        self.broken[rule].append(str(what))


def judge(stack: Stack, books: Books) -> Judgement:
    """Compare everything. The system is quiet, the proxies pass."""
    judgement = Judgement()
    _judge_events(judgement, books, stack.ask(EVENTS))
    _judge_runs(judgement, stack.ask(RUNS))
    effects: dict[str, list[tuple[Any, ...]]] = collections.defaultdict(list)
    for row in stack.ask(EFFECTS):
        effects[row[0]].append(row)
    attempts: dict[str, list[tuple[float, float]]] = collections.defaultdict(list)
    for key, intent_at, finished_at in stack.ask(ATTEMPTS):
        attempts[key].append((intent_at, finished_at))
    by_key = books.arrivals_by_key()
    arrivals = {key: came for key, came in by_key.items() if not judging_agents.is_of_call(key)}
    for key in {*effects, *arrivals}:
        _judge_key(judgement, key, effects[key], attempts[key], arrivals.get(key, []))
    _judge_agents(judgement, stack, by_key)
    _judge_operations(judgement, books)
    for rule, found in schedules.contradictions(stack).items():
        for words in found:
            judgement.blame(rule, words)
    steps = stack.ask(judging_steps.STEPS)
    of_steps = judging_steps.contradictions(
        steps, stack.ask(judging_steps.NOTES), stack.ask(judging_steps.COMPANIES)
    )
    for rule, found in of_steps.items():
        judgement.broken[rule] += found
    judgement.facts["record steps"] = (
        f"{len(steps)}, {sum(step[2] == 'completed' for step in steps)} completed"
    )
    judgement.facts["ticks of schedules"] = schedules.lateness(stack)
    _judge_zombies(judgement, stack, books)
    _judge_processes(judgement, stack, books)
    return judgement


def _judge_agents(judgement: Judgement, stack: Stack, arrivals: dict[str, list[Arrival]]) -> None:
    if stack.model is None:
        return
    steps = [judging_agents.Step(*row) for row in stack.ask(judging_agents.STEPS)]
    turns = [judging_agents.Turn(*row) for row in stack.ask(judging_agents.TURNS_OF_ALL)]
    verdict = judging_agents.Verdict(
        steps,
        turns,
        asked=[(asked.key, asked.turn) for asked in stack.model.asked],
        deeds=stack.ask(judging_agents.DEEDS),
        notes=stack.ask(judging_agents.NOTES),
        arrivals={key: came for key, came in arrivals.items() if judging_agents.is_of_call(key)},
    )
    for rule, found in verdict.broken.items():
        judgement.broken[rule] += found
    judgement.facts["agents"] = judging_agents.facts(steps, turns, len(stack.model.asked))


def _judge_processes(judgement: Judgement, stack: Stack, books: Books) -> None:
    killers = {pid for (pid,) in stack.ask(KILLERS)}
    found = ends.unexpected(books, killers=killers, stretch=own_time.stretch_between)
    found += ends.gunicorns_workers(books, stack.home.log_file("web").read_text(errors="replace"))
    for words in found:
        judgement.blame("a process that ended and nobody had ended it", words)
    for words, times in logs.complaints(stack.home.folder("logs")).items():
        judgement.blame("a complaint in a log for which no reason is known", f"{times} × {words}")
    silent = sum(one.was_silent for one in books.ends)
    judgement.facts["processes that ended"] = (
        f"{len(books.ends)}, {silent} of them killed by their checkup, {len(found)} without a reason"
    )


def _judge_zombies(judgement: Judgement, stack: Stack, books: Books) -> None:
    judgement.log = fences.read(stack)
    told = judgement.told = fences.tell(stack, judgement.log, books.zombies, books.arrivals)
    for words in told.strays:
        judgement.blame("a row written by a process that no longer held its step", words)
    if are_too_many_unknown(told.unknown_senders, len(books.arrivals)):
        judgement.blame(
            "too many requests whose sender was not found", f"{told.unknown_senders} of {len(books.arrivals)}"
        )
    for words in told.requests:
        judgement.blame("a request sent by a process that woke after it had lost the step", words)


def are_too_many_unknown(senders: int, requests: int) -> bool:
    return senders > max(FEW, UNKNOWN_SHARE * requests)


def _judge_events(judgement: Judgement, books: Books, rows: list[tuple[Any, ...]]) -> None:
    by_key = collections.defaultdict(list)
    for event_id, key, status, runs in rows:
        by_key[key].append((event_id, status, runs))
        if key not in books.deliveries:
            judgement.blame("an event that nobody sent", event_id)
        if status != "dispatched" or runs != 1:
            judgement.blame("an event without exactly one first run", f"{event_id} {status} {runs}")
    for delivery in books.deliveries.values():
        told = {answer.event_id for answer in delivery.answers if answer.is_acknowledged}
        stored = {event_id for event_id, _, _ in by_key[delivery.key]}
        if not delivery.acknowledged:
            judgement.blame("a delivery that was never acknowledged", delivery.key)
        elif len(by_key[delivery.key]) != 1 or told != stored:
            judgement.blame(
                "an acknowledged delivery without exactly its one event", f"{delivery.key} {told}"
            )
    judgement.facts["deliveries"] = len(books.deliveries)
    judgement.facts["deliveries tried again"] = sum(len(one.answers) > 1 for one in books.deliveries.values())


def _judge_runs(judgement: Judgement, rows: list[tuple[Any, ...]]) -> None:
    judgement.facts["runs"] = len(rows)
    codes: collections.Counter[str] = collections.Counter()
    for run_id, workflow, status, code in rows:
        codes[status if status != "failed" else str(code)] += 1
        if status not in ("completed", "failed", "cancelled"):
            judgement.blame("a run that never ended", f"{run_id} {status}")
        if status == "failed" and code == "http.outcome_unknown" and workflow not in CAREFUL:
            judgement.blame("an unknown outcome failed a step that may repeat", run_id)
        expected = {ENDS_OF[workflow]} if workflow in ENDS_OF else EXPECTED_CODES
        if status == "failed" and code not in expected:
            judgement.blame("a run failed for no good reason", f"{run_id} of {workflow}: {code}")
    judgement.facts["runs by end"] = dict(codes)


def _judge_key(
    judgement: Judgement,
    key: str,
    effects: list[tuple[Any, ...]],
    attempts: list[tuple[float, float]],
    arrivals: list[Arrival],
) -> None:
    if arrivals and not effects:
        judgement.blame("a request without an intent in the ledger", key)
    if len({arrival.digest for arrival in arrivals}) > 1:
        judgement.blame("two bodies under one key", key)
    if unmatched := _unmatched(attempts, arrivals):
        judgement.blame("a request that no attempt can have sent when it came", f"{key} at {unmatched}")
    undecided = [row for row in effects if row[1] == "intent"]
    if undecided:
        judgement.blame("an effect that was never decided", key)
    elif effects and arrivals:
        last = max(row[2] for row in effects)
        if arrivals[-1].at > last + TOLERANCE:
            judgement.blame("a request after its effect was decided", f"{key} {arrivals[-1].at - last:.2f} s")
    is_done = any(row[1] == "done" and str(row[3]).startswith("2") for row in effects)
    has_acted = any(arrival.came_of_it in ("acted", "repeated") for arrival in arrivals)
    if is_done and not has_acted:
        judgement.blame("a completed effect that never arrived", key)
    if any(row[4] == "fail" for row in effects) and sum(a.came_of_it == "acted" for a in arrivals) > len(
        effects
    ):
        judgement.blame("on_unknown=fail, and sent again", key)


def _unmatched(attempts: list[tuple[float, float]], arrivals: list[Arrival]) -> list[float]:
    """Give each arrival an attempt of its own that was open at that instant; those that get none.

    The one that closes first is taken: if any choice works for all arrivals, this one does.
    """
    free = sorted(attempts, key=lambda attempt: attempt[1])
    left = []
    for arrival in arrivals:
        fitting = [a for a in free if a[0] - TOLERANCE <= arrival.at <= a[1] + TOLERANCE]
        if fitting:
            free.remove(fitting[0])
        else:
            left.append(arrival.at)
    return left


def _judge_operations(judgement: Judgement, books: Books) -> None:
    acted: collections.Counter[str] = collections.Counter()
    for arrival in books.arrivals:
        if arrival.honours_keys and arrival.came_of_it in ("acted", "reset"):
            acted[arrival.operation] += 1
    for operation, times in acted.items():
        if times > 1:
            judgement.blame("done twice at a receiver that honours keys", operation)
    plain = collections.Counter(a.operation for a in books.arrivals if not a.honours_keys)
    judgement.facts["requests"] = len(books.arrivals)
    judgement.facts["operations that a receiver without keys saw again"] = sum(n > 1 for n in plain.values())
    judgement.facts["operations done at a receiver that honours keys"] = len(acted)
