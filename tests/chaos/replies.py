"""Committed, and nobody learns of it: the answer to a transaction is lost, so often for each kind of transaction.

The kinds that load alone does not bring about often enough are provoked: runs are cancelled, replayed and timed
out while their requests are out, and workers that hold careful steps are killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis

from tests.chaos.faults_of_messages import messenger
from tests.chaos.ordeal import Trial
from tests.chaos.pace import own_time

OFTEN = ("capture", "dispatch", "admit", "claim", "intent", "settle", "renew", "sweep")
RARE = ("cancel", "replay", "give_up", "late_truth", "settle_effects", "timeout")
EACH = 100
BEHIND = 100  # messages in the fast queue
MOST_SECONDS = 600.0  # for each of the two groups, scaled

OUT = """
SELECT r.id::text FROM executions_run r JOIN executions_steprun s ON s.run_id = r.id
JOIN workflows_workflow w ON w.id = r.workflow_id
WHERE w.name IN ('Chaos: long', 'Chaos: careful_long') AND s.status = 'running'
  AND s.lease_expires_at > clock_timestamp() + interval '1 second'
ORDER BY random() LIMIT 2
"""
ENDED = """
SELECT r.id::text FROM executions_run r JOIN workflows_workflow w ON w.id = r.workflow_id
WHERE r.status IN ('cancelled', 'failed') AND w.name IN ('Chaos: long', 'Chaos: hurried', 'Chaos: careful_long')
  AND NOT EXISTS (SELECT 1 FROM executions_run x WHERE x.event_id = r.event_id AND x.generation > r.generation)
ORDER BY random() LIMIT 2
"""
CAREFUL_HELD = """
SELECT split_part(s.owner, ':', 2), count(*) FROM executions_steprun s JOIN workflows_workflow w ON w.id = s.workflow_id
WHERE w.name = 'Chaos: careful_long' AND s.status = 'running' GROUP BY 1 ORDER BY 2 DESC LIMIT 1
"""
EXPIRED = (
    "SELECT id FROM executions_steprun WHERE status = 'running' AND lease_expires_at < clock_timestamp()"
)


def commit_reply(trial: Trial) -> int:
    line = trial.stack.postgres_line
    each = max(1, round(EACH * trial.scale))
    trial.wanted = trial.least = each * len((*OFTEN, *RARE))
    with trial.sender.besides("long", 1):  # leases that are renewed
        _swallow(trial, OFTEN, each, [_sweep])
    _swallow(trial, RARE, each, [_cancel_and_replay, _time_out, _kill_careful, _settle_effects])
    counts = {kind: line.swallowed[kind] for kind in (*OFTEN, *RARE)}
    trial.note("lost replies: " + ", ".join(f"{kind} {number}" for kind, number in counts.items()))
    if few := [f"{kind} {number}" for kind, number in counts.items() if number < each]:
        trial.problems.append(f"fewer than {each} lost replies: {', '.join(few)}")
    return sum(counts.values())


def _swallow(
    trial: Trial, kinds: tuple[str, ...], each: int, provocations: list[Callable[[Trial], None]]
) -> None:
    """One of each kind at a time, so that the repetition succeeds; the provocations go on beside."""
    line = trial.stack.postgres_line
    over = threading.Event()
    provoking = [
        threading.Thread(target=_again_and_again, args=(trial, deed, over), daemon=True)
        for deed in provocations
    ]
    for thread in provoking:
        thread.start()
    before = dict(line.swallowed)
    give_up = own_time.now() + max(40.0, MOST_SECONDS * trial.scale)
    while own_time.now() < give_up and not trial.is_over():
        missing = [kind for kind in kinds if line.swallowed[kind] - before.get(kind, 0) < each]
        if not missing:
            break
        for kind in missing:
            if not line.is_to_swallow(kind):
                line.swallow(kind, 1)
        time.sleep(0.05)
    over.set()
    for thread in provoking:
        thread.join(30)


def _again_and_again(trial: Trial, deed: Callable[[Trial], None], over: threading.Event) -> None:
    """Where the machine cannot follow, the provocation waits: lost replies are the fault, not a flood."""
    while not over.is_set() and not trial.is_over():
        if _is_behind(trial):
            over.wait(0.2)
        else:
            trial.tried(lambda: deed(trial))


def _is_behind(trial: Trial) -> bool:
    try:
        return int(trial.stack.redis().llen("fast")) > BEHIND
    except redis.RedisError:
        return True


def _sweep(trial: Trial) -> None:
    with messenger(trial) as app:
        app.send_task("executions.sweep", queue="fast", ignore_result=True)
    time.sleep(0.3)


def _settle_effects(trial: Trial) -> None:
    """Often, so that few effects are decided at a time."""
    with messenger(trial) as app:
        for _ in range(20):
            app.send_task("executions.settle_effects", queue="fast", ignore_result=True)
            time.sleep(0.05)


def _cancel_and_replay(trial: Trial) -> None:
    trial.sender.burst("long", 2)
    for verb, statement in (("cancel", OUT), ("replay", ENDED)):
        for (run_id,) in trial.stack.ask(statement):
            trial.operator.try_to(verb, run_id)
    time.sleep(0.3)


def _time_out(trial: Trial) -> None:
    trial.sender.burst("hurried", 6)
    time.sleep(1)


def _kill_careful(trial: Trial) -> None:
    """A worker dies with steps that must not be repeated; each is judged in a transaction of its own."""
    trial.sender.burst("careful_long", 24)
    names = {str(trial.stack.pid_of(name)): name for name in ("worker-http", "worker-http-2")}

    def holds_many() -> bool:
        found = trial.stack.ask(CAREFUL_HELD)
        return bool(found) and found[0][0] in names and found[0][1] >= 8

    if not trial.until(holds_many, 10, every=0.1):
        return
    trial.kill(names[trial.stack.ask(CAREFUL_HELD)[0][0]])
    give_up = time.monotonic() + 10
    with messenger(trial) as app:
        while time.monotonic() < give_up and not trial.is_over():
            for (step_run_id,) in trial.stack.ask(EXPIRED):
                app.send_task(
                    "executions.execute_in_cell",
                    args=[[step_run_id], "http"],
                    queue="http",
                    ignore_result=True,
                )
            time.sleep(0.7)
