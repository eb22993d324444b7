"""Mutants of when a schedule is due."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

INSTANTS = "triggers/schedules/instants.py"
CATCHING_UP = "triggers/schedules/catching_up.py"
CONFIG = "triggers/schedules/config.py"

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
)
