"""Mutants of dispatch, and of versions."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

OUTBOX = "triggers/outbox.py"
OUTBOX_SQL = "triggers/outbox_statements.py"
DISPATCHER = "executions/dispatcher.py"

DISPATCH = (
    *breaking(
        "One event, one run",
        planted(
            "dispatch-without-the-status",
            "an event is taken although somebody dispatched it meanwhile",
            edit(
                DISPATCHER,
                "  WHERE e.status || '' = 'pending' ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n",
                "  ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n",
            ),
            by="test_dispatcher.py::test_an_event_that_was_dispatched_meanwhile_is_not_taken_again",
        ),
        planted(
            "dispatch-without-a-lock",
            "two dispatchers take the same events",
            edit(DISPATCHER, "ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n", "ORDER BY e.id),\n"),
            by="test_dispatcher.py::test_given_eight_dispatchers_on_one_shard_then_each_event_has_one_run",
        ),
        planted(
            "second-run-of-an-event",
            "nothing in the database stands against a second run of an event",
            edit(
                "executions/migrations/0001_initial.py",
                "constraint=models.UniqueConstraint(fields=('event', 'generation'), name='run_generation_once')",
                "constraint=models.UniqueConstraint(fields=('event', 'id'), name='run_generation_once')",
            ),
            edit(DISPATCHER, "ON CONFLICT (event_id, generation) DO NOTHING", "ON CONFLICT DO NOTHING"),
            by="test_dispatcher.py::test_an_event_whose_run_exists_already_makes_no_second_one",
        ),
        planted(
            "dispatch-waits-for-others",
            "a dispatcher waits for rows that another one holds",
            edit(
                DISPATCHER,
                "ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n",
                "ORDER BY e.id FOR UPDATE OF e),\n",
            ),
            by="test_dispatcher.py::test_an_event_that_another_dispatcher_holds_is_not_waited_for",
        ),
    ),
    *breaking(
        "No event is passed over, however late its transaction commits",
        planted(
            "dispatch-by-cursor",
            "the dispatcher goes on behind the newest event that it has dispatched",
            edit(
                DISPATCHER,
                "AND e.status = 'pending' AND e.workflow_id = wf.w ORDER BY e.id LIMIT",
                "AND e.status = 'pending' AND e.workflow_id = wf.w AND NOT EXISTS ("
                "SELECT 1 FROM triggers_outboxevent x WHERE x.status = 'dispatched' AND x.id > e.id) "
                "ORDER BY e.id LIMIT",
            ),
            by="test_dispatcher.py::"
            "test_given_an_event_that_commits_after_a_younger_one_was_dispatched_then_it_is_dispatched_too",
        ),
    ),
    *breaking(
        "One bad event never stops the others",
        planted(
            "batch-fails-as-one",
            "one bad event in a batch keeps the whole batch from being dispatched",
            edit(DISPATCHER, "        return _one_by_one(shard)\n", "        raise\n"),
            by="test_poison.py::test_given_a_bad_event_in_a_batch_then_the_rest_is_dispatched",
        ),
        planted(
            "tries-not-counted",
            "the tries of a bad event are never counted",
            edit(DISPATCHER, "SET tries = tries + 1 WHERE", "SET tries = tries WHERE"),
            by="test_poison.py::test_given_three_failed_tries_then_the_event_is_poison",
        ),
        planted(
            "try-counted-with-the-work",
            "a try is counted in the transaction of the work, whose rollback uncounts it",
            edit(
                DISPATCHER,
                '    if sql.row(BLAME, {"event_id": event_id}) is None:\n'
                "        return None\n"
                "    try:\n"
                '        return _run(ONE, {"event_id": event_id})\n',
                "    try:\n"
                "        with transaction.atomic():\n"
                '            if sql.row(BLAME, {"event_id": event_id}) is None:\n'
                "                return None\n"
                '            return _run(ONE, {"event_id": event_id})\n',
            ),
            by="test_poison.py::test_given_three_failed_tries_then_the_event_is_poison",
        ),
    ),
)

VERSIONS = (
    *breaking(
        "A published version never changes",
        planted(
            "version-trigger-dropped",
            "the database lets a published version be updated",
            edit(
                "workflows/migrations/0002_immutable_versions.py",
                "BEFORE UPDATE OR DELETE ON",
                "BEFORE DELETE ON",
            ),
            by="test_publish.py::test_the_database_refuses_to_change_a_version",
        ),
        planted(
            "version-saved-again",
            "the model lets a published version be saved",
            edit("workflows/models.py", "        if not self._state.adding:\n", "        if False:\n"),
            by="test_publish.py::test_a_version_cannot_be_saved_or_deleted_again",
        ),
    ),
    *breaking(
        "A run stays on the version of its capture",
        planted(
            "run-on-the-newest-version",
            "a run executes the version that is active when it is dispatched",
            edit(
                DISPATCHER,
                "  SELECT e.id, e.workflow_id, e.version_id, e.trace_id, e.depth, e.caused_by\n",
                "  SELECT e.id, e.workflow_id, e.trace_id, e.depth, e.caused_by, (SELECT x.active_version_id\n"
                "    FROM workflows_workflow x WHERE x.id = e.workflow_id) AS version_id\n",
            ),
            by="test_dispatcher.py::test_a_run_stays_on_the_version_of_its_capture",
        ),
        planted(
            "capture-pins-the-first-version",
            "an event is pinned to the first version that there ever was",
            edit(
                OUTBOX_SQL,
                "SELECT %(id)s::uuid, found.id, found.workflow_id, found.version_id,",
                "SELECT %(id)s::uuid, found.id, found.workflow_id, (SELECT min(x.id)\n"
                "           FROM workflows_workflowversion x WHERE x.workflow_id = found.workflow_id),",
            ),
            by="test_outbox.py::test_the_version_is_the_one_that_was_active_at_capture",
        ),
    ),
    *breaking(
        "Publishes at once make whole versions without gaps",
        planted(
            "publish-without-the-lock",
            "two publishes read the same newest number",
            edit(
                "workflows/services.py",
                "Workflow.objects.select_for_update(no_key=True).filter(pk=workflow_id).first()",
                "Workflow.objects.filter(pk=workflow_id).first()",
            ),
            by="test_publish.py::"
            "test_given_edits_and_publishes_at_once_then_numbers_have_no_gap_and_versions_are_whole",
        ),
    ),
)

MUTANTS = (*DISPATCH, *VERSIONS)
