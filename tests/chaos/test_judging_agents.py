"""The harness can see what it looks for in agents: planted contradictions are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.chaos.books import Arrival
from tests.chaos.judging_agents import Row, Step, Turn, Verdict

STEP = Step(1, "run-1", "completed", False, 0)
NAMES = ("find_records", "upsert_record", "create_record", "http_request")
TITLE = "run-1:agent"
SENT = "run-1:agent:call_4"


def turn(number: int, key: str, name: str = "scripted") -> Turn:
    kind = "tool" if "call" in key else "model"
    title = TITLE if name == "create_record" else None
    return Turn(1, number, kind, f"run-1:agent:{key}", name, None, 100.0 + number, title)


def arrived(key: str = SENT, *, at: float = 106.0, digest: str = "same") -> Arrival:
    return Arrival(at, key, digest, "run-1:asked", honours_keys=True, came_of_it="acted")


@dataclass
class Account:
    """All well: three turns, four calls, two writes, one request."""

    steps: list[Step] = field(default_factory=lambda: [STEP])
    turns: list[Turn] = field(
        default_factory=lambda: [
            turn(1, "turn_1"),
            turn(2, "call_1", NAMES[0]),
            turn(3, "call_2", NAMES[1]),
            turn(4, "turn_2"),
            turn(5, "call_3", NAMES[2]),
            turn(6, "call_4", NAMES[3]),
            turn(7, "turn_3"),
        ]
    )
    asked: list[tuple[str, int]] = field(
        default_factory=lambda: [(f"run-1:agent:turn_{n}", n) for n in (1, 2, 3)]
    )
    deeds: list[Row] = field(
        default_factory=lambda: [
            ("run run-1", "run-1:agent:call_2", 1),
            ("run run-1", "run-1:agent:call_3", 1),
        ]
    )
    notes: list[Row] = field(default_factory=lambda: [(TITLE, 1)])
    arrivals: dict[str, list[Arrival]] = field(default_factory=lambda: {SENT: [arrived()]})

    @property
    def broken(self) -> list[str]:
        return list(
            Verdict(
                self.steps,
                self.turns,
                asked=self.asked,
                deeds=self.deeds,
                notes=self.notes,
                arrivals=self.arrivals,
            ).broken
        )


def test_given_everything_once_then_nothing_is_wrong() -> None:
    assert Account().broken == []


def test_given_a_lost_attempt_then_its_turn_may_be_asked_again_and_no_other() -> None:
    account = Account(steps=[replace(STEP, broken=1)])
    account.asked.insert(2, ("run-1:agent:turn_2", 2))
    assert account.broken == []


def test_given_a_replay_then_it_asks_anew_and_may_send_once_more_under_the_key_of_before() -> None:
    account = Account(steps=[replace(STEP, status="cancelled"), replace(STEP, id=2, run="run-2")])
    account.turns += [
        replace(one, step=2, key=one.key if one.key == SENT else one.key.replace("run-1", "run-2"))
        for one in account.turns
    ]
    account.asked += [(key.replace("run-1", "run-2"), turn) for key, turn in account.asked]
    account.deeds += [("run run-2", key.replace("run-1", "run-2"), 1) for _, key, _ in account.deeds]
    account.notes = [(TITLE, 2)]
    assert account.broken == []


def _asks_a_finished_turn_again(account: Account) -> None:
    account.steps = [replace(STEP, broken=1)]
    account.asked.append(("run-1:agent:turn_1", 1))


def _asks_too_often(account: Account) -> None:
    account.asked.append(("run-1:agent:turn_3", 3))


def _asks_for_nobody(account: Account) -> None:
    account.asked.append(("other:turn_1", 1))


def _never_asked(account: Account) -> None:
    account.asked.pop()


def _writes_twice(account: Account) -> None:
    account.deeds[0] = (*account.deeds[0][:2], 2)


def _writes_nothing(account: Account) -> None:
    del account.deeds[0]


def _writes_in_secret(account: Account) -> None:
    account.deeds.append(("run run-1", "run-1:agent:call_9", 1))


def _notes_twice(account: Account) -> None:
    account.notes = [(TITLE, 2)]


def _sends_in_secret(account: Account) -> None:
    account.arrivals["run-1:agent:call_7"] = [arrived("run-1:agent:call_7")]


def _sends_another_body(account: Account) -> None:
    account.arrivals[SENT].append(arrived(digest="another"))


def _sends_too_late(account: Account) -> None:
    account.arrivals[SENT].append(arrived(at=107.0))


def _never_arrives(account: Account) -> None:
    account.arrivals = {}


def _does_half_of_it(account: Account) -> None:
    account.turns.pop()


def _does_not_end(account: Account) -> None:
    account.turns[-1] = replace(account.turns[-1], finished_at=None)


def _has_other_keys(account: Account) -> None:
    account.turns[0] = replace(account.turns[0], key="run-1:agent:turn_9")


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (_asks_a_finished_turn_again, "a finished turn was asked again"),
        (_asks_too_often, "more questions than turns and broken attempts"),
        (_asks_for_nobody, "a question of a step that is not there"),
        (_never_asked, "a turn that the model was never asked"),
        (_writes_twice, "a tool that did not write exactly once"),
        (_writes_nothing, "a tool that did not write exactly once"),
        (_writes_in_secret, "a tool wrote and the journal does not know"),
        (_notes_twice, "notes of agents that the journal does not agree with"),
        (_sends_in_secret, "a request of an agent without a line in its journal"),
        (_sends_another_body, "two bodies under one key"),
        (_sends_too_late, "a request of an agent after its call was finished"),
        (_never_arrives, "a finished call of an agent that never arrived"),
        (_does_half_of_it, "an agent that did not do what it was to do, once"),
        (_does_not_end, "an agent that ended and something of it had not"),
        (_has_other_keys, "turns whose keys are not theirs"),
    ],
)
def test_given_a_planted_contradiction_then_it_is_blamed(plant: Callable[[Account], None], rule: str) -> None:
    account = Account()
    plant(account)
    assert rule in account.broken
