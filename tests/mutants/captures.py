"""Mutants of the capture of events."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

OUTBOX = "triggers/outbox.py"
OUTBOX_SQL = "triggers/outbox_statements.py"
RECEIVING = "triggers/services.py"
JUDGING = "triggers/receiving.py"
BELLS = "lightfield/kernel/bells.py"

MUTANTS = (
    *breaking(
        "An event is captured in the transaction of its cause",
        planted(
            "capture-outside-a-transaction",
            "an event can be captured without a transaction of its cause",
            edit(
                OUTBOX,
                '    if not connection.in_atomic_block:\n        raise RuntimeError("append_event()',
                '    if False:\n        raise RuntimeError("append_event()',
            ),
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
                "        try:\n            return receiving.receive(incoming)\n        except",
                "        try:\n"
                '            __import__("threading").Thread(target=receiving.receive, args=[incoming]).start()\n'
                "            return Received(1, Verdict.FIRED, Captured(incoming.event_id, is_duplicate=False))\n"
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
                "            connection.close()\n            return receiving.receive(incoming)\n",
                "            connection.close()\n"
                '            incoming.__dict__["event_id"] = uuid7()\n'
                "            return receiving.receive(incoming)\n",
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
                "triggers/migrations/0009_cheaper_events.py",
                'fields=("trigger", "source", "idempotency_key"),',
                'fields=("trigger", "source", "idempotency_key", "id"),',
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
                OUTBOX_SQL,
                "%(source)s::varchar, %(key)s::varchar,\n",
                "%(source)s::varchar, found.version_id || '/' || %(key)s::varchar,\n",
            ),
            edit(
                OUTBOX_SQL,
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
            edit(OUTBOX, "has_same_body=winner[1], trigger_id", "has_same_body=True, trigger_id"),
            by="test_webhook.py::test_a_repeated_key_with_another_body_is_a_conflict_and_the_first_body_stays",
        ),
    ),
    *breaking(
        "What is stored can be read by every reader",
        planted(
            "lax-json",
            "a webhook's body needs only be what Python's parser takes",
            edit(JUDGING, "return strict_json.parse(self.raw)", 'return __import__("json").loads(self.raw)'),
            by="test_webhook.py::test_what_is_not_strict_json_is_refused_and_leaves_nothing",
        ),
        planted(
            "body-in-another-encoding",
            "a webhook's body is decoded as Latin-1",
            edit(JUDGING, "body=incoming.raw.decode(),", 'body=incoming.raw.decode("latin-1"),'),
            by="test_webhook.py::test_any_strict_json_comes_back_as_it_was_sent",
        ),
    ),
)
