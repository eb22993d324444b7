"""A worker that dies in the middle of an agent: every record is there once, no effect of a tool twice, no finished turn asked again.

Real processes, killed by SIGKILL at CP-A1 and CP-A2, right before a COMMIT, and where slow steps have their points.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from crm.models import Account
from executions import admission, sweeper
from executions.agents.models import AgentTurn
from executions.models import Attempt, Effect, Run
from tests.agents import Story, an_agent, asked_of
from tests.bellboy import Bellboy
from tests.concurrency import wait_until_alone
from tests.dying import BEFORE_COMMIT, Mortals, mortals
from tests.staging import a_run, answer_with_cells_here, let_time_pass

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("promises_kept")]

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def mortal(django_db_setup: None) -> Iterator[Mortals]:
    with mortals(str(connection.settings_dict["NAME"])) as found:
        yield found


@pytest.fixture
def story(mortal: Mortals) -> Iterator[Story]:
    path = mortal.orders / Story.FILE
    story = Story(path)
    with story.told(), asked_of(story.model):
        yield story
    path.unlink(missing_ok=True)


def a_queued_agent() -> Run:
    run = a_run(an_agent())
    admission.admit("ai")
    return run


def others_go_on(bellboy: Bellboy) -> None:
    wait_until_alone()
    let_time_pass()
    sweeper.sweep()
    answer_with_cells_here(bellboy)


# Where it dies, and what is asked of somebody a second time by whoever goes on.
DEATHS = [
    ("CP-S3", 1, []),
    ("CP-A1", 1, ["ask 1"]),
    ("CP-A2", 1, ["write call_2"]),  # it was undone
    ("CP-A2", 2, ["send call_3"]),  # under the same key: its receiver knows it
    ("CP-A1", 2, ["ask 2"]),
    ("CP-A2", 3, ["send call_4"]),
    ("CP-A2", 4, ["write call_5"]),
    (BEFORE_COMMIT, 1, ["write call_2"]),
    ("CP-A1", 3, ["ask 3"]),
    ("CP-S5", 1, []),
]


@pytest.mark.parametrize(("point", "passes", "again"), DEATHS)
def test_given_a_death_anywhere_then_the_agent_goes_on_after_its_last_finished_turn(
    mortal: Mortals, story: Story, bellboy: Bellboy, point: str, passes: int, again: list[str]
) -> None:
    run = a_queued_agent()

    assert mortal.do("work at an agent", run.pk, point=point, passes=passes) == KILLED
    others_go_on(bellboy)

    run.refresh_from_db()
    assert run.status == "completed"
    assert Counter(story.noted()) == Counter([*Story.WHOLE, *again])
    assert list(Account.objects.order_by("name").values_list("name", flat=True)) == ["Acme", "Beta"]
    turns = AgentTurn.objects.order_by("number")
    assert [turn.kind for turn in turns] == [
        "model",
        "tool",
        "tool",
        "tool",
        "model",
        "tool",
        "tool",
        "model",
    ]
    assert all(turn.finished_at is not None for turn in turns)
    assert [a.outcome for a in Attempt.objects.order_by("number")] == ["lost", "ok"]
    assert Effect.objects.get().status == "done"
    step: Any = run.steps.get()
    assert step.output["usage"] == {
        "turns": 3, "tool_calls": 5, "input_tokens": 30, "output_tokens": 30, "cost": None
    }  # fmt: skip


def test_given_one_death_after_the_other_then_every_effect_is_there_once(
    mortal: Mortals, story: Story, bellboy: Bellboy
) -> None:
    """The worker dies, then the cell that goes on, a little further on."""
    run = a_queued_agent()
    assert mortal.do("work at an agent", run.pk, point="CP-A1") == KILLED
    wait_until_alone()
    let_time_pass()
    assert mortal.do("work at an agent in a cell", run.pk, point="CP-A2") == KILLED
    others_go_on(bellboy)

    run.refresh_from_db()
    assert run.status == "completed"
    assert Counter(story.noted()) == Counter([*Story.WHOLE, "ask 1", "write call_2"])
    assert Account.objects.count() == 2
