"""Mutants of why something did or did not start a workflow."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

OUTBOX = "triggers/outbox.py"
OUTBOX_SQL = "triggers/outbox_statements.py"
NOTEBOOK = "triggers/decisions/notebook.py"
SHELF = "triggers/decisions/shelf.py"
COLLECTING = "triggers/decisions/collecting.py"
LIST = "executions/decision_list.py"
PAGES = "lightfield/access/pagination.py"

MUTANTS = (
    *breaking(
        "Why a workflow did or did not start is told",
        planted(
            "paused-workflow-takes-webhooks",
            "a trigger that takes nothing now is found, and its event stored",
            edit(
                OUTBOX_SQL,
                "found AS (SELECT * FROM known WHERE refused_as IS NULL)",
                "found AS (SELECT * FROM known)",
            ),
            by="test_decision_lists.py::"
            "test_a_webhook_that_starts_nothing_is_noted_with_the_reason_and_answered_as_ever",
        ),
        planted(
            "refused-repetition-untold",
            "a repetition with another body is noted on the commit that never comes",
            edit(
                OUTBOX,
                "    decided = note_on_commit if is_same else note  #",
                "    decided = note_on_commit  #",
            ),
            by="test_decision_lists.py::"
            "test_a_repeated_run_by_hand_is_noted_also_when_its_transaction_is_refused",
        ),
        planted(
            "rolled-back-decision-told",
            "what a transaction decided is noted before it is committed",
            edit(NOTEBOOK, "    transaction.on_commit(noted, robust=True)\n", "    noted()\n"),
            by="test_decisions.py::test_given_a_rollback_then_nothing_was_decided",
        ),
        planted(
            "two-lists-one-after-the-other",
            "events come first and decisions after them, whenever they were",
            edit(
                PAGES,
                "    return sorted(chain(*heads), key=attrgetter(by), reverse=is_downward)[:count]\n",
                "    return list(chain(*heads))[:count]\n",
            ),
            by="test_decision_lists.py::test_events_and_decisions_are_one_list_the_newest_first",
        ),
        planted(
            "verdict-asked-for-and-told-differ",
            "an event that was let go for its depth is found under no verdict",
            edit(LIST, 'error_code=CODES.get(verdict, ""))', "error_code=verdict)"),
            by="test_decision_lists.py::test_a_verdict_can_be_asked_for_wherever_it_stands",
        ),
    ),
    *breaking(
        "To note a decision costs no statement and waits for nobody",
        planted(
            "note-carried-by-the-caller",
            "whoever notes talks to Redis",
            edit(
                NOTEBOOK,
                "        self._something.set()\n\n    def flush",
                "        self.flush()\n\n    def flush",
            ),
            by="test_decisions.py::test_to_note_asks_nothing_of_the_database_and_nothing_of_redis",
        ),
        planted(
            "notes-without-a-breaker",
            "Redis is asked although it has just not answered",
            edit(NOTEBOOK, "time.monotonic() + OPEN_SECONDS\n", "time.monotonic()\n"),
            by="test_decisions.py::"
            "test_given_redis_away_then_notes_are_kept_to_their_bounds_and_carried_when_it_is_back",
        ),
        planted(
            "a-look-at-the-database-for-nothing",
            "a collection of nothing is a transaction",
            edit(COLLECTING, "    if not counts:\n        return 0", "    if False:\n        return 0"),
            by="test_decisions.py::test_given_nothing_noted_then_a_collection_is_one_exchange_and_no_statement",
        ),
    ),
    *breaking(
        "A decision is counted once at most",
        planted(
            "taken-and-left",
            "a collector leaves the counters that it takes",
            edit(SHELF, "redis.call('DEL', KEYS[1], KEYS[2])\nreturn", "redis.call('DEL', KEYS[2])\nreturn"),
            by="test_decisions.py::test_given_two_collectors_at_once_then_each_decision_is_counted_once",
        ),
        planted(
            "failed-page-carried-again",
            "what may have arrived is written down once more",
            edit(
                NOTEBOOK,
                "            shelf.hang_up()\n            logger.warning",
                "            shelf.hang_up()\n            self._page = page\n            logger.warning",
            ),
            by="test_decisions.py::"
            "test_given_redis_away_then_notes_are_kept_to_their_bounds_and_carried_when_it_is_back",
        ),
    ),
    *breaking(
        "What is kept of decisions is bounded, and a busy trigger pushes out no other's",
        planted(
            "decisions-kept-for-ever",
            "nothing is trimmed in PostgreSQL",
            edit(COLLECTING, "MOST_OF_A_TRIGGER: Final = 1_000 ", "MOST_OF_A_TRIGGER: Final = 1_000_000 "),
            by="test_decisions.py::test_a_trigger_keeps_its_newest_thousand",
        ),
        planted(
            "collectors-store-at-once",
            "two collectors store side by side, and neither trims what the other stored",
            edit(COLLECTING, "FROM (SELECT pg_advisory_xact_lock(6841973305)) turn", "FROM (SELECT 1) turn"),
            by="test_decisions.py::test_given_collectors_that_store_at_once_then_the_bound_holds",
        ),
        planted(
            "a-busy-trigger-fills-the-notebook",
            "a trigger may use all the room that a process has for notes",
            edit(NOTEBOOK, "share = MOST_NOTES // len(self.notes) or 1\n", "share = MOST_NOTES\n"),
            by="test_decisions.py::test_counters_are_exact_where_only_a_sample_is_kept",
        ),
        planted(
            "the-quiet-make-room",
            "in Redis the trigger that has least makes room",
            edit(
                SHELF, "redis.call('ZREVRANGE', KEYS[2], 0, 0)[1]", "redis.call('ZRANGE', KEYS[2], 0, 0)[1]"
            ),
            by="test_decisions.py::"
            "test_given_busy_triggers_in_many_processes_then_redis_keeps_the_note_of_a_quiet_one",
        ),
        planted(
            "decisions-of-no-trigger",
            "a trigger that somebody wrote into Redis is taken for one that exists",
            edit(
                COLLECTING,
                "for key, count in counts.items() if key[0] in known}",
                "for key, count in counts.items()}",
            ),
            by="test_decisions.py::"
            "test_given_forged_content_in_redis_then_what_is_sound_is_stored_and_nothing_else",
        ),
    ),
)
