"""Mutants of the inbox."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

STATEMENTS = "triggers/deliveries/statements.py"
DESK = "triggers/deliveries/desk.py"
PAGE = "triggers/deliveries/page.py"
HEADERS = "triggers/deliveries/headers.py"
PRUNING = "triggers/deliveries/pruning.py"
OUTBOX = "triggers/outbox.py"
SENDING = "triggers/deliveries/sending.py"
WORKFLOWS = "workflows/services.py"

INBOX = "test_inbox.py::"
SEARCH = "test_inbox_search.py::"
AGAIN = "test_send_again.py::"

MUTANTS = (
    *breaking(
        "An accepted webhook has its delivery, whatever dies",
        planted(
            "accepted-without-a-delivery",
            "an accepted webhook leaves no delivery",
            edit(
                STATEMENTS,
                "JOIN added ON true WHERE %(delivery_id)s::uuid IS NOT NULL",
                "JOIN added ON false WHERE %(delivery_id)s::uuid IS NOT NULL",
            ),
            by=INBOX + "test_an_accepted_webhook_leaves_one_delivery_with_its_event",
        ),
        planted(
            "delivery-of-an-event-that-is-none",
            "a repetition is written as one more accepted delivery",
            edit(STATEMENTS, "FROM found JOIN added ON true", "FROM found LEFT JOIN added ON true"),
            by=INBOX + "test_repetitions_leave_one_delivery_each_and_a_mismatch_keeps_its_body",
        ),
    ),
    *breaking(
        "Whatever a request was refused for stands in the inbox, and no answer waits for it",
        planted(
            "refused-delivery-forgotten",
            "a webhook of a paused workflow leaves no delivery",
            edit(
                "triggers/services.py",
                "    if received.captured is None and arrival:\n",
                "    if False:\n",
            ),
            by=INBOX + "test_a_webhook_that_nothing_takes_leaves_one_delivery",
        ),
        planted(
            "delivery-dropped-on-failure",
            "what the database did not take is forgotten",
            edit(DESK, "for note in page.notes + newer.notes:", "for note in newer.notes:"),
            by=INBOX
            + "test_given_the_database_does_not_take_it_then_the_answer_stands_and_the_delivery_comes_later",
        ),
        planted(
            "minute-counted-anew",
            "a minute's row has only the last half second's count",
            edit(
                STATEMENTS,
                "DO UPDATE SET count = held.count + EXCLUDED.count, at",
                "DO UPDATE SET count = EXCLUDED.count, at",
            ),
            by=INBOX + "test_throttled_requests_are_counted_by_the_minute",
        ),
        planted(
            "overflow-not-counted",
            "what is too much to be told in full is not counted either",
            edit(
                PAGE,
                '            self.count(counter, note["address"], note["came_at"])\n',
                "            pass\n",
            ),
            by=INBOX + "test_a_flood_of_one_address_is_told_in_part_and_counted_whole",
        ),
    ),
    *breaking(
        "No secret of a request is kept, and nothing of one to nobody's address",
        planted(
            "every-header-kept",
            "headers that nobody knows are kept with their values",
            edit(HEADERS, "if name in PLAIN else REDACTED", "if name else REDACTED"),
            by=INBOX + "test_no_secret_of_a_request_is_found_anywhere",
        ),
        planted(
            "token-kept-in-headers",
            "the address's token is not looked for in values",
            edit(HEADERS, "return value.replace(token, REDACTED) if token else value", "return value"),
            by=INBOX + "test_no_secret_of_a_request_is_found_anywhere",
        ),
        planted(
            "secret-looks-kept",
            "a value that looks like a secret is kept",
            edit(HEADERS, "return _TOKEN_LIKE.sub(REDACTED, _without(", "return str(_without("),
            by=INBOX + "test_no_secret_of_a_request_is_found_anywhere",
        ),
    ),
    *breaking(
        "The inbox is bounded, and what it forgets starts nothing again",
        planted(
            "prune-one-too-many",
            "one delivery less than allowed is kept",
            edit(STATEMENTS, "OFFSET %(most)s::int - 1 LIMIT 1)", "OFFSET %(most)s::int - 2 LIMIT 1)"),
            by=SEARCH + "test_the_newest_of_each_workflow_are_kept",
        ),
        planted(
            "nothing-too-old",
            "deliveries of a calm workflow are kept for ever",
            edit(PRUNING, 'gone = _delete(statements.TOO_OLD, {"before": _oldest_kept()}, end)', "gone = 0"),
            by=SEARCH + "test_what_is_too_old_goes_however_few_there_are",
        ),
    ),
    *breaking(
        "To send a delivery again starts nothing twice",
        planted(
            "sent-again-under-a-new-id",
            "a delivery without a key is sent again as another event",
            edit(
                OUTBOX,
                'params = {**_columns_again(event), "id": event.pk, "key": event.idempotency_key}',
                'params = {**_columns_again(event), "key": event.idempotency_key}',
            ),
            by=(
                AGAIN + "test_sent_again_as_an_event_it_is_the_first_one_however_often",
                AGAIN + "test_what_was_delivered_starts_nothing_again_after_pruning_whoever_sends_it",
            ),
        ),
    ),
    *breaking(
        "A test runs the draft as it was, and changes nothing that is published",
        planted(
            "test-runs-the-published-version",
            "a test runs what is published already",
            edit(
                SENDING,
                "captured = outbox.append_test(event, version_id=version.pk)",
                "captured = outbox.append_test(event, version_id=event.version_id)",
            ),
            by=AGAIN + "test_sent_again_as_a_test_the_draft_runs_and_the_published_version_stays",
        ),
        planted(
            "test-takes-a-number",
            "a frozen draft counts as a version",
            edit(
                WORKFLOWS,
                "    published = workflow.versions.filter(is_test=False)\n",
                "    published = workflow.versions\n",
            ),
            by=AGAIN + "test_a_draft_is_frozen_once_and_published_as_a_version_of_its_own",
        ),
    ),
)
