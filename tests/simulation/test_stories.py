"""Stories told move by move, where chance would need many thousand seeds."""

from __future__ import annotations

import pytest

from executions import cells
from tests.simulation import people
from tests.simulation.actors import Actor
from tests.simulation.checks import InvariantBroken
from tests.simulation.processes import Process
from tests.simulation.quiet import quiesce
from tests.simulation.rows import Step
from tests.simulation.store import Ending
from tests.simulation.world import World

MOST_MOVES = 200


def go_on(world: World, actor: Actor, *, until: str) -> None:
    """Resume one thread until it stands there, or has come to its end."""
    for _ in range(MOST_MOVES):
        if actor.is_over or actor.at == until:
            return
        world.resume(actor, Ending.HEARD)
    raise AssertionError(f"{actor} never came to {until}")


def a_careful_step_claimed_by(world: World, worker: Process) -> Step:
    """Its event was captured and everything delivered to `worker`, up to the claim."""
    flow = next(flow.id for flow in world.tables.flows.values() if flow.name == "careful")
    people.send(world, worker, flow, "key", 9)
    for _ in range(MOST_MOVES):
        running = [step for step in world.tables.steps.values() if step.status == "running"]
        if running:
            return running[0]
        if world.ready:
            world.resume(world.ready[0], Ending.HEARD)
        else:
            world.deliver(0, worker)
    raise AssertionError("nothing was claimed")


def a_cell(world: World, name: str, step: Step) -> tuple[Process, Actor]:
    cell = world.start_process(name, is_cell=True)
    return cell, world.act(f"cell {name}", lambda: cells.run_here([step.id], step.lane), cell)


def a_cell_stops_where_it_judged_and_another_sends_meanwhile(world: World) -> None:
    step = a_careful_step_claimed_by(world, world.processes[0])
    world.kill(world.processes[0])  # before its intent
    world.broker.messages.clear()
    world.let_time_pass(40)
    stopped, its_thread = a_cell(world, "stopped", step)
    go_on(world, its_thread, until="transaction")
    world.resume(its_thread, Ending.HEARD)
    world.pause(stopped, is_paused=True)
    world.let_time_pass(40)  # should it have claimed, its lease is over
    another, thread = a_cell(world, "another", step)
    go_on(world, thread, until="send")
    assert len(world.sink.requests) == 1
    world.kill(another)
    world.let_time_pass(40)
    world.pause(stopped, is_paused=False)
    go_on(world, its_thread, until="send")


def test_given_a_cell_stopped_after_its_judgement_when_another_sent_then_it_sends_nothing() -> None:
    with World(1) as world:
        a_cell_stops_where_it_judged_and_another_sends_meanwhile(world)
        quiesce(world, loses_messages=True)

        assert len(world.sink.requests) == 1
        (run,) = world.tables.runs.values()
        assert (run.status, run.error_code) == ("failed", "http.outcome_unknown")


def test_the_simulator_sees_a_careful_effect_sent_twice() -> None:
    with (
        World(1, planted=frozenset({"judged before the claim"})) as world,
        pytest.raises(InvariantBroken, match="a careful effect is never sent twice"),
    ):
        a_cell_stops_where_it_judged_and_another_sends_meanwhile(world)
