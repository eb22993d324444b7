"""Operations for twins, chosen from a seed: mostly such as may happen next, sometimes such as must be refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from executions import admission, cells, claims, dispatcher, ending, engine, reports, services, sweeper
from executions.attempts import digest_of, judge
from executions.claims import StepInHand
from executions.outcomes import Retry
from executions.settling import Settlement, settle
from executions.states import RunStatus
from lightfield.kernel.errors import LostRace
from tests.simulation.flows import FAST_ANSWERS, SHAPES, SLOW_ANSWERS
from tests.simulation.rows import Step
from tests.simulation.twins import Half, Twins
from triggers import outbox

BY = "a tester"
SECONDS = (0.7, 3.1, 13.3, 37.7, 63.9, 127.3)


@dataclass
class Held:
    """A step in the hands of the same worker on both sides, and what the worker knows of its intent."""

    hands: dict[Half, StepInHand]
    owner: str
    is_intended: bool = False


class Operations:
    """One seed's choices."""

    def __init__(self, twins: Twins, seed: int) -> None:
        self.twins = twins
        self.random = Random(seed)
        self.held: list[Held] = []
        self.numbers = 0
        self.shapes = self.random.sample(list(SHAPES), k=3)
        self.weights: dict[Callable[[], None], int] = {
            self.capture: 5,
            self.dispatch: 6,
            self.admit: 8,
            self.claim: 8,
            self.claim_in_cell: 6,
            self.intend: 9,
            self.settle: 12,
            self.renew: 2,
            self.advance: 8,
            self.run_fast_in_cell: 3,
            self.give_up: 4,
            self.note_end: 4,
            self.cancel: 2,
            self.expire: 1,
            self.replay: 3,
            self.tell_late_truth: 2,
            self.settle_effects: 2,
            self.sweep: 5,
            self.pass_time: 9,
            self.ask_owned: 1,
            self.archive: 1,
        }

    def play(self, number: int) -> None:
        self.capture()
        self.capture(again=True)
        if self.random.random() < 0.5:
            self.poison()
        while len(self.twins.done) < number:
            (operation,) = self.random.choices(list(self.weights), list(self.weights.values()))
            operation()

    # --- choosing ---------------------------------------------------------------------------------

    def _steps(self, *likely: str) -> list[str]:
        """One or two steps, most often of a likely status."""
        known = self.twins.simulated.world.tables.steps.values()
        names = self.twins.simulated.steps
        chosen: list[Step] = [s for s in known if s.status in likely and self.random.random() < 0.9]
        pool = chosen or (list(known) if self.random.random() < 0.2 else [])
        picked = self.random.sample(pool, k=min(len(pool), self.random.choice((1, 1, 2))))
        return [names[step.id] for step in picked]

    def _run(self, *likely: str) -> str | None:
        known = self.twins.simulated.world.tables.runs.values()
        pool = [r for r in known if r.status in likely] or (list(known) if self.random.random() < 0.2 else [])
        return self.twins.simulated.runs[self.random.choice(pool).id] if pool else None

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    # --- beginnings -------------------------------------------------------------------------------

    def poison(self) -> None:
        """An event that cannot be dispatched, three times."""
        self.capture("broken")
        for _ in range(3):
            self.dispatch(0)
            self.dispatch(1)

    def capture(self, shape: str = "", *, again: bool = False) -> None:
        """A webhook; now and then the last sender's again, who missed the reply."""
        shape = shape or self.random.choice(self.shapes)
        flow = next(f for f in self.twins.simulated.world.tables.flows.values() if f.name == shape)
        again = again or self.random.random() < 0.1
        key = None if again else self.random.choice((None, "a", "b"))
        body = json.dumps({"n": self.random.choice((1, 9))})
        self.numbers += not again
        event_id = UUID(int=(1 << 100) + self.numbers)

        def captured(half: Half) -> bool | None:
            found = outbox.capture_webhook(
                token_hash=flow.id,
                event_id=event_id,
                body=body,
                body_digest=hashlib.sha256(body.encode()).digest(),
                idempotency_key=key,
                trace_id="f" * 32,
            )
            return found.is_duplicate if found else None

        self.twins.both(f"capture {shape} {key} {body}", captured)

    def dispatch(self, shard: int | None = None) -> None:
        shard = self.random.choice((0, 1)) if shard is None else shard
        self.twins.both(f"dispatch {shard}", lambda half: dispatcher.dispatch_batch(shard).taken)

    def archive(self) -> None:
        """A workflow takes no events any more; those that wait are ignored."""
        if self.random.random() > 0.3:
            return
        name = self.random.choice(self.shapes)

        def archived(half: Half) -> None:
            half.archive(name)

        self.twins.both(f"archive {name}", archived)

    def replay(self) -> None:
        if run := self._run("failed", "cancelled"):
            self.twins.both(
                f"replay {run}",
                lambda half: _nothing(services.replay_run(run_id=UUID(half.run_id(run)), by=BY)),
            )

    # --- slow steps -------------------------------------------------------------------------------

    def admit(self) -> None:
        lane = self.random.choice(("http", "http", "ai", "fast"))
        self.twins.both(f"admit {lane}", lambda half: admission.admit(lane))

    def claim(self, *, in_cell: bool = False) -> None:
        steps = self._steps("running", "queued") if in_cell else self._steps("queued")
        owner = f"w{self._number()}#t"

        def claimed(half: Half) -> list[StepInHand]:
            ids = [half.step_id(step) for step in steps]
            return claims.claim(ids, worker=owner[:-2], owner=owner, in_cell=in_cell)

        if steps:
            real, simulated = self.twins.both(f"claim {steps} {owner} {in_cell=}", claimed)
            self._hold(real, simulated, owner)

    def claim_in_cell(self) -> None:
        self.claim(in_cell=True)

    def _hold(self, real: list[StepInHand], simulated: list[StepInHand], owner: str) -> None:
        left, right = self.twins.halves
        ours = {left.steps[step.step_run_id]: step for step in real}
        theirs = {right.steps[step.step_run_id]: step for step in simulated}
        assert {n: _facts(s) for n, s in ours.items()} == {n: _facts(s) for n, s in theirs.items()}
        self.held += [Held({left: ours[name], right: theirs[name]}, owner) for name in sorted(ours)]

    def _any_held(self) -> Held | None:
        return self.random.choice(self.held[-6:]) if self.held else None

    def intend(self) -> None:
        if held := self._any_held():
            policy = self.random.choice(("retry_same_key", "fail"))

            def intended(half: Half) -> int:
                step = held.hands[half]
                request = step.request or {"on_unknown": policy, "attempt": step.attempt}
                asked = {
                    "id": step.step_run_id,
                    "run_id": step.run_id,
                    "fence": step.fence,
                    "key": step.effect_key,
                }
                frozen = claims.commit_intents([asked | {"request": request, "digest": digest_of(request)}])
                step.request = frozen.get(step.step_run_id, step.request)
                held.is_intended = bool(frozen)
                return len(frozen)

            self.twins.both(f"intend {held.owner}", intended)

    def settle(self) -> None:
        if held := self._any_held():
            answer = self.random.choice(("ok", "ok", *SLOW_ANSWERS))
            owner = f"w{self._number()}#t"

            def settled(half: Half) -> Any:
                step = held.hands[half]
                settlement = _settlement(step, answer, owner, is_intended=held.is_intended)
                found = settle(settlement)
                return engine.next_in_hand(step, settlement, found) if found.continues else found.lane_waits

            real, simulated = self.twins.both(f"settle {held.owner} {answer} {owner}", _late(settled))
            if isinstance(real, StepInHand):
                self._hold([real], [simulated], owner)

    def tell_late_truth(self) -> None:
        if held := self._any_held():
            self.twins.both(
                f"late truth {held.owner}",
                lambda half: ending.tell_late_truth(held.hands[half], {"status_code": 200}),
            )

    def renew(self) -> None:
        pairs = [held.hands for held in self.held[-4:]]

        def renewed(half: Half) -> str:
            found = claims.renew([(hands[half].step_run_id, hands[half].fence) for hands in pairs])
            return str([sorted(half.steps[i] for i in ids) for ids in found])

        if pairs:
            self.twins.both(f"renew {len(pairs)}", renewed)

    def ask_owned(self) -> None:
        if held := self._any_held():
            for ask in (
                lambda half: claims.owned(held.owner, [held.hands[half].step_run_id]),
                lambda half: claims.owned_in_run(held.owner, held.hands[half].run_id),
            ):
                real, simulated = self.twins.both(f"owned {held.owner}", ask)
                assert [_facts(step) for step in real] == [_facts(step) for step in simulated]

    # --- fast steps and cells ---------------------------------------------------------------------

    def advance(self) -> None:
        answer = self.random.choice(("ok", "ok", *FAST_ANSWERS))
        if run := self._run("pending", "running", "waiting"):

            def advanced(half: Half) -> str:
                half.answer = answer
                return str(engine.advance_run(half.run_id(run)))

            self.twins.both(f"advance {run} {answer}", advanced)

    def run_fast_in_cell(self) -> None:
        tables = self.twins.simulated.world.tables
        names = [
            self.twins.simulated.steps[s.id]
            for s in tables.live.values()
            if s.lane == "fast" and s.rings >= 2
        ]
        if names:
            name = names[0]

            def ran(half: Half) -> None:
                cells._run_fast([half.step_id(name)])

            self.twins.both(f"fast cell {name}", ran)

    def give_up(self) -> None:
        if steps := self._steps("running"):
            self.twins.both(
                f"give up {steps}",
                lambda half: str(
                    [half.steps[i] for i in cells.give_up_exhausted([half.step_id(s) for s in steps])]
                ),
            )

    def note_end(self) -> None:
        if held := self._any_held():
            died, owner = self.random.random() < 0.7, held.owner.removesuffix("#t")
            self.twins.both(
                f"note end {owner} {died}",
                lambda half: cells.note_end(
                    [held.hands[half].step_run_id], held.hands[half].lane, owner, died=died
                ),
            )

    # --- ends and time ----------------------------------------------------------------------------

    def cancel(self) -> None:
        if run := self._run("pending", "running", "waiting"):
            self.twins.both(
                f"cancel {run}",
                lambda half: _nothing(services.cancel_run(run_id=UUID(half.run_id(run)), by=BY)),
            )

    def expire(self) -> None:
        if run := self._run("pending", "running", "waiting"):
            self.twins.both(
                f"expire {run}",
                lambda half: ending.end_run(half.run_id(run), status=RunStatus.FAILED, metadata={}),
            )

    def settle_effects(self) -> None:
        self.twins.both("settle effects", lambda half: sweeper.settle_effects())

    def sweep(self) -> None:
        self.twins.both("sweep", lambda half: sweeper.sweep())

    def pass_time(self) -> None:
        seconds = self.random.choice(SECONDS)
        self.twins.done.append(f"{seconds} s pass")
        self.twins.now += timedelta(seconds=seconds)


def _settlement(step: StepInHand, answer: str, owner: str, *, is_intended: bool) -> Settlement:
    error = SLOW_ANSWERS[answer]
    if error is None:
        following = reports.following_of(step)
        return reports.completed(
            step,
            {"status_code": 200},
            effect="done",
            answer={"status_code": 200},
            may_continue=following is not None and following["lane"] == step.lane,
            worker=owner[:-2],
            owner=owner,
            lease_seconds=30.0,
        )
    verdict = judge(error, step, was_intended=is_intended)
    return reports.retried(step, verdict) if isinstance(verdict, Retry) else reports.failed(step, verdict)


def _late(operation: Callable[[Half], Any]) -> Callable[[Half], Any]:
    """LostRace is a result like others."""

    def done(half: Half) -> Any:
        try:
            return operation(half)
        except LostRace:
            return "lost race"

    return done


def _nothing(_: Any) -> None:
    return None


def _facts(step: StepInHand) -> dict[str, Any]:
    """What must be the same on both sides."""
    names = (
        "key",
        "position",
        "status",
        "fence",
        "attempt",
        "lost",
        "request",
        "outputs",
        "run_status",
        "is_due",
    )
    return {name: getattr(step, name) for name in (*names, "last_outcome", "payload", "workflow_name")}
