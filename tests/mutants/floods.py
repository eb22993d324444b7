"""Mutants of what keeps a flood, and a young installation, from costing more than it must."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

DISPATCHER = "executions/dispatcher.py"
RUNG_MEANWHILE = "test_given_a_shard_that_is_drained_when_rung_for_then_the_first_thread_takes_its_event"

MUTANTS = (
    *breaking(
        "A flood of one shard takes one thread of a process, and no bell is overlooked meanwhile",
        planted(
            "every-message-drains",
            "each message for a shard takes a thread of its own, until a flood has them all",
            edit(
                DISPATCHER,
                "            is_mine = shard not in self._rung_again or now > self._overdue_at[shard]\n",
                "            is_mine = True\n",
            ),
            by=f"test_drains.py::{RUNG_MEANWHILE}",
        ),
        planted(
            "bell-during-a-drain-overlooked",
            "an event that comes after the last look waits for the sweep, although its bell was heard",
            edit(DISPATCHER, "            if self._rung_again.get(shard):\n", "            if False:\n"),
            by=f"test_drains.py::{RUNG_MEANWHILE}",
        ),
        planted(
            "failed-drain-keeps-its-shard",
            "after an error no thread of the process drains that shard again",
            edit(
                DISPATCHER,
                "    except BaseException:\n        drains.leave(shard)\n        raise\n",
                "    except BaseException:\n        raise\n",
            ),
            by="test_drains.py::test_given_an_error_in_a_drain_then_the_next_bell_is_answered",
        ),
        planted(
            "ended-turn-keeps-its-shard",
            "after a turn that ran out of time no thread of the process drains that shard again",
            edit(
                DISPATCHER,
                "            drains.leave(shard)\n            return taken, False",
                "            return taken, False",
            ),
            by="test_drains.py::test_given_a_turn_that_ended_with_events_left_then_the_next_bell_is_answered",
        ),
        planted(
            "drain-spins-on-what-others-hold",
            "a dispatcher looks again and again at rows that another process has locked",
            edit(DISPATCHER, "(not is_full or batch.is_held)", "not is_full"),
            by="test_drains.py::"
            "test_given_a_full_batch_that_another_process_holds_then_the_turn_ends_without_a_bell",
        ),
    ),
    *breaking(
        "What is known by its key is found by its key, however young the installation",
        planted(
            "intent-asks-a-partial-index",
            "each intent reads all steps in flight on a new installation",
            edit("executions/intents.py", "s.status || '' = 'running'", "s.status = 'running'"),
            by="test_plans.py::"
            "test_given_tables_without_statistics_then_no_lookup_by_key_walks_a_partial_index",
        ),
        planted(
            "adoption-asks-a-partial-index",
            "a worker that looks for its own steps reads all that run, once PostgreSQL knows how few they were",
            edit(
                "executions/claims.py",
                "s.id = ANY(%(ids)s::bigint[]) AND s.status || '' = 'running' AND",
                "s.id = ANY(%(ids)s::bigint[]) AND s.status = 'running' AND",
            ),
            by="test_plans.py::test_given_tables_that_postgresql_knows_then_no_statement_walks_any_index",
        ),
        planted(
            "growth-told-to-nobody",
            "what was planned for a few rows is run on thousands until autovacuum comes",
            edit("executions/tasks.py", "    planner_statistics.refresh()\n", ""),
            by="test_planner_statistics.py::test_every_sweep_looks",
        ),
        planted(
            "growth-told-at-every-sweep",
            "a table that PostgreSQL knows is analyzed again each second",
            edit(
                "executions/planner_statistics.py",
                "greatest(10 * c.relpages, %(fewest)s::int)",
                "%(fewest)s::int",
            ),
            by=(
                "test_planner_statistics.py::test_given_a_table_that_has_grown_tenfold_then_it_is_analyzed_once",
                "test_planner_statistics.py::"
                "test_given_a_table_that_is_known_when_it_grows_by_half_then_it_is_left_to_autovacuum",
            ),
        ),
    ),
)
