"""Mutants of claims, leases, fences and outcomes."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CLAIMS = "executions/claims.py"
LEASES = "executions/leases.py"
SETTLING = "executions/settling.py"
OUTCOMES = "executions/outcomes.py"
SWEEPER = "executions/sweeper.py"
WITH_ITS_WORKER = "bugs/test_a_cell_that_died_with_its_worker_was_held_against_its_step.py"

TAKING = (
    *breaking(
        "One worker at a time",
        planted(
            "claim-of-what-runs",
            "a message takes its step although a worker has it",
            edit(
                CLAIMS,
                "IN_COMPANY = \"s.status = 'queued' AND",
                "IN_COMPANY = \"s.status IN ('queued', 'running') AND",
            ),
            by=(
                "test_claims.py::test_given_one_queued_step_when_eight_workers_claim_it_then_one_attempt_is_made",
                "test_claims.py::test_nobody_takes_a_step_from_a_living_worker",
            ),
        ),
        planted(
            "claim-of-what-is-ready",
            "a message takes a step past admission",
            edit(
                CLAIMS,
                "IN_COMPANY = \"s.status = 'queued' AND",
                "IN_COMPANY = \"s.status IN ('queued', 'ready') AND",
            ),
            by="test_claims.py::test_a_message_with_the_id_of_a_ready_step_claims_nothing",
        ),
        planted(
            "claim-under-a-live-lease",
            "a cell takes a step whose worker lives",
            edit(
                CLAIMS,
                "(s.status = 'running' AND s.lease_expires_at < clock_timestamp())",
                "(s.status = 'running')",
            ),
            by="test_claims.py::test_nobody_takes_a_step_from_a_living_worker",
        ),
    ),
    *breaking(
        "A worker that lives keeps its steps",
        planted(
            "lease-not-renewed",
            "leases run out under workers that live",
            edit(
                LEASES,
                "claims.renew([(hold.step_run_id, hold.fence) for hold in held])",
                "(set[int](), set[int]())",
            ),
            by=(
                "test_leases.py::test_a_beat_extends_the_lease_in_the_database_and_here",
                "test_leases.py::test_the_keeper_beats_by_itself",
            ),
        ),
        planted(
            "renewal-as-a-loss",
            "a row that is locked for a moment counts as taken by somebody else",
            edit(
                CLAIMS,
                "        lost = {step_run_id for step_run_id, _ in held} - ours - renewed\n",
                "        lost = {step_run_id for step_run_id, _ in held} - renewed\n",
            ),
            by="test_leases.py::test_a_row_that_is_locked_for_a_moment_is_not_lost",
        ),
    ),
    *breaking(
        "A worker that slept through its lease writes nothing",
        planted(
            "settle-without-the-fence",
            "whoever held a step once may write its outcome",
            edit(SETTLING, "AND s.run_id = r.id AND s.fence = %(fence)s::int\n", "AND s.run_id = r.id\n"),
            edit(
                SETTLING,
                "AND a.number = st.attempts AND a.fence = %(fence)s::int",
                "AND a.number = st.attempts",
            ),
            by=(
                "test_fences.py::test_given_a_step_taken_over_when_its_first_worker_wakes_then_it_writes_nothing",
                "test_fences.py::test_of_a_zombie_and_its_heir_at_once_the_heir_wins_every_time",
            ),
        ),
        planted(
            "fast-outcome-without-the-fence",
            "an older try of a fast step overwrites a newer one",
            edit(SETTLING, "AND s.run_id = r.id AND s.fence = %(fence)s::int\n", "AND s.run_id = r.id\n"),
            by="test_fences.py::"
            "test_given_a_fast_step_tried_again_meanwhile_when_an_older_try_comes_back_then_it_is_dropped",
        ),
        planted(
            "fence-not-raised-by-a-second-claim",
            "the heir of a step holds it under the fence of its first worker",
            edit(
                CLAIMS,
                "status = 'running', fence = s.fence + 1, attempts",
                "status = 'running', fence = greatest(s.fence, 1), attempts",
            ),
            by="test_fences.py::test_given_a_step_taken_over_when_its_first_worker_wakes_then_it_writes_nothing",
        ),
        planted(
            "fence-not-raised-by-giving-up",
            "a step that was given up keeps the fence of its last worker",
            edit("executions/cells.py", "        raises_fence=True,\n", "        raises_fence=False,\n"),
            by="test_fences.py::test_given_a_step_that_was_given_up_when_its_last_worker_wakes_then_it_writes_nothing",
        ),
        planted(
            "lost-race-not-raised",
            "a statement whose guard does not match leaves what its other parts wrote",
            edit(SETTLING, "THEN 1 ELSE lost_race() END", "THEN 1 ELSE 0 END"),
            by="test_fences.py::test_given_a_step_taken_over_when_its_first_worker_wakes_then_it_writes_nothing",
        ),
        planted(
            "renewal-without-the-fence",
            "a worker that lost a step extends the lease of its heir",
            edit(
                CLAIMS,
                "  WHERE s.fence = w.fence AND s.status = 'running' ORDER BY s.run_id FOR UPDATE OF s SKIP LOCKED)",
                "  WHERE s.status = 'running' ORDER BY s.run_id FOR UPDATE OF s SKIP LOCKED)",
            ),
            by="test_leases.py::test_given_a_step_taken_over_when_the_keeper_beats_then_its_old_owner_knows",
        ),
    ),
    *breaking(
        "… and sends nothing",
        planted(
            "intent-without-the-fence",
            "a worker that lost a step moves its effect and its lease",
            edit(
                CLAIMS,
                "  WHERE s.fence = w.fence AND s.status = 'running' ORDER BY s.run_id FOR UPDATE OF s),",
                "  WHERE s.status = 'running' ORDER BY s.run_id FOR UPDATE OF s),",
            ),
            by="test_fences.py::test_a_zombie_gets_no_leave_to_send",
        ),
        planted(
            "sent-under-a-lease-that-is-over",
            "a worker sends however long it was paused",
            edit(LEASES, " and time.monotonic() < self.lease_until - margin\n", "\n"),
            by="test_effects.py::test_given_a_worker_paused_beyond_its_lease_when_it_wakes_then_it_sends_nothing",
        ),
        planted(
            "no-margin",
            "a worker sends in the last moment of its lease",
            edit(LEASES, "margin = settings.LIGHTFIELD_LEASE_SECONDS / 6\n", "margin = 0.0\n"),
            by="test_leases.py::test_nothing_is_sent_on_the_last_sixth_of_a_lease",
        ),
    ),
)

WRITING = (
    *breaking(
        "A final status stays final",
        planted(
            "settle-without-the-status",
            "an outcome is written over another one",
            edit(SETTLING, "    AND s.status = %(was)s::text\n", ""),
            by="test_fences.py::test_of_eight_settlements_at_once_one_is_written",
        ),
        planted(
            "ended-run-settled",
            "an outcome moves a run that has ended",
            edit(
                SETTLING,
                "  FROM go WHERE id = %(run_id)s::uuid AND status IN ('pending', 'running', 'waiting')\n",
                "  FROM go WHERE id = %(run_id)s::uuid\n",
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
                SETTLING,
                "  FROM r, st WHERE %(next_key)s::text IS NOT NULL RETURNING id, status, key),",
                "  FROM r, st WHERE %(next_key)s::text IS NOT NULL AND r.ahead RETURNING id, status, key),",
            ),
            by="test_verify.py::test_all_invariants_hold_after_every_single_message",
        ),
        planted(
            "rest-not-skipped",
            "a failed run says nothing of the steps that never came",
            edit(
                SETTLING,
                "  FROM r, st, jsonb_to_recordset(%(skipped)s",
                "  FROM r, st, jsonb_to_recordset('[]' || %(skipped)s - 0",
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

MUTANTS = (*TAKING, *WRITING)
