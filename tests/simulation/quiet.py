"""When the adversary is gone, everything ends: only sweeps, living workers, and a far side that says yes."""

from __future__ import annotations

from executions.states import LIVE_RUN
from tests.simulation.checks import InvariantBroken
from tests.simulation.world import World

MOST_SWEEPS = 30
MOST_STEPS = 20_000
BETWEEN_SECONDS = 61.0  # longer than a lease with its margin, and than the longest distance between two rings


def quiesce(world: World, *, loses_messages: bool = False) -> int:
    """Returns the number of sweeps it took.

    Raises:
        InvariantBroken: after so many there still was something that had not ended.
    """
    for process in world.living_or_paused():
        world.pause(process, is_paused=False)
    if loses_messages:
        world.broker.messages.clear()
    for sweeps in range(MOST_SWEEPS):
        settle_down(world)
        if not (left := unended(world)):
            return sweeps
        world.let_time_pass(BETWEEN_SECONDS)
        world.sweep(world.living[0])
    raise InvariantBroken(f"not ended after {MOST_SWEEPS} sweeps: {left}")


def settle_down(world: World) -> None:
    """Until no thread may go on and no message waits."""
    for _ in range(MOST_STEPS):
        if ready := world.ready:
            world.resume(ready[0])
        elif world.broker.messages:
            world.deliver(0, world.living[0])
        else:
            return
    raise InvariantBroken("there is always something to do: a message leads to itself")


def unended(world: World) -> list[str]:
    """What has not ended."""
    tables = world.tables
    return [
        *(f"event {event.id}" for event in tables.events.values() if event.status == "pending"),
        *(f"run {run.id} ({run.status})" for run in tables.runs.values() if run.status in LIVE_RUN),
        *(f"effect {effect.key}" for effect in tables.effects.values() if effect.status == "intent"),
    ]
