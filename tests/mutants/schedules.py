"""Mutants of when a schedule is due, and of what fires it."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

INSTANTS = "triggers/schedules/instants.py"
CATCHING_UP = "triggers/schedules/catching_up.py"
CONFIG = "triggers/schedules/config.py"
TICKING = "triggers/ticking.py"
CURSORS = "triggers/cursors.py"
PUBLICATION = "triggers/publication.py"
RENEWING = "triggers/renewing.py"
TAKING_OVER = "triggers/schedules/taking_over.py"

WHAT_FIRES = "integration/ticks/test_what_fires.py::"
MANY_AT_ONCE = "integration/ticks/test_many_at_once.py::"
DEATHS = "integration/ticks/test_deaths.py::"
FAILURES = "integration/ticks/test_failures.py::"
BESIDE_PEOPLE = "integration/ticks/test_beside_people.py::"
CURSOR = "test_schedule_cursor.py::"
ZONE_DATA = "integration/ticks/test_zone_data.py::"
ZONES_AT_ONCE = "integration/ticks/test_zone_data_at_once.py::"
TOO_EARLY = f"{DEATHS}test_given_a_cursor_that_stands_too_early_then_what_has_fired_does_not_fire_again"
IN_OTHERS_HANDS = (
    f"{MANY_AT_ONCE}test_given_a_trigger_in_others_hands_then_the_next_one_is_fired_without_waiting"
)

TABLE = "unit/test_schedule_instants.py::test_the_instants_are_those_of_the_table"
RESUMED = "unit/test_schedule_instants.py::test_it_makes_no_difference_at_which_moment_it_is_taken_up_again"
FROM_THE_END = "unit/test_schedule_instants.py::test_the_last_instant_found_from_the_end_is_the_same"

MUTANTS = (
    *breaking(
        "A fixed time of day is due once a day, whatever the clock does",
        planted(
            "fixed-time-by-elapsed-time",
            "a skipped time of day is not due, a repeated one twice",
            edit(
                INSTANTS,
                "begin = stretch.begin_wall if schedule.follows_the_clock else stretch.begin_wall_unchanged",
                "begin = stretch.begin_wall",
            ),
            by=(TABLE, FROM_THE_END),
        ),
        planted(
            "skipped-time-forgotten-at-its-beginning",
            "whoever looks shortly before a change overlooks what it skips",
            edit(
                INSTANTS,
                "    return max(begin, stretch.wall_of(after)) if after >= stretch.begins_at else begin\n",
                "    return max(begin, stretch.wall_of(after))\n",
            ),
            by=RESUMED,
        ),
        planted(
            "short-months-skipped",
            "every month on the 30th leaves out February",
            edit(CONFIG, "    if day in (29, 30):\n", "    if False:\n"),
            by="unit/test_schedule_config.py::test_a_config_means_these_instants",
        ),
    ),
    *breaking(
        "Every hour stays every hour when the clock changes",
        planted(
            "every-hour-once-by-the-clock",
            "the repeated hour is left out by schedules with a star",
            edit(
                INSTANTS,
                'return any("*" in field for line in self.lines for field in line.split()[:2])',
                "return False",
            ),
            by=TABLE,
        ),
    ),
    *breaking(
        "After downtime all, the latest or none of the missed instants fire",
        planted(
            "rest-of-the-batch-forgotten",
            "what does not fit into one batch never fires",
            edit(
                CATCHING_UP,
                "settled_until = fire[-1] if len(fire) == limit else now",
                "settled_until = now",
            ),
            by="unit/test_schedule_catching_up.py::test_all_comes_in_batches_without_a_gap_or_an_overlap",
        ),
        planted(
            "clock-set-back-fires-again",
            "when the database's clock was set back, what has fired fires again",
            edit(
                CATCHING_UP,
                "        return CatchUp((), after, next_after(schedule, after))\n",
                "        after = now\n",
            ),
            by="unit/test_schedule_catching_up.py::"
            "test_a_clock_that_was_set_back_fires_nothing_and_forgets_nothing",
        ),
        planted(
            "late-counts-as-on-time",
            "none fires an instant of any age",
            edit(CATCHING_UP, " or now - last <= on_time)", " or now >= last)"),
            by="unit/test_schedule_catching_up.py::test_none_still_fires_what_is_on_time",
        ),
    ),
    *breaking(
        "An instant that is due fires once, whoever is rung, however often, and wherever they die",
        planted(
            "cursor-not-moved",
            "a schedule stays due although it has fired",
            edit(
                TICKING,
                "    cursors.move(trigger, schedule, until=plan.settled_until, next_due_at=plan.next_due_at)\n",
                "",
            ),
            by=f"{WHAT_FIRES}test_what_is_due_fires_with_its_event_and_the_event_becomes_a_run",
        ),
        planted(
            "key-without-instant",
            "the event of an instant has no key, so a second one is made",
            edit(TICKING, "        idempotency_key=spelled(due),\n", "        idempotency_key=None,\n"),
            by=TOO_EARLY,
        ),
        planted(
            "fired-instant-stops-its-schedule",
            "a tick that is there already is an error",
            edit(TICKING, "\nON CONFLICT DO NOTHING\n", "\n"),
            by=TOO_EARLY,
        ),
        planted(
            "trigger-not-locked",
            "two compute the same instants side by side, and one of them in vain",
            edit(TICKING, "LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED", "LIMIT 1"),
            by=IN_OTHERS_HANDS,
        ),
        planted(
            "cursor-moved-unseen",
            "a cursor is moved although somebody else moved it",
            edit(CURSORS, " AND settled_until = %(after)s::timestamptz RETURNING", " RETURNING"),
            by=f"{DEATHS}test_given_a_cursor_that_was_moved_meanwhile_then_nothing_of_it_is_written",
        ),
        planted(
            "bell-of-a-tick-before-its-commit",
            "the bells of a tick are rung where its process may still die before they count",
            edit(
                TICKING,
                '    transaction.on_commit(lambda: crashpoint("CP-T2"))  # before the events\' own, which ring\n'
                "    _fire(trigger, plan.fire, now=now)\n",
                "    _fire(trigger, plan.fire, now=now)\n"
                '    transaction.on_commit(lambda: crashpoint("CP-T2"))\n',
            ),
            by=f"{DEATHS}test_given_a_death_behind_the_commit_then_no_bell_was_rung_and_nothing_fires_again",
        ),
    ),
    *breaking(
        "No schedule waits for another one",
        planted(
            "lock-without-skip-locked",
            "whoever is stopped in a tick stops all others",
            edit(TICKING, "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"),
            by=IN_OTHERS_HANDS,
        ),
        planted(
            "events-by-hand-hold-the-schedule",
            "an event that is being written keeps its trigger's schedule from firing",
            edit(TICKING, "FOR NO KEY UPDATE SKIP LOCKED", "FOR UPDATE SKIP LOCKED"),
            by=f"{MANY_AT_ONCE}test_given_an_event_by_hand_being_written_then_its_schedule_fires_all_the_same",
        ),
        planted(
            "longest-due-first-to-its-end",
            "a schedule with thousands of instants to catch up keeps the others waiting",
            edit(TICKING, "            passed.add(caught_up.trigger_id)\n", ""),
            by=f"{MANY_AT_ONCE}test_given_a_schedule_with_much_to_catch_up_then_the_others_need_not_wait_for_all_of_it",
        ),
        planted(
            "every-message-fires",
            "each message takes a thread of the fast worker",
            edit(
                TICKING,
                "    if not _turns.acquire(blocking=False):\n        return 0\n",
                "    _turns.acquire(timeout=1)\n",
            ),
            by=f"{MANY_AT_ONCE}test_given_three_threads_at_it_when_rung_again_then_the_fourth_leaves",
        ),
        planted(
            "nobody-rung-to-help",
            "a thousand schedules due at once are one thread's work until the next beat",
            edit(TICKING, "            bells.ring_ticks()\n", "            pass\n"),
            by=f"{MANY_AT_ONCE}test_given_many_due_at_once_then_others_are_rung_for_and_help",
        ),
        planted(
            "rest-of-a-turn-not-rung",
            "what a turn leaves waits for the next beat",
            edit(TICKING, "        bells.ring_ticks(forced=True)\n", "        pass\n"),
            by=f"{MANY_AT_ONCE}test_given_more_than_a_turn_can_fire_then_it_rings_for_the_rest",
        ),
    ),
    *breaking(
        "A schedule that cannot be caught up stops no other and is set aside after the third failure",
        planted(
            "bad-schedule-stops-the-others",
            "one that cannot be read ends the turn",
            edit(TICKING, "        raise _Failed(trigger) from error\n", "        raise\n"),
            by=f"{FAILURES}test_given_a_trigger_that_cannot_be_caught_up_then_the_others_fire_and_it_is_set_aside_the_third_time",
        ),
        planted(
            "bad-schedule-tried-for-ever",
            "one that cannot be read is never set aside",
            edit(CURSORS, "MOST_FAILURES = 3\n", "MOST_FAILURES = 1_000\n"),
            by=f"{FAILURES}test_given_a_trigger_that_cannot_be_caught_up_then_the_others_fire_and_it_is_set_aside_the_third_time",
        ),
        planted(
            "database-away-is-the-schedules-fault",
            "three losses of the database set a schedule aside",
            edit(
                TICKING,
                "    except (OperationalError, InterfaceError):\n        raise  #",
                "    except ZeroDivisionError:\n        raise  #",
            ),
            by=f"{FAILURES}test_given_a_database_that_goes_away_then_no_trigger_is_to_blame",
        ),
        planted(
            "one-failure-counted-twice",
            "two who failed at the same instant count twice",
            edit(
                CURSORS, " AND next_due_at = %(due)s::timestamptz RETURNING failures", " RETURNING failures"
            ),
            by=f"{FAILURES}test_given_two_who_failed_at_once_then_it_counts_once",
        ),
    ),
    *breaking(
        "A pause replays nothing; another schedule holds from its publishing on, and the same one goes on",
        planted(
            "pause-keeps-the-next-instant",
            "a paused schedule fires what was due",
            edit(PUBLICATION, "    cursors.stop(_locked(workflow))\n", "    pass\n"),
            by=(
                f"{CURSOR}test_given_a_pause_or_the_end_then_what_is_due_does_not_fire",
                f"{BESIDE_PEOPLE}test_given_a_tick_under_way_when_its_workflow_is_paused_then_the_pause_waits_and_nothing_fires_after",
            ),
        ),
        planted(
            "resumed-from-the-old-cursor",
            "what went by during a pause is caught up",
            edit(
                CURSORS,
                "        settled_until=now,\n",
                "        settled_until=trigger.settled_until or now,\n",
            ),
            by=f"{CURSOR}test_given_a_pause_when_it_goes_on_then_nothing_that_went_by_is_caught_up",
        ),
        planted(
            "resumed-and-silent",
            "a schedule does not go on when its workflow is resumed",
            edit(
                PUBLICATION,
                "    if trigger.kind == SCHEDULE:\n        cursors.begin(trigger)\n",
                "    if False:\n        cursors.begin(trigger)\n",
            ),
            by=f"{CURSOR}test_given_a_pause_when_it_goes_on_then_nothing_that_went_by_is_caught_up",
        ),
        planted(
            "publish-loses-what-is-due",
            "an instant that was due just before other steps were published never fires",
            edit(PUBLICATION, "    elif not is_going_on:\n", "    else:\n"),
            by=f"{CURSOR}test_given_other_steps_when_published_then_the_schedule_goes_on_and_what_is_due_still_fires",
        ),
        planted(
            "new-schedule-from-the-old-cursor",
            "another schedule catches up what it would have been due for earlier",
            edit(PUBLICATION, "(kind, config) == (trigger.kind, trigger.config) and ", ""),
            by=f"{CURSOR}test_given_another_schedule_when_published_then_it_holds_from_now_on_and_what_was_missed_is_gone",
        ),
        planted(
            "other-kind-keeps-the-cursor",
            "a workflow that is no schedule any more is due",
            edit(PUBLICATION, "        cursors.forget(trigger)\n", "        pass\n"),
            by=f"{CURSOR}test_given_another_kind_when_published_then_the_cursor_is_gone_and_comes_back_with_a_schedule",
        ),
    ),
    *breaking(
        "When time zone data become newer, what is due follows them: nothing fires twice, no time of day is missed, and "
        "older processes do not undo it",
        planted(
            "sweep-keeps-old-zone-data",
            "nobody computes the next instant anew before it is due",
            edit(
                "executions/tasks.py",
                "    if swept.has_outdated_schedules:\n        renewing.renew_outdated()\n",
                "",
            ),
            by=f"{ZONE_DATA}test_given_data_that_move_the_clock_tomorrow_when_swept_then_it_is_due_by_them_and_nothing_fired",
        ),
        planted(
            "due-by-old-zone-data",
            "whoever catches up a schedule does not ask which data computed its cursor",
            edit(TICKING, "    if trigger.zone_data != zones.version():\n", "    if False:\n"),
            by=f"{ZONES_AT_ONCE}test_given_one_found_due_before_any_sweep_then_it_is_renewed_first",
        ),
        planted(
            "time-of-day-fires-by-both-clocks",
            "a time of day that has fired by the old clock fires again by the new one, or is passed over",
            edit(
                TAKING_OVER, "    return max(shown.astimezone(UTC), began_at)\n", "    return settled_until\n"
            ),
            by=(
                f"{ZONE_DATA}test_given_a_time_of_day_that_has_fired_by_older_data_then_it_does_not_fire_again_today",
                f"{ZONE_DATA}test_given_a_time_of_day_that_older_data_still_expected_then_it_is_not_missed",
            ),
        ),
        planted(
            "older-data-undo-newer",
            "two releases at work renew each other's cursors for ever",
            edit(RENEWING, "WHERE zone_data < %(zone_data)s::text", "WHERE zone_data <> %(zone_data)s::text"),
            by=f"{ZONES_AT_ONCE}test_given_an_instant_by_newer_data_then_who_has_older_ones_leaves_it_to_the_others",
        ),
        planted(
            "newer-data-not-waited-for",
            "who has older data fires by them what newer ones have computed",
            edit(TICKING, "NEWER_FIRST_SECONDS = 10\n", "NEWER_FIRST_SECONDS = 0\n"),
            by=f"{ZONES_AT_ONCE}test_given_an_instant_by_newer_data_then_who_has_older_ones_leaves_it_to_the_others",
        ),
        planted(
            "gone-release-waited-for",
            "after a release was taken back its schedules never fire again",
            edit(TICKING, "NEWER_FIRST_SECONDS = 10\n", "NEWER_FIRST_SECONDS = 1_000_000_000\n"),
            by=f"{ZONES_AT_ONCE}test_given_that_nobody_has_newer_data_any_more_then_what_is_due_fires_ten_seconds_later_while_on_time",
        ),
        planted(
            "renewed-unseen",
            "a cursor is renewed although somebody else moved it",
            edit(
                CURSORS,
                "AND settled_until = %(after)s::timestamptz AND zone_data = %(was)s::text RETURNING id",
                "AND %(after)s::timestamptz IS NOT NULL AND %(was)s::text IS NOT NULL RETURNING id",
            ),
            by=f"{ZONES_AT_ONCE}test_given_a_cursor_that_was_moved_meanwhile_then_it_is_not_renewed",
        ),
        planted(
            "renewed-without-lock",
            "a tick computes from a cursor that is being renewed",
            edit(RENEWING, "LIMIT %(batch)s::int FOR NO KEY UPDATE SKIP LOCKED", "LIMIT %(batch)s::int"),
            by=f"{ZONES_AT_ONCE}test_given_one_who_renews_when_it_is_due_then_a_tick_passes_by_and_fires_what_was_renewed",
        ),
    ),
    *breaking(
        "A schedule fires although beat's messages are lost",
        planted(
            "sweeper-omits-schedules",
            "a schedule that nobody was rung for waits for beat",
            edit(
                "executions/sweeper.py",
                "swept.has_ticks_due, swept.has_outdated_schedules = schedules",
                "_, swept.has_outdated_schedules = schedules",
            ),
            by=f"{CURSOR}test_given_a_schedule_that_nobody_was_rung_for_when_swept_then_it_is_rung_for_and_not_fired",
        ),
    ),
)
