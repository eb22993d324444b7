"""Mutants of outcomes: what is final, what follows, what is tried again."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CLAIMS = "executions/claims.py"
SETTLING = "executions/settling.py"
COMPLETING = "executions/completing.py"
OUTCOMES = "executions/outcomes.py"
SWEEPER = "executions/sweeper.py"
WITH_ITS_WORKER = "bugs/test_a_cell_that_died_with_its_worker_was_held_against_its_step.py"

MUTANTS = (
    *breaking(
        "A final status stays final",
        planted(
            "settle-without-the-status",
            "an outcome is written over another one",
            edit(SETTLING, "    AND s.status = %(was)s::text\n", ""),
            edit(
                COMPLETING,
                "AND s.fence = r.fence AND s.status || '' = 'running'\n",
                "AND s.fence = r.fence\n",
            ),
            by="test_fences.py::test_of_eight_settlements_at_once_one_is_written",
        ),
        planted(
            "settle-without-any-status",
            "an outcome is written over the end of a run",
            edit(SETTLING, "    AND s.status = %(was)s::text\n", ""),
            edit(
                SETTLING,
                "  WHERE id = %(run_id)s::uuid AND status NOT IN ('completed', 'failed', 'cancelled')\n",
                "  WHERE id = %(run_id)s::uuid\n",
            ),
            edit(
                COMPLETING,
                "AND s.fence = r.fence AND s.status || '' = 'running'\n",
                "AND s.fence = r.fence\n",
            ),
            edit(
                COMPLETING,
                "  WHERE x.status NOT IN ('completed', 'failed', 'cancelled') ORDER BY",
                "  ORDER BY",
            ),
            edit(
                COMPLETING,
                "x.id = lk.run_id AND x.status NOT IN ('completed', 'failed', 'cancelled')\n",
                "x.id = lk.run_id\n",
            ),
            by="test_fences.py::test_an_outcome_written_twice_is_written_once",
        ),
        planted(
            "final-trigger-dropped",
            "the database lets a final status of a step be changed",
            edit(
                "executions/migrations/0002_guards.py",
                "WHEN (OLD.status IN ('completed', 'failed', 'skipped', 'cancelled'))",
                "WHEN (OLD.status = 'skipped')",
            ),
            by="test_fences.py::test_what_is_final_stays_final_even_for_a_person_with_a_database_console",
        ),
    ),
    *breaking(
        "Outcome and what follows are one",
        planted(
            "outcome-without-what-follows",
            "the next step is left to another transaction",
            edit(
                COMPLETING,
                "WHERE r.next_key IS NOT NULL RETURNING id, run_id",
                "WHERE r.next_key IS NOT NULL AND r.ahead RETURNING id, run_id",
            ),
            by="test_verify.py::test_all_invariants_hold_after_every_single_message",
        ),
        planted(
            "rest-not-skipped",
            "a run that fails leaves a step without a word that never came",
            edit(
                SETTLING,
                "jsonb_to_recordset(%(skipped)s::jsonb)",
                "jsonb_to_recordset(%(skipped)s::jsonb - 0)",
            ),
            by="test_engine.py::test_a_permanent_failure_fails_the_run_and_skips_the_rest",
        ),
    ),
    *breaking(
        "An attempt is counted before its work",
        planted(
            "attempt-row-after-the-work",
            "a claim leaves no trace of the attempt that begins",
            edit(
                CLAIMS,
                "  SELECT id, attempts, fence, %(worker)s::text, %(alone)s::bool, clock_timestamp() FROM st),",
                "  SELECT id, attempts, fence, %(worker)s::text, %(alone)s::bool, clock_timestamp() FROM st WHERE false),",
            ),
            by=(
                "test_claims.py::test_given_one_queued_step_when_eight_workers_claim_it_then_one_attempt_is_made",
                "test_careful_mode.py::test_in_a_cell_the_attempt_is_counted_before_the_work",
            ),
        ),
    ),
    *breaking(
        "A killer step harms no neighbour",
        planted(
            "losses-in-company-count",
            "a step is charged with every death near it",
            edit(
                CLAIMS,
                "lost_alone = s.lost_alone + coalesce(old.to_blame, false)::int,",
                "lost_alone = s.lost_alone + (c.was = 'running')::int,",
            ),
            by="test_cells.py::test_losses_in_company_never_end_a_step",
        ),
        planted(
            "loss-without-a-witness-counts",
            "a step is charged with a cell that died because its worker did",
            edit(CLAIMS, "a.alone AND a.witnessed AS to_blame", "a.alone AS to_blame"),
            edit(
                "executions/cells.py", "coalesce(a.alone AND a.witnessed, false)", "coalesce(a.alone, false)"
            ),
            by=f"{WITH_ITS_WORKER}::"
            "test_given_cells_that_died_with_their_worker_when_swept_then_the_step_in_them_is_not_to_blame",
        ),
        planted(
            "killer-tried-for-ever",
            "a step that ends every process it runs in is tried without end",
            edit(
                OUTCOMES,
                "    if lost_alone >= MOST_LOSSES_ALONE or (lost >= MOST_LOSSES and lost_last_alone >= MOST_LOSSES_ALONE):\n",
                "    if False:\n",
            ),
            by=(
                "test_cells.py::test_given_three_losses_alone_then_the_step_is_to_blame",
                "test_cells_real.py::test_given_a_step_that_kills_its_process_when_tried_in_real_cells_"
                "then_it_fails_after_three_alone",
            ),
        ),
        planted(
            "killer-of-workers-tried-for-ever",
            "a step whose deaths nobody lives to see is tried without end",
            edit(
                OUTCOMES,
                "    if lost_alone >= MOST_LOSSES_ALONE or (lost >= MOST_LOSSES and lost_last_alone >= MOST_LOSSES_ALONE):\n",
                "    if lost_alone >= MOST_LOSSES_ALONE:\n",
            ),
            by=f"{WITH_ITS_WORKER}::"
            "test_given_a_step_that_takes_its_worker_with_it_every_time_then_it_is_given_up_all_the_same",
        ),
    ),
    *breaking(
        "A fast step that kills its worker is found as well",
        planted(
            "no-careful-mode",
            "a fast step that never moves is rung for like any other, for ever",
            edit(
                SWEEPER,
                "careful = [found for found in fast if found[7] >= CAREFUL_RINGS and not found[8]]",
                "careful: list[Any] = []",
            ),
            edit(
                SWEEPER, " for found in fast if found[7] < CAREFUL_RINGS or found[8]]", " for found in fast]"
            ),
            by="test_careful_mode.py::"
            "test_given_a_fast_step_that_does_not_move_when_rung_a_third_time_then_a_cell_is_rung",
        ),
    ),
    *breaking(
        "Transient failures retry with backoff, permanent ones fail at once",
        planted(
            "permanent-failure-retried",
            "every failure is tried again",
            edit(
                OUTCOMES,
                '    return error.retryable or error.metadata.get("status_code") in policy.retry_on_status\n',
                "    return True\n",
            ),
            by=(
                "test_engine.py::test_a_permanent_failure_fails_the_run_and_skips_the_rest",
                "unit/test_outcomes.py::test_a_permanent_refusal_is_a_final_answer",
            ),
        ),
        planted(
            "transient-failure-final",
            "no failure is tried again",
            edit(
                OUTCOMES,
                '    return error.retryable or error.metadata.get("status_code") in policy.retry_on_status\n',
                "    return False\n",
            ),
            by="test_engine.py::test_a_transient_failure_is_retried_under_the_same_key",
        ),
        planted(
            "no-backoff",
            "a failed attempt is repeated at once",
            edit(
                OUTCOMES,
                "Retry(policy.delay_after(used_attempts, random=random, retry_after=wish), failure, outcome)",
                "Retry(0.0, failure, outcome)",
            ),
            by="unit/test_outcomes.py::test_a_transient_error_is_retried_after_the_backoff",
        ),
        planted(
            "attempts-without-end",
            "the author's max_attempts is not looked at",
            edit(OUTCOMES, "    if used_attempts >= policy.max_attempts:\n", "    if False:\n"),
            by="unit/test_outcomes.py::test_given_no_attempt_left_then_it_fails_with_the_last_error",
        ),
        planted(
            "retry-after-ignored",
            "a receiver that asks to be left alone is asked again after the usual backoff",
            edit(OUTCOMES, "retry_after=wish)", "retry_after=None)"),
            by="test_effects.py::test_retry_after_is_a_floor",
        ),
    ),
)
