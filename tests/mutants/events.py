"""Mutants of what becomes of events, and of versions."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

OUTBOX = "triggers/outbox.py"
RECEIVING = "triggers/services.py"
DISPATCHER = "executions/dispatcher.py"
BELLS = "lightfield/kernel/bells.py"

CAPTURE = (
    *breaking(
        "An event is captured in the transaction of its cause",
        planted(
            "capture-outside-a-transaction",
            "an event can be captured without a transaction of its cause",
            edit(OUTBOX, "    if not connection.in_atomic_block:\n", "    if False:\n"),
            by="test_outbox.py::test_without_a_transaction_nothing_is_appended",
        ),
        planted(
            "bell-before-commit",
            "the dispatcher is rung before the event is committed",
            edit(
                OUTBOX,
                "    transaction.on_commit(partial(bells.ring_dispatch, shard), robust=True)\n",
                "    bells.ring_dispatch(shard)\n",
            ),
            by="test_outbox.py::test_given_a_cause_that_is_rolled_back_then_there_is_no_event_and_no_bell",
        ),
    ),
    *breaking(
        "202 means committed",
        planted(
            "202-before-commit",
            "a webhook is answered while its statement is still to run",
            edit(
                RECEIVING,
                "        try:\n            return outbox.capture_webhook(**delivery)\n        except",
                "        try:\n"
                '            __import__("threading").Thread(target=outbox.capture_webhook, kwargs=delivery).start()\n'
                '            return Captured(delivery["event_id"], is_duplicate=False)\n'
                "        except",
            ),
            by="test_webhook_server.py::"
            "test_given_postgresql_is_down_then_the_sender_is_told_within_two_seconds_and_later_accepted",
        ),
        planted(
            "capture-repeated-under-a-new-id",
            "a capture whose COMMIT was not heard is repeated as another event",
            edit(
                RECEIVING,
                "            connection.close()\n            return outbox.capture_webhook(**delivery)\n",
                "            connection.close()\n"
                '            return outbox.capture_webhook(**{**delivery, "event_id": uuid7()})\n',
            ),
            by="test_webhook_server.py::"
            "test_given_the_answer_to_the_commit_is_lost_then_the_event_is_stored_once_and_told_as_new",
        ),
    ),
    *breaking(
        "Capture does not need Redis",
        planted(
            "bell-rung-by-the-caller",
            "whoever rings publishes the message itself and hears of every failure",
            edit(
                BELLS,
                "    def ring(self, bell: Bell) -> None:\n        with self._changed:\n",
                "    def ring(self, bell: Bell) -> None:\n        self._publish(bell)\n        with self._changed:\n",
            ),
            by="test_bells.py::test_given_redis_down_when_rung_then_nobody_notices_and_the_breaker_opens",
        ),
        planted(
            "no-breaker",
            "every bell is tried although Redis has long been away",
            edit(BELLS, "        if self._failures >= FAILURES_TO_OPEN:\n", "        if False:\n"),
            by="test_bells.py::test_given_redis_down_when_rung_then_nobody_notices_and_the_breaker_opens",
        ),
    ),
    *breaking(
        "One key, one event",
        planted(
            "key-not-unique",
            "the database takes two events with one key",
            edit(
                "triggers/migrations/0001_initial.py",
                "models.UniqueConstraint(fields=('trigger', 'source', 'idempotency_key'), name='event_key_once'), ",
                "",
            ),
            by=(
                "test_outbox.py::"
                "test_given_two_at_once_when_the_first_has_not_committed_then_the_second_waits_and_sees_the_winner",
                "test_webhook.py::"
                "test_given_a_hundred_identical_webhooks_at_once_in_fifty_rounds_then_each_round_is_one_event",
            ),
        ),
        planted(
            "loser-answers-with-its-own-id",
            "the second sender of a key is told the id of an event that does not exist",
            edit(
                OUTBOX,
                "            return Captured(winner[0], is_duplicate=True",
                "            return Captured(event_id, is_duplicate=True",
            ),
            by=(
                "test_outbox.py::"
                "test_given_two_at_once_when_the_first_has_not_committed_then_the_second_waits_and_sees_the_winner",
                "test_webhook.py::"
                "test_given_a_hundred_identical_webhooks_at_once_in_fifty_rounds_then_each_round_is_one_event",
            ),
        ),
    ),
    *breaking(
        "A key outlives publishes",
        planted(
            "key-of-a-version",
            "a key counts for the version that was active, not for the workflow",
            edit(
                OUTBOX,
                "%(source)s::varchar, %(key)s::varchar,\n",
                "%(source)s::varchar, found.version_id || '/' || %(key)s::varchar,\n",
            ),
            edit(
                OUTBOX,
                "AND idempotency_key = %(key)s::varchar\n",
                "AND split_part(idempotency_key, '/', 2) = %(key)s::varchar\n",
            ),
            by="test_outbox.py::test_a_key_survives_ten_publishes",
        ),
    ),
    *breaking(
        "The same key with another body is refused, and the first body stays",
        planted(
            "other-body-taken-for-the-same",
            "another body under a used key is answered like a repetition",
            edit(OUTBOX, "has_same_body=winner[1])", "has_same_body=True)"),
            by="test_webhook.py::test_a_repeated_key_with_another_body_is_a_conflict_and_the_first_body_stays",
        ),
    ),
    *breaking(
        "What is stored can be read by every reader",
        planted(
            "lax-json",
            "a webhook's body needs only be what Python's parser takes",
            edit(RECEIVING, "    strict_json.parse(raw)\n", '    __import__("json").loads(raw)\n'),
            by="test_webhook.py::test_what_is_not_strict_json_is_refused_and_leaves_nothing",
        ),
        planted(
            "body-in-another-encoding",
            "a webhook's body is decoded as Latin-1",
            edit(RECEIVING, '"body": raw.decode(),', '"body": raw.decode("latin-1"),'),
            by="test_webhook.py::test_any_strict_json_comes_back_as_it_was_sent",
        ),
    ),
)

DISPATCH = (
    *breaking(
        "One event, one run",
        planted(
            "dispatch-without-the-status",
            "an event is taken although somebody dispatched it meanwhile",
            edit(
                DISPATCHER,
                "  WHERE e.status = 'pending' ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n",
                "  ORDER BY e.id FOR UPDATE OF e SKIP LOCKED),\n",
            ),
            by="test_dispatcher.py::test_an_event_that_was_dispatched_meanwhile_is_not_taken_again",
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
                "  SELECT e.id, e.workflow_id, e.version_id, e.trace_id, e.depth\n",
                "  SELECT e.id, e.workflow_id, e.trace_id, e.depth, (SELECT x.active_version_id\n"
                "    FROM workflows_workflow x WHERE x.id = e.workflow_id) AS version_id\n",
            ),
            by="test_dispatcher.py::test_a_run_stays_on_the_version_of_its_capture",
        ),
        planted(
            "capture-pins-the-first-version",
            "an event is pinned to the first version that there ever was",
            edit(
                OUTBOX,
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

MUTANTS = (*CAPTURE, *DISPATCH, *VERSIONS)
