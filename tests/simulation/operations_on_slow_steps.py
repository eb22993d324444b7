"""Operations for twins on slow steps: admission, claims, intents, outcomes, and what comes too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from executions import admission, cells, claims, ending, engine, intents, renewals, reports
from executions.attempts import digest_of, judge
from executions.claims import StepInHand
from executions.outcomes import Retry
from executions.settlements import Settled, Settlement
from executions.settling import settle, settle_together
from lightfield.kernel.errors import LostRace
from tests.simulation.draws import Draws, facts_of
from tests.simulation.flows import SLOW_ANSWERS
from tests.simulation.halves import Half


class OperationsOnSlowSteps:
    def __init__(self, draw: Draws) -> None:
        self.draw = draw

    def admit(self) -> None:
        lane = self.draw.random.choice(("http", "http", "ai", "fast"))
        self.draw.twins.both(f"admit {lane}", lambda half: admission.admit(lane))

    def claim(self, *, in_cell: bool = False) -> None:
        steps = self.draw.lost_steps() if in_cell else self.draw.steps("queued")
        owner = f"w{self.draw.number()}#t"

        def claimed(half: Half) -> list[StepInHand]:
            ids = [half.step_id(step) for step in steps]
            take = cells.claim if in_cell else claims.claim
            return take(ids, worker=owner[:-2], owner=owner)

        if steps:
            real, simulated = self.draw.twins.both(f"claim {steps} {owner} {in_cell=}", claimed)
            self.draw.hold(real, simulated, owner)

    def claim_in_cell(self) -> None:
        self.claim(in_cell=True)

    def intend(self) -> None:
        if held := self.draw.any_held():
            policy = self.draw.random.choice(("retry_same_key", "fail"))

            def intended(half: Half) -> int:
                step = held.hands[half]
                request = step.request or {"on_unknown": policy, "attempt": step.attempt}
                asked = {
                    "id": step.step_run_id,
                    "run_id": step.run_id,
                    "fence": step.fence,
                    "key": step.effect_key,
                }
                frozen = intents.commit_intents([asked | {"request": request, "digest": digest_of(request)}])
                step.request = frozen.get(step.step_run_id, step.request)
                held.is_intended = bool(frozen)
                return len(frozen)

            self.draw.twins.both(f"intend {held.owner}", intended)

    def settle(self) -> None:
        if held := self.draw.any_held():
            answer = self.draw.random.choice(("ok", "ok", *SLOW_ANSWERS))
            owner = f"w{self.draw.number()}#t"

            def settled(half: Half) -> Any:
                step = held.hands[half]
                settlement = _settlement(step, answer, owner, is_intended=held.is_intended)
                found = settle(settlement)
                return engine.next_in_hand(step, settlement, found) if found.continues else found.lane_stands

            real, simulated = self.draw.twins.both(f"settle {held.owner} {answer} {owner}", _late(settled))
            if isinstance(real, StepInHand):
                self.draw.hold([real], [simulated], owner)

    def settle_together(self) -> None:
        """Successes of up to three workers in one statement; one that is late leaves the others as they are."""
        held = self.draw.random.sample(self.draw.held[-6:], k=min(3, len(self.draw.held[-6:])))
        owner = f"w{self.draw.number()}#t"

        def settled(half: Half) -> str:
            steps = [one.hands[half] for one in held]
            plain = [_settlement(step, "ok", owner, is_intended=True) for step in steps]
            return str([_told(one) for one in settle_together(plain)])  # LostRace when there is one only

        if held:
            names = [one.owner for one in held]
            real, simulated = self.draw.twins.both(f"settle together {names}", _late(settled))
            assert real == simulated, (real, simulated)

    def tell_late_truth(self) -> None:
        if held := self.draw.any_held():
            self.draw.twins.both(
                f"late truth {held.owner}",
                lambda half: ending.tell_late_truth(held.hands[half], {"status_code": 200}),
            )

    def renew(self) -> None:
        pairs = [held.hands for held in self.draw.held[-4:]]

        def renewed(half: Half) -> str:
            found = renewals.renew([(hands[half].step_run_id, hands[half].fence) for hands in pairs])
            return str([sorted(half.steps[i] for i in ids) for ids in found])

        if pairs:
            self.draw.twins.both(f"renew {len(pairs)}", renewed)

    def ask_owned(self) -> None:
        if held := self.draw.any_held():
            for ask in (
                lambda half: claims.owned(held.owner, [held.hands[half].step_run_id]),
                lambda half: claims.owned_in_run(held.owner, held.hands[half].run_id),
                lambda half: claims.in_hand([held.hands[half].step_run_id]),
            ):
                real, simulated = self.draw.twins.both(f"owned {held.owner}", ask)
                assert [facts_of(step) for step in real] == [facts_of(step) for step in simulated]


def _settlement(step: StepInHand, answer: str, owner: str, *, is_intended: bool) -> Settlement:
    error = SLOW_ANSWERS[answer]
    if error is None:
        following = reports.following_of(step)
        may_continue = following is not None and following["lane"] == step.lane
        request = {"after": step.key}
        intent = (
            {"key": f"{step.run_id}:{following['key']}", "request": request, "digest": digest_of(request)}
            if may_continue and following
            else None
        )
        return reports.completed(
            step,
            {"status_code": 200},
            effect="done",
            answer={"status_code": 200},
            may_continue=may_continue,
            next_intent=intent if step.fence % 2 else None,
            worker=owner[:-2],
            owner=owner,
            lease_seconds=30.0,
        )
    verdict = judge(error, step, was_intended=is_intended)
    return reports.retried(step, verdict) if isinstance(verdict, Retry) else reports.failed(step, verdict)


def _told(settled: Settled | None) -> str:
    """What both sides must say: all but the id of the next step's row."""
    if settled is None:
        return "alone"
    return f"{settled.next_step_run_id is not None} {settled.continues} {settled.lane_stands}"


def _late(operation: Callable[[Half], Any]) -> Callable[[Half], Any]:
    """LostRace is a result like others."""

    def done(half: Half) -> Any:
        try:
            return operation(half)
        except LostRace:
            return "lost race"

    return done
