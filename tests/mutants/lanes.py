"""Mutants of fairness, of the window, of what finds work again, and of what comes in by Redis."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

ADMISSION = "executions/admission.py"
SWEEPER = "executions/sweeper.py"
BROKER = "lightfield/broker.py"
PUBLISHED = "bugs/test_a_publish_ended_every_worker.py"

FAIRNESS = (
    *breaking(
        "Slow work does not block fast work",
        planted(
            "slow-steps-on-the-fast-queue",
            "messages of slow steps go to the worker of fast ones",
            edit(
                "lightfield/kernel/bells.py",
                'Bell("executions.execute_steps", lane, (list(step_run_ids),)',
                'Bell("executions.execute_steps", "fast", (list(step_run_ids),)',
            ),
            by="test_bells.py::test_each_bell_goes_to_its_queue_and_topic",
        ),
    ),
    *breaking(
        "One workflow's flood does not starve others",
        planted(
            "dispatch-oldest-first",
            "a flood of one workflow is dispatched before everything younger",
            edit(
                "executions/dispatcher.py",
                "ORDER BY c.turn, c.id LIMIT",
                "ORDER BY c.id LIMIT",
            ),
            by="test_dispatcher.py::test_workflows_take_turns_and_within_one_the_oldest_goes_first",
        ),
        planted(
            "admission-oldest-first",
            "a flood of one workflow is admitted before everything younger",
            edit(
                ADMISSION, "OVER (ORDER BY load, due_at, id) AS place", "OVER (ORDER BY due_at, id) AS place"
            ),
            by=(
                "test_admission.py::test_given_a_flood_of_one_workflow_then_the_others_are_in_the_first_fill",
                "test_admission.py::test_the_workflow_with_the_least_in_flight_goes_first",
            ),
        ),
        planted(
            "flood-gives-no-way",
            "the steps of a flood do not wait while a single run is at work",
            edit(
                "executions/crowd.py",
                "            if self._runs[workflow_id].here > FEW:\n",
                "            if False:\n",
            ),
            by="unit/test_crowd.py::test_a_flood_gives_way_while_a_single_run_of_another_workflow_is_at_work",
        ),
        planted(
            "newcomer-among-the-flood",
            "a single run's step waits in the worker with the flood's that share its message",
            edit(ADMISSION, "Admitted(*row[:6])", "Admitted(*row[:5])"),
            by="test_admission.py::test_a_newcomer_has_a_message_of_its_own_beside_a_flood",
        ),
        planted(
            "limit-of-a-workflow-ignored",
            "a workflow's own concurrency is not looked at",
            edit(
                ADMISSION,
                "least(coalesce({OWN_LIMIT}, room.per_workflow), room.per_workflow)",
                "room.per_workflow",
            ),
            by="test_admission.py::test_a_workflow_keeps_to_its_own_concurrency",
        ),
        planted(
            "continuation-never-gives-way",
            "a run keeps its slot to its end although others wait",
            edit(
                "executions/completing.py",
                "NOT coalesce((SELECT n FROM rival) < (",
                "NOT coalesce(false AND (SELECT n FROM rival) < (",
            ),
            by="test_continuing.py::test_continuation_gives_way_when_another_workflow_waits",
        ),
        planted(
            "continuation-gives-way-to-whoever-waits",
            "a run of the smallest workflow loses its slot because a flood waits as well",
            edit(
                "executions/completing.py",
                "NOT coalesce((SELECT n FROM rival) < (",
                "NOT coalesce((SELECT n FROM rival) >= 0 OR 0 < (",
            ),
            by="test_continuing.py::test_given_a_flood_that_waits_then_the_run_of_a_small_workflow_keeps_its_slot",
        ),
        planted(
            "continuation-gives-way-to-who-may-have-no-more",
            "a run loses its slot to a workflow that is at its own limit and cannot take it",
            edit(
                "executions/completing.py",
                "  WHERE b.n < least({OWN_LIMIT}, l.per_workflow)\n",
                "  WHERE true\n",
            ),
            by="test_continuing.py::test_given_a_workflow_that_waits_at_its_own_limit_then_nobody_gives_way_to_it",
        ),
        planted(
            "any-number-on-the-way",
            "as many steps as the window holds wait in Redis, where no workflow takes turns",
            edit(
                ADMISSION,
                "CASE WHEN way.n * 2 <= l.most_queued THEN l.most_queued - way.n ELSE 0 END",
                "1000000",
            ),
            by="test_admission.py::test_what_no_worker_has_taken_yet_is_bounded_however_wide_the_window",
        ),
        planted(
            "small-ones-wait-for-the-flood",
            "a workflow with nothing in flight waits until a flood's steps are taken",
            edit(
                ADMISSION,
                "  WHERE c.place <= room.n OR (c.load <= {FEW} AND c.place <= room.free)),",
                "  WHERE c.place <= room.n),",
            ),
            by="test_admission.py::"
            "test_given_a_flood_on_the_way_then_a_workflow_with_next_to_nothing_in_flight_is_let_past_it",
        ),
        planted(
            "lost-messages-fill-the-way",
            "steps whose messages were lost keep others from being admitted",
            edit(ADMISSION, "status = 'queued' AND rings = 0 AND NOT", "status = 'queued' AND NOT"),
            by="test_admission.py::"
            "test_given_queued_steps_that_had_to_be_rung_for_again_then_they_do_not_keep_others_back",
        ),
    ),
    *breaking(
        "The window holds",
        planted(
            "window-not-checked",
            "admission admits as many as the lane is wide, whatever flies",
            edit(
                ADMISSION,
                "    greatest(0, least(l.width - way.flying,\n",
                "    greatest(0, least(l.width,\n",
            ),
            edit(ADMISSION, "greatest(0, l.width - way.flying) AS free", "l.width AS free"),
            by="test_admission.py::test_the_window_is_filled_and_never_overrun",
        ),
        planted(
            "count-in-the-statement-of-the-lock",
            "what flies is counted by a snapshot from before the wait for the lane",
            edit(
                ADMISSION,
                'sql.rows_after(LOCK_LANE, ADMIT, {"lane": lane})',
                'sql.rows(ADMIT, {"lane": lane})',
            ),
            edit(
                ADMISSION,
                "way WHERE l.name = %(lane)s::text),\ncand",
                "way WHERE l.name = %(lane)s::text FOR UPDATE OF l),\ncand",
            ),
            by=(
                "test_admission.py::test_given_a_window_filled_by_an_admission_still_to_commit_"
                "when_another_begins_then_it_finds_it_full",
                "test_admission.py::test_given_eight_admissions_at_once_then_the_window_holds",
            ),
        ),
    ),
    *breaking(
        "A waiting step holds no database connection",
        planted(
            "connection-held-while-sending",
            "a worker keeps its database connection while it waits for the far side",
            edit(
                "executions/worker.py",
                "        commit_intents_of(intending)\n        sql.release()\n",
                "        commit_intents_of(intending)\n",
            ),
            by="test_effects.py::test_while_a_request_is_out_its_thread_holds_no_connection",
        ),
    ),
)

SWEEPING = breaking(
    "Redis may be flushed at any moment",
    planted(
        "sweeper-omits-events",
        "the sweeper does not look for events that wait",
        edit(SWEEPER, "    for shard in swept.shards:\n", "    for shard in swept.shards[:0]:\n"),
        by="test_sweeper.py::test_given_all_messages_lost_after_so_many_heard_then_the_run_still_completes",
    ),
    planted(
        "sweeper-omits-ready-slow-steps",
        "the sweeper does not look for steps that wait for admission",
        edit(SWEEPER, "    for lane in swept.lanes:\n", "    for lane in swept.lanes[:0]:\n"),
        by="test_sweeper.py::test_given_all_messages_lost_after_so_many_heard_then_the_run_still_completes",
    ),
    planted(
        "sweeper-omits-fast-steps",
        "the sweeper does not look for fast steps and sleepers",
        edit(SWEEPER, "        fast = sql.rows(FAST, {})\n", "        fast = sql.rows(FAST, {})[:0]\n"),
        by="test_sweeper.py::test_given_all_messages_lost_after_so_many_heard_then_the_run_still_completes",
    ),
    planted(
        "sweeper-omits-queued-steps",
        "the sweeper does not ring again for queued steps",
        edit(
            SWEEPER, "        queued = sql.rows(QUEUED, {})\n", "        queued = sql.rows(QUEUED, {})[:0]\n"
        ),
        by=(
            "test_sweeper.py::test_a_queued_step_that_nobody_claims_is_rung_at_growing_distances",
            "test_sweeper.py::test_given_all_messages_lost_after_so_many_heard_then_the_run_still_completes",
        ),
    ),
    planted(
        "sweeper-omits-expired-leases",
        "the sweeper does not look for workers that died",
        edit(
            SWEEPER,
            '        expired = sql.rows(EXPIRED, {"margin": margin_seconds()})\n',
            '        expired = sql.rows(EXPIRED, {"margin": margin_seconds()})[:0]\n',
        ),
        by="test_cells.py::test_given_a_worker_that_died_when_swept_then_a_cell_completes_the_step",
    ),
    planted(
        "sweeper-rings-unheard",
        "the sweeper notes steps as rung whose bells its own breaker drops",
        edit(SWEEPER, "    if not bells.can_ring():\n", "    if False:\n"),
        by=(
            "bugs/test_a_sweep_noted_bells_that_nobody_heard.py::"
            "test_given_redis_away_when_swept_then_nothing_is_noted_as_rung",
            "bugs/test_a_sweep_noted_bells_that_nobody_heard.py::"
            "test_given_redis_back_when_swept_then_the_bell_is_heard_although_the_breaker_is_open",
        ),
    ),
    planted(
        "sweeper-without-the-margin",
        "a lease counts as over before its owner has surely stopped",
        edit(SWEEPER, "    return settings.LIGHTFIELD_LEASE_SECONDS / 6\n", "    return 0.0\n"),
        by="test_sweeper.py::test_a_lease_counts_until_its_owner_has_surely_stopped",
    ),
    planted(
        "sweeper-omits-overdue-runs",
        "the sweeper does not look for runs over their timeout",
        edit(SWEEPER, "    if swept.overdue:\n", "    if False:\n"),
        by="test_sweeper.py::test_a_run_over_its_timeout_fails_wherever_it_stands",
    ),
    planted(
        "sweeper-omits-undecided-effects",
        "an effect whose owner never came back stays undecided",
        edit(SWEEPER, "    if swept.has_undecided_effects:\n", "    if False:\n"),
        by="test_late_truth.py::"
        "test_given_an_owner_that_never_came_back_when_its_lease_is_over_then_nobody_will_know",
    ),
)

LISTENING = breaking(
    "Redis can end no worker, and change none",
    planted(
        "task-of-any-shape",
        "Celery is handed messages that it cannot make sense of",
        edit(BROKER, "if (is_task and not is_task_message(raw)) or ", "if "),
        by="bugs/test_a_forged_message_ended_worker_after_worker.py::"
        "test_given_garbage_in_front_then_the_message_behind_it_arrives",
    ),
    planted(
        "command-too-deep-to-read",
        "what is published where commands are expected is read without a guard",
        edit(BROKER, '                json.loads(bytes_to_str(payload["data"]))\n', "                pass\n"),
        by=f"{PUBLISHED}::test_given_garbage_where_commands_are_expected_then_the_worker_still_answers",
    ),
    planted(
        "command-of-any-shape",
        "Celery is handed commands that it cannot make sense of",
        edit(BROKER, "(is_command and not is_control_message(raw))", "False"),
        by=f"{PUBLISHED}::test_given_garbage_where_commands_are_expected_then_the_worker_still_answers",
    ),
    planted(
        "workers-obey",
        "whoever can publish to Redis shuts workers down and takes their queues away",
        edit("lightfield/celery.py", "    remote_control.install()\n", "    pass\n"),
        by=f"{PUBLISHED}::test_a_command_that_would_change_a_worker_is_refused",
    ),
)

MUTANTS = (*FAIRNESS, *SWEEPING, *LISTENING)
