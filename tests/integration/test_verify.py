"""`bin/manage verify` over databases that the engine itself has made, at rest and in the middle of its work."""

from __future__ import annotations

import json
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from executions.models import Run
from executions.verifying import running
from executions.verifying.invariant import Invariant, Subject
from lightfield.kernel import sql
from tests.bellboy import TASKS, Bellboy
from tests.integration.verify_world import World
from tests.scripted import ScriptedSlow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(bellboy: Bellboy, slow_step: ScriptedSlow) -> World:
    return World(bellboy, slow_step)


def broken(*, quiesced: bool) -> dict[str, list[str]]:
    return {
        finding.invariant.name: finding.ids for finding in running.verify(quiesced=quiesced) if finding.broken
    }


def said(*args: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    out = StringIO()
    try:
        call_command("verify", *args, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_given_every_way_a_run_can_end_when_nothing_is_in_flight_then_all_invariants_hold(
    world: World,
) -> None:
    world.make_ended()

    assert broken(quiesced=False) == {}
    assert broken(quiesced=True) == {}


def test_given_runs_in_flight_then_all_but_the_quiesced_ones_hold(world: World) -> None:
    world.make_ended()
    world.make_in_flight()

    assert broken(quiesced=False) == {}
    assert set(broken(quiesced=True)) == {"events-decided", "runs-ended", "steps-ended"}


class WatchedWorld(World):
    """Checks all invariants after every single message, and what they said while a request was out."""

    moments = 0

    def answer(self) -> None:
        while self.bellboy.waiting:
            bell = self.bellboy.waiting.pop(0)
            TASKS[bell.task].apply(args=bell.args)
            self.look()

    def look(self, context: object = None) -> None:
        assert broken(quiesced=False) == {}
        self.moments += 1


def test_all_invariants_hold_after_every_single_message(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    world = WatchedWorld(bellboy, slow_step)

    world.make_ended()

    assert world.moments > 40


def test_all_invariants_hold_while_a_request_is_out(bellboy: Bellboy, slow_step: ScriptedSlow) -> None:
    world = WatchedWorld(bellboy, slow_step)

    world.run(world.two_steps, world.look)

    assert world.moments == len(bellboy.rung) + 1  # after each message, and once inside the first step


def test_command_on_a_sound_database_says_so_and_exits_with_0(world: World) -> None:
    world.run(world.two_steps)

    code, text = said()

    assert code == 0
    assert f"All {len(running.chosen(quiesced=False))} invariants hold" in text
    assert "live-run-has-one-live-step" in text


@pytest.fixture
def broken_run(world: World) -> Run:
    """A completed run that tells nothing."""
    run = world.run(world.two_steps)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE executions_timelineentry DISABLE TRIGGER timeline_append_only")
        cursor.execute("DELETE FROM executions_timelineentry WHERE run_id = %s", [run.pk])
        cursor.execute("ALTER TABLE executions_timelineentry ENABLE TRIGGER timeline_append_only")
    return run


def test_command_on_a_broken_database_names_the_ids_and_exits_with_1(broken_run: Run) -> None:
    code, text = said("--quiesced")

    assert code == 1
    assert str(broken_run.pk) in text
    assert "story-without-gap" in text
    assert "invariants broken" in text


def test_command_as_json(broken_run: Run) -> None:
    code, text = said("--json")

    found = json.loads(text)
    assert code == 1
    assert found["holds"] is False
    assert found["rows"]["runs"] == 1
    by_name: dict[str, Any] = {each["name"]: each for each in found["invariants"]}
    assert set(by_name) == {invariant.name for invariant in running.chosen(quiesced=False)}
    assert by_name["story-without-gap"]["ids"] == [str(broken_run.pk)]
    assert by_name["story-in-time"]["broken"] == 0


def test_many_broken_rows_are_counted_and_the_first_named(world: World) -> None:
    for _ in range(running.SHOWN + 5):
        world.start(world.two_steps)
    world.bellboy.lose_all()

    code, text = said("--quiesced")

    assert code == 1
    assert "25 broken" in text
    assert "and 5 more" in text


def test_a_terminal_without_the_signs_is_told_in_ascii(broken_run: Run) -> None:
    out = TextIOWrapper(BytesIO(), encoding="ascii", write_through=True)
    with pytest.raises(SystemExit):
        call_command("verify", stdout=out)

    out.seek(0)
    text = out.read()
    assert "  ok  event-key-once" in text
    assert "  !!  story-without-gap" in text


def test_verify_runs_in_a_transaction_that_cannot_write() -> None:
    findings = running.verify()
    next(findings)

    with pytest.raises(DatabaseError, match="read-only transaction"):
        sql.rows("DELETE FROM executions_lane", {})
    findings.close()


def test_verify_sees_one_snapshot_whatever_is_written_meanwhile(world: World) -> None:
    event = world.start(world.two_steps)
    findings = running.verify(quiesced=True)
    next(findings)

    # Another connection decides the event while the queries are under way.
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("UPDATE triggers_outboxevent SET status = 'ignored' WHERE id = %s", [event.pk])
    other.close()

    by_name = {finding.invariant.name: finding.ids for finding in findings}
    assert by_name["events-decided"] == [str(event.pk)]
    assert by_name["event-decision-recorded"] == []


def test_verify_refuses_to_join_a_transaction() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="of its own"):
        next(running.verify())


def test_a_query_that_takes_too_long_is_reported_as_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Invariant(
        name="endless", subject=Subject.RUNS, says="Never known.", broken="SELECT pg_sleep(20)::text"
    )
    monkeypatch.setattr(running, "INVARIANTS", (endless,))

    with pytest.raises(CommandError, match="endless could not be checked") as refused:
        said("--timeout", "0.05")
    assert refused.value.returncode == 2


def test_list_describes_every_invariant_without_a_database_question() -> None:
    code, text = said("--list")

    assert code == 0
    assert all(f"`{invariant.name}`" in text for invariant in running.INVARIANTS)
