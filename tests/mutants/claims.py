"""Mutants of claims, leases and fences."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CLAIMS = "executions/claims.py"
RENEWALS = "executions/renewals.py"
LEASES = "executions/leases.py"
LOST_REPLIES = "executions/lost_replies.py"
SETTLING = "executions/settling.py"
COMPLETING = "executions/completing.py"
TOGETHER = "test_settled_together.py"
CONNECTIONS = "test_effects_outlive_connections.py"

MUTANTS = (
    *breaking(
        "One worker at a time",
        planted(
            "claim-of-what-runs",
            "a message takes its step although a worker has it",
            edit(
                CLAIMS,
                "IN_COMPANY = \"s.status || '' = 'queued' AND",
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
                "IN_COMPANY = \"s.status || '' = 'queued' AND",
                "IN_COMPANY = \"s.status IN ('queued', 'ready') AND",
            ),
            by="test_claims.py::test_a_message_with_the_id_of_a_ready_step_claims_nothing",
        ),
        planted(
            "claim-under-a-live-lease",
            "a cell takes a step whose worker lives",
            edit(
                CLAIMS,
                "(s.status || '' = 'running' AND s.lease_expires_at < clock_timestamp())",
                "(s.status || '' = 'running')",
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
                "renewals.renew([(hold.step_run_id, hold.fence) for hold in held])",
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
                RENEWALS,
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
            "success-without-the-fence",
            "whoever held a step once may write that it succeeded",
            edit(COMPLETING, "AND s.run_id = r.id AND s.fence = r.fence AND", "AND s.run_id = r.id AND"),
            by=(
                "test_fences.py::test_given_a_step_taken_over_when_its_first_worker_wakes_then_it_writes_nothing",
                "test_settled_together.py::test_given_a_zombie_among_them_then_the_others_are_written_all_the_same",
            ),
        ),
        planted(
            "successes-that-fit-are-written-though-one-does-not",
            "a statement for several leaves the runs of those that lost their step half written",
            edit(
                COMPLETING,
                "= %(number)s::int THEN 1 ELSE lost_race() END",
                "= %(number)s::int THEN 1 ELSE 0 END",
            ),
            by=f"{TOGETHER}::test_when_one_does_not_fit_the_statement_writes_nothing_at_all",
        ),
        planted(
            "one-zombie-spoils-the-batch",
            "what was to be written together with a zombie's outcome is lost with it",
            edit(
                "executions/chain.py",
                "    return settled or settle(settlement)  # one of its company did not fit\n",
                "    if settled is None:\n        raise LostRace\n    return settled\n",
            ),
            by=f"{TOGETHER}::test_given_a_zombie_among_them_then_the_others_are_written_all_the_same",
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
                RENEWALS,
                "  WHERE s.fence = w.fence AND s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s SKIP LOCKED)",
                "  WHERE s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s SKIP LOCKED)",
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
                "executions/intents.py",
                "  WHERE s.fence = w.fence AND s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s),",
                "  WHERE s.status || '' = 'running' ORDER BY s.run_id FOR UPDATE OF s),",
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
            "leave-to-send-asked-once",
            "a worker that was stopped while it connected sends when it wakes",
            edit("executions/egress/wires.py", "        exchange.may_send()\n", ""),
            by="bugs/test_a_worker_stopped_while_it_connected_sent_when_it_woke.py"
            "::test_given_a_lease_that_ended_while_the_worker_connected_then_nothing_is_sent",
        ),
        planted(
            "no-margin",
            "a worker sends in the last moment of its lease",
            edit(LEASES, "margin = settings.LIGHTFIELD_LEASE_SECONDS / 6\n", "margin = 0.0\n"),
            by="test_leases.py::test_nothing_is_sent_on_the_last_sixth_of_a_lease",
        ),
    ),
    *breaking(
        "A COMMIT whose reply was lost counts once, and costs no lease",
        planted(
            "claim-unheard-is-lost",
            "steps whose claim was committed unheard are left to run out",
            edit("executions/worker.py", "claims.owned(owner, ids) if is_repeated else []", "[]"),
            by=f"{CONNECTIONS}::"
            "test_given_a_claim_whose_reply_is_lost_then_the_worker_finds_its_steps_and_goes_on",
        ),
        planted(
            "continuation-unheard-is-lost",
            "a next step that was taken unheard is left to run out",
            edit(LOST_REPLIES, "    if settlement.may_continue:\n", "    if False:\n"),
            by=f"{CONNECTIONS}::"
            "test_given_an_outcome_whose_reply_is_lost_then_it_counts_once_and_the_worker_goes_on_with_its_next_step",
        ),
        planted(
            "token-of-the-worker",
            "a worker adopts a step that another of its transactions took",
            edit(CLAIMS, '    return f"{worker}#{secrets.token_hex(4)}"\n', "    return worker\n"),
            by=f"{CONNECTIONS}::"
            "test_given_an_outcome_that_another_thread_of_the_worker_wrote_first_then_nothing_is_adopted",
        ),
        planted(
            "outcome-written-once-only",
            "an outcome that meets a broken connection is thrown away",
            edit(
                LOST_REPLIES,
                "            if hold.is_lost or time.monotonic() + delay > hold.lease_until:\n",
                "            if True:\n",
            ),
            by=f"{CONNECTIONS}::"
            "test_given_postgresql_away_when_a_step_comes_back_then_its_outcome_is_written_once_it_is_there_again",
        ),
    ),
)
