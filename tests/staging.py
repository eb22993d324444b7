"""Runs brought to a certain point of their lives, and what must hold of every run at any moment."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from executions import admission, cells, claims, dispatcher, intents
from executions.attempts import digest_of
from executions.claims import StepInHand
from executions.models import Run, StepRun
from lightfield.kernel import sql
from tests.bellboy import Bellboy
from tests.factories import a_published_workflow, an_event


def slow(key: str = "call", **more: Any) -> dict[str, Any]:
    """A step of the scripted type `slow` (fixture `slow_step`), as a definition has it."""
    return {"key": key, "type": "slow", "config": {"value": "{{ trigger.n }}"}, **more}


def say(key: str = "say", message: str = "hello") -> dict[str, Any]:
    return {"key": key, "type": "log", "config": {"message": message}}


def nap(key: str = "nap", seconds: float = 3600) -> dict[str, Any]:
    return {"key": key, "type": "sleep", "config": {"seconds": seconds}}


def a_run(*steps: dict[str, Any], workflow: Any = None, **columns: Any) -> Run:
    """A run as the dispatcher's statement leaves it: its first step is ready, nobody was rung."""
    workflow = workflow or a_published_workflow(steps=list(steps) or [slow()])
    event = an_event(workflow, **{"payload": {"n": 7}, **columns})
    dispatcher.dispatch_batch(event.shard)
    return Run.objects.get(event=event)


def live(run: Run) -> StepRun:
    """The one live step of a run."""
    return run.steps.get(status__in=["ready", "queued", "running", "waiting"])


def a_queued_step(*steps: dict[str, Any], **columns: Any) -> StepRun:
    """A slow step that was admitted."""
    run = a_run(*steps, **columns)
    admission.admit("http")
    return live(run)


def a_claimed_step(*steps: dict[str, Any], worker: str = "first", **columns: Any) -> StepInHand:
    """A slow step in the hands of `worker`, nothing intended yet."""
    return claim(a_queued_step(*steps, **columns).pk, worker=worker)


def claim(step_run_id: int, *, worker: str = "first", in_cell: bool = False) -> StepInHand:
    take = cells.claim if in_cell else claims.claim
    (step,) = take([step_run_id], worker=worker)
    return step


def intend(step: StepInHand, **request: Any) -> dict[int, dict[str, Any]]:
    """Commit the intent of a step in hand, as its worker would before sending."""
    frozen = request or {"value": 7}
    wanted = {
        "id": step.step_run_id,
        "run_id": step.run_id,
        "fence": step.fence,
        "key": step.effect_key,
        "request": frozen,
        "digest": digest_of(frozen),
    }
    return intents.commit_intents([wanted])


def end_lease(step_run_id: int) -> None:
    """Its worker has not been heard of for an hour."""
    sql.rows(
        "UPDATE executions_steprun SET lease_expires_at = clock_timestamp() - interval '1 hour' "
        "WHERE id = %(id)s::bigint",
        {"id": step_run_id},
    )


def die_in_cells(step_run_id: int, times: int) -> None:
    """So many cells died of this step, alone in each, before their worker's eyes. It may be claimed again."""
    for number in range(times):
        end_lease(step_run_id)
        step = claim(step_run_id, worker=f"w:cell:{number}", in_cell=True)
        cells.note_end([step_run_id], step.lane, f"w:cell:{number}", died=True)


def let_time_pass() -> None:
    """An hour later, as far as the rows can tell."""
    sql.rows("UPDATE triggers_outboxevent SET captured_at = captured_at - interval '1 hour'", {})
    sql.rows(
        "UPDATE executions_steprun SET due_at = due_at - interval '1 hour', rung_at = rung_at - interval '1 hour', "
        "lease_expires_at = lease_expires_at - interval '1 hour' "
        "WHERE status IN ('ready', 'queued', 'running', 'waiting')",
        {},
    )


def told(run: Run) -> list[str]:
    """The types of the run's timeline entries, in order."""
    return [entry.type for entry in run.timeline.all()]


LIVE = "('ready', 'queued', 'running', 'waiting')"
PROMISES = {
    "a live run has exactly one live step, an ended run none": f"""
        SELECT r.id FROM executions_run r WHERE (r.status IN ('pending', 'running', 'waiting'))::int <>
          (SELECT count(*) FROM executions_steprun s WHERE s.run_id = r.id AND s.status IN {LIVE})""",
    "the timeline runs 1..n without gap": """
        SELECT r.id FROM executions_run r WHERE r.seq <> (
          SELECT count(*) FROM executions_timelineentry t WHERE t.run_id = r.id AND t.seq BETWEEN 1 AND r.seq)""",
    "time never runs backwards along the timeline": """
        SELECT a.run_id FROM executions_timelineentry a JOIN executions_timelineentry b
          ON b.run_id = a.run_id AND b.seq = a.seq + 1 WHERE b.at < a.at""",
    "an ended run tells its end once, and last": """
        SELECT r.id FROM executions_run r WHERE (r.status IN ('completed', 'failed', 'cancelled'))::int <>
          (SELECT count(*) FROM executions_timelineentry t WHERE t.run_id = r.id
             AND t.type IN ('run.completed', 'run.failed', 'run.cancelled'))
          OR EXISTS (SELECT 1 FROM executions_timelineentry t WHERE t.run_id = r.id AND t.seq < r.seq
             AND t.type IN ('run.completed', 'run.failed', 'run.cancelled'))""",
    "attempts run 1..n, and only the last of a running step is open": """
        SELECT s.run_id FROM executions_steprun s LEFT JOIN executions_attempt a ON a.step_run_id = s.id
        GROUP BY s.id HAVING count(a.*) <> s.attempts OR coalesce(max(a.number), 0) <> s.attempts
          OR count(*) FILTER (WHERE a.number IS NOT NULL AND a.outcome IS NULL) <> (s.status = 'running')::int
          OR coalesce(bool_or(a.outcome IS NULL AND a.number < s.attempts), false)""",
    "fences rise with the attempts": """
        SELECT s.run_id FROM executions_attempt a JOIN executions_attempt b
          ON b.step_run_id = a.step_run_id AND b.number = a.number + 1
        JOIN executions_steprun s ON s.id = a.step_run_id WHERE b.fence <= a.fence""",
    "an attempt that counts as without effect was never intended": """
        SELECT s.run_id FROM executions_attempt a JOIN executions_steprun s ON s.id = a.step_run_id
        WHERE a.outcome = 'cancelled' AND a.intent_at IS NOT NULL""",
    "an ended run has a row for every step of its plan": """
        SELECT r.id FROM executions_run r JOIN workflows_workflowversion v ON v.id = r.version_id
        WHERE r.status IN ('completed', 'failed', 'cancelled') AND jsonb_array_length(v.plan) <>
          (SELECT count(*) FROM executions_steprun s WHERE s.run_id = r.id)""",
    "no effect is decided while its step lives": f"""
        SELECT s.run_id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
        WHERE s.status IN {LIVE} AND e.status <> 'intent'""",
    "a completed step's effect is done": """
        SELECT s.run_id FROM executions_effect e JOIN executions_steprun s ON s.id = e.step_run_id
        WHERE s.status = 'completed' AND e.status <> 'done'""",
    "an intended attempt has an effect": """
        SELECT s.run_id FROM executions_attempt a JOIN executions_steprun s ON s.id = a.step_run_id
        WHERE a.intent_at IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM executions_effect e WHERE e.step_run_id = s.id)""",
    "a step's entries follow on from each other, from ready on": """
        SELECT run_id FROM (
          SELECT run_id, from_status, lag(to_status, 1, 'ready') OVER (PARTITION BY run_id, step_key ORDER BY seq) AS was
          FROM executions_timelineentry WHERE step_key IS NOT NULL AND to_status IS NOT NULL) t
        WHERE from_status IS NOT NULL AND from_status <> was""",
    "a step's last entry tells the status that it has": """
        SELECT s.run_id FROM executions_steprun s, LATERAL (
          SELECT t.to_status FROM executions_timelineentry t WHERE t.run_id = s.run_id AND t.step_key = s.key
            AND t.to_status IS NOT NULL ORDER BY t.seq DESC LIMIT 1) last
        WHERE last.to_status <> CASE WHEN s.status = 'queued' AND s.attempts > 0 THEN 'waiting' ELSE s.status END""",
    "a failed run has a notice for each channel of its version, and no other run has any": """
        SELECT r.id FROM executions_run r JOIN workflows_workflowversion v ON v.id = r.version_id
        WHERE CASE r.status WHEN 'failed' THEN cardinality(v.failure_channels) ELSE 0 END <>
          (SELECT count(*) FROM executions_notice n WHERE n.run_id = r.id)""",
    "one run for each dispatched event and generation 1": """
        SELECT e.id FROM triggers_outboxevent e WHERE (e.status = 'dispatched')::int <>
          (SELECT count(*) FROM executions_run r WHERE r.event_id = e.id AND r.generation = 1)""",
}


def broken_promises() -> dict[str, list[str]]:
    """What does not hold right now, with the ids concerned. Empty at every moment between transactions."""
    found = {promise: [str(row[0]) for row in sql.rows(query, {})] for promise, query in PROMISES.items()}
    return {promise: ids for promise, ids in found.items() if ids}


def everything() -> dict[str, list[str]]:
    """Every row of the engine, to show that nothing was written."""
    tables = ("run", "steprun", "attempt", "effect", "timelineentry", "agentturn")
    return {
        table: [str(row[0]) for row in sql.rows(f"SELECT t::text FROM executions_{table} t ORDER BY 1", {})]
        for table in tables
    }


def answer_with_cells_here(bellboy: Bellboy) -> None:
    """Answer every bell. The work of cells is done in this process instead of a child."""
    while bellboy.waiting:
        bell = bellboy.waiting[0]
        if bell.task == "executions.execute_in_cell":
            bellboy.waiting.remove(bell)
            cells.run_here(*bell.args)
        else:
            bellboy.answer_all(but=lambda bell: bell.task == "executions.execute_in_cell")


def long_ago(seconds: float) -> None:
    """All attempts so far were made so many seconds earlier. They are write-once: only unguarded can a test move them."""
    with transaction.atomic():
        sql.rows("SET LOCAL session_replication_role = replica", {})
        for table, times in (
            ("executions_steprun", ["started_at"]),
            ("executions_attempt", ["started_at", "intent_at", "finished_at"]),
        ):
            moved = ", ".join(f"{at} = {at} - make_interval(secs => %(seconds)s::float8)" for at in times)
            sql.rows(f"UPDATE {table} SET {moved}", {"seconds": seconds})
