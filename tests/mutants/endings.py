"""Mutants of what ends a run from outside, and of what may still be said afterwards."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

ENDING = "executions/ending.py"
REPLAYING = "executions/services.py"

MUTANTS = (
    *breaking(
        "A cancel is whole, and overlooks nothing that was being committed",
        planted(
            "cancel-as-one-look",
            "a cancel decides by what it saw before it had the run's lock",
            edit(ENDING, "WHERE id = %(run_id)s::uuid FOR UPDATE\n", "WHERE id = %(run_id)s::uuid\n"),
            by="test_cancel.py::"
            "test_given_fifty_cancels_that_race_the_outcome_then_no_ended_run_has_a_live_step",
        ),
        planted(
            "cancel-without-the-steps-lock",
            "a cancel does not wait for an intent that is about to be committed",
            edit(ENDING, '            sql.rows(LOCK_STEP, {"run_id": run_id})\n', ""),
            by="bugs/test_a_cancel_overlooked_the_intent_it_waited_for.py::"
            "test_given_an_intent_about_to_commit_when_the_run_is_cancelled_then_the_attempt_is_unknown",
        ),
        planted(
            "cancel-leaves-the-fence",
            "after a cancel the worker's fence is still the step's",
            edit(
                ENDING,
                "        raises_fence=True,\n",
                "        raises_fence=False,\n",
            ),
            by="test_fences.py::"
            "test_given_a_cancelled_run_when_its_worker_comes_back_then_the_outcome_is_not_written",
        ),
        planted(
            "run-timed-out-before-its-time",
            "a message is enough to fail a run that is not over its deadline",
            edit(
                ENDING,
                "        if before in LIVE_RUN and (is_overdue or status == RunStatus.CANCELLED):\n",
                "        if before in LIVE_RUN:\n",
            ),
            by="bugs/test_a_forged_message_timed_out_a_run.py::test_a_run_that_is_not_overdue_is_left_alone",
        ),
    ),
    *breaking(
        "No two transactions wait for each other in a circle",
        planted(
            "cancel-locks-the-step-first",
            "a cancel locks the step before its run, all others the run before its step",
            edit(
                ENDING,
                '        found = sql.row(LOCK_RUN, {"run_id": run_id})\n',
                '        sql.rows(LOCK_STEP, {"run_id": run_id})\n'
                '        found = sql.row(LOCK_RUN, {"run_id": run_id})\n',
            ),
            by="test_cancel.py::"
            "test_given_a_run_that_is_locked_when_cancelled_then_the_cancel_holds_no_step_while_it_waits",
        ),
    ),
    *breaking(
        "A replay is one new run of what was the newest",
        planted(
            "replay-of-an-older-run",
            "a run that was replayed can be replayed once more",
            edit(
                REPLAYING,
                "  SELECT uuid_v7(), event_id, generation + 1,",
                "  SELECT uuid_v7(), event_id, (SELECT max(x.generation) + 1 FROM executions_run x\n"
                "    WHERE x.event_id = old.event_id),",
            ),
            by="test_replay.py::test_only_the_newest_run_of_an_event_can_be_replayed",
        ),
        planted(
            "replay-of-what-goes-on",
            "a run that still goes on can be replayed beside itself",
            edit(
                REPLAYING,
                "        if status not in (RunStatus.FAILED, RunStatus.CANCELLED):\n",
                "        if status == RunStatus.COMPLETED:\n",
            ),
            by="test_replay.py::test_a_run_that_goes_on_or_completed_cannot_be_replayed",
        ),
    ),
    *breaking(
        "What was on its way when a run ended is told truly",
        planted(
            "cancel-decides-a-live-effect",
            "a cancel says what became of a request that its worker may still send",
            edit(
                ENDING,
                '        effect=None if may_still_send else "by_attempts",\n',
                '        effect="by_attempts",\n',
            ),
            by="test_cancel.py::test_a_running_step_after_its_intent_leaves_the_effect_to_its_owner",
        ),
        planted(
            "effect-left-without-an-intent",
            "a cancel leaves an effect to a worker that never intended it, and it ends as unknown",
            edit(
                ENDING,
                "            may_still_send = bool(is_held and was_intended)\n",
                "            may_still_send = bool(is_held)\n",
            ),
            by="bugs/test_a_cancel_before_the_intent_left_its_effect_unknown.py::"
            "test_given_an_attempt_that_intended_nothing_when_its_run_is_ended"
            "_then_the_effect_is_what_others_made_of_it",
        ),
        planted(
            "late-truth-dropped",
            "an answer that comes after the end of the run is thrown away",
            edit(
                "executions/chain.py",
                '            if settlement.effect == "done":\n',
                "            if False:\n",
            ),
            by="test_late_truth.py::test_given_an_answer_that_comes_after_the_end_then_the_effect_is_done",
        ),
        planted(
            "late-truth-of-anybody",
            "a worker of before speaks for its heir",
            edit(
                ENDING,
                "WHERE e.step_run_id = %(step_run_id)s::bigint AND e.fence = %(fence)s::int\n",
                "WHERE e.step_run_id = %(step_run_id)s::bigint\n",
            ),
            by="test_late_truth.py::test_an_owner_of_before_may_not_speak_for_its_heir",
        ),
        planted(
            "late-truth-while-the-step-lives",
            "a worker of before decides the effect of a step that goes on elsewhere",
            edit(
                ENDING,
                "AND s.id = e.step_run_id AND s.status IN ('cancelled', 'failed') RETURNING e.id",
                "AND s.id = e.step_run_id RETURNING e.id",
            ),
            by="test_late_truth.py::test_while_the_step_lives_on_elsewhere_its_first_owner_decides_nothing",
        ),
    ),
)
