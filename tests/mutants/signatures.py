"""Mutants of signed webhooks: who is believed, what a refusal tells, what is the same delivery, and what replacing costs."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

VERIFYING = "triggers/signatures/verifying.py"
STANDARD = "triggers/signatures/standard.py"
KEYS = "triggers/signatures/delivery_key.py"
RECEIVING = "triggers/receiving.py"
OUTBOX = "triggers/outbox.py"
OUTBOX_SQL = "triggers/outbox_statements.py"
ENDPOINTS = "triggers/endpoints.py"
SERVICES = "triggers/services.py"
SECRETS = "triggers/webhook_secrets.py"
WEBHOOK = "triggers/kinds/webhook.py"
DECISIONS = "executions/decision_list.py"
UNIT = "unit/test_signatures.py"
DOOR = "test_signed_webhooks.py"
API = "test_webhook_secrets.py"

MUTANTS = (
    *breaking(
        "Only what a live secret signed is believed, to the last bit",
        planted(
            "signature-by-its-beginning",
            "a signature that begins rightly is right",
            edit(
                VERIFYING,
                "hmac.compare_digest(expected, signature)",
                "hmac.compare_digest(expected[:40], signature[:40])",
            ),
            by=f"{UNIT}::test_every_flipped_bit_of_what_is_signed_in_the_headers_is_noticed",
        ),
        planted(
            "key-of-nobody-believed",
            "what the dummy key signed is believed",
            edit(VERIFYING, " and key is not None", ""),
            by=f"{UNIT}::test_whoever_knew_the_key_of_nobody_would_still_be_nobody",
        ),
        planted(
            "dot-in-the-id",
            "the border between id and time can be moved",
            edit(STANDARD, '"." in signed_id or ', ""),
            by=f"{UNIT}::test_given_a_dot_in_the_id_then_the_border_to_the_time_cannot_be_moved",
        ),
        planted(
            "unsigned-request-taken",
            "a request without any signature is not asked for one",
            edit(OUTBOX_SQL, "CASE WHEN t.signing <> %(verified)s::varchar THEN 'unverified' END", "NULL"),
            by=f"{DOOR}::test_what_is_badly_signed_is_answered_like_an_unknown_address_and_noted",
        ),
        planted(
            "judged-by-what-was",
            "what was judged by one scheme is taken under the next",
            edit(RECEIVING, "verified=endpoint.signing)", 'verified="stripe")'),
            by=f"{DOOR}::"
            "test_given_the_scheme_is_published_anew_between_look_and_capture_then_it_is_judged_again",
        ),
        planted(
            "any-number-of-signatures",
            "a thousand signatures are looked at",
            edit(
                "triggers/signatures/scheme.py",
                "    if len(signatures) > MOST_SIGNATURES:\n",
                "    if len(signatures) > 10_000:\n",
            ),
            by=f"{UNIT}::test_more_than_eight_signatures_are_not_looked_at",
        ),
    ),
    *breaking(
        "A signature holds for five minutes, in either direction",
        planted(
            "signed-in-the-future",
            "what is signed ahead of the clock holds until then",
            edit(VERIFYING, "abs(now - presented.signed_at)", "(now - presented.signed_at)"),
            by=f"{UNIT}::test_beyond_five_minutes_it_does_not_in_either_direction",
        ),
        planted(
            "tolerance-of-six-minutes",
            "a signature holds for longer than it says",
            edit(VERIFYING, "TOLERANCE_SECONDS: Final = 300", "TOLERANCE_SECONDS: Final = 360"),
            by=f"{DOOR}::test_the_databases_clock_judges_the_time",
        ),
    ),
    *breaking(
        "A refusal tells nothing of the address: not its bytes, not its work",
        planted(
            "compared-byte-by-byte",
            "the first wrong byte ends the comparison",
            edit(VERIFYING, "hmac.compare_digest(expected, signature)", "(expected == signature)"),
            by=f"{UNIT}::test_signatures_are_compared_in_constant_time",
        ),
        planted(
            "nobody-is-quick",
            "no HMAC is computed for an address that nobody has",
            edit(VERIFYING, "    return found + [None] * (MOST_LIVE - len(found))\n", "    return found\n"),
            by=f"{UNIT}::test_whatever_is_asked_as_many_hmacs_are_computed",
        ),
        planted(
            "nobody-has-nothing-to-decrypt",
            "nothing is decrypted for an address that nobody has",
            edit(SECRETS, "    for _ in range(MOST_LIVE - len(sealed)):\n", "    for _ in range(0):\n"),
            by=f"{DOOR}::test_as_much_is_decrypted_for_nobody_as_for_an_endpoint",
        ),
        planted(
            "nobody-has-no-rows",
            "nothing is read for an address that nobody has",
            edit(ENDPOINTS, "coalesce(present, previous, above, lowest)", "coalesce(present, previous)"),
            by=f"{DOOR}::"
            "test_the_look_at_an_address_that_nobody_has_reads_another_ones_rows_and_tells_none_of_them",
        ),
        planted(
            "json-after-the-signature",
            "only who signs rightly is told that the body is no JSON",
            edit(
                RECEIVING,
                "    incoming.body  # noqa: B018  what is no JSON is told to everybody alike\n",
                "",
            ),
            by=f"{DOOR}::test_a_body_that_is_no_json_is_told_to_everybody_alike",
        ),
        planted(
            "check-shown-to-everybody",
            "who may only look learns which check failed",
            edit(DECISIONS, "hidden = frozenset() if may_see_checks else CHECKS", "hidden = frozenset()"),
            by=f"{API}::test_which_check_failed_is_told_to_those_who_may_change_the_address",
        ),
    ),
    *breaking(
        "A signed delivery that comes again is one event, whatever is unsigned about it",
        planted(
            "unsigned-key-first",
            "a key that nobody signed comes before the signed id",
            edit(KEYS, "    if signed:\n", "    if signed and not idempotency_key:\n"),
            by=f"{DOOR}::test_the_signed_id_is_the_key_whatever_else_is_sent",
        ),
        planted(
            "fresh-delivery-header-believed",
            "a replay of GitHub's under another delivery id is another event",
            edit(
                KEYS,
                '        f"{delivery_id}.{body_digest.hex()}" if delivery_id else None,\n'
                "        is_replayable=True,\n",
                '        f"{delivery_id}.{body_digest.hex()}" if delivery_id else None,\n',
            ),
            by=f"{DOOR}::"
            "test_given_a_replay_under_another_unsigned_key_within_ten_minutes_then_the_body_gives_it_away",
        ),
        planted(
            "body-remembered-for-five-minutes",
            "a replay at the end of the tolerance is another event",
            edit(OUTBOX_SQL, "REPLAY_SECONDS = 2 * TOLERANCE_SECONDS", "REPLAY_SECONDS = TOLERANCE_SECONDS"),
            by=f"{DOOR}::"
            "test_given_a_replay_under_another_unsigned_key_within_ten_minutes_then_the_body_gives_it_away",
        ),
        planted(
            "refused-body-remembered",
            "a body that was refused for its key is taken for one that came",
            edit(OUTBOX_SQL, "      AND e.body_digest <> %(digest)s::bytea)\n", "      AND false)\n"),
            by=f"{DOOR}::test_given_a_key_with_another_body_then_what_was_refused_is_not_remembered",
        ),
    ),
    *breaking(
        "The key of a delivery is kept as long as its event, and nothing deletes events",
        planted(
            "sweep-deletes-events",
            "the sweep deletes events that are an hour old",
            edit(
                OUTBOX,
                '    sql.rows(FORGET_BODIES, {"most": 10_000})\n',
                '    sql.rows(FORGET_BODIES, {"most": 10_000})\n'
                "    sql.rows(\"DELETE FROM triggers_outboxevent WHERE captured_at < now() - interval '1 hour'\", {})\n",
            ),
            by="architecture/test_keys_are_kept.py::test_nothing_in_the_product_deletes_an_event",
        ),
    ),
    *breaking(
        "A secret or an address is replaced without losing a request, and the old one ends when it should",
        planted(
            "old-secret-ends-at-once",
            "a new secret ends the one before it",
            edit(SECRETS, '"seconds": float(seconds)}', '"seconds": 0.0}'),
            by=(
                "test_rotation_drill.py::"
                "test_given_secrets_and_addresses_replaced_under_load_then_every_message_is_one_event",
                f"{DOOR}::test_old_and_new_secret_both_verify_until_the_old_one_ends",
            ),
        ),
        planted(
            "old-address-ends-at-once",
            "a new address ends the old one, whatever grace was asked for",
            edit(
                OUTBOX_SQL,
                "     WHERE previous_token_hash = %(token_hash)s::varchar AND",
                "     WHERE false AND previous_token_hash = %(token_hash)s::varchar AND",
            ),
            by=(
                "test_rotation_drill.py::"
                "test_given_secrets_and_addresses_replaced_under_load_then_every_message_is_one_event",
                f"{DOOR}::test_given_the_old_address_in_its_grace_then_both_are_the_endpoint_and_one_key_is_one_event",
            ),
        ),
        planted(
            "old-address-for-ever",
            "an address that was replaced with a grace stays valid",
            edit(OUTBOX_SQL, " AND previous_token_until > clock_timestamp())", ")"),
            by=f"{DOOR}::"
            "test_given_the_old_address_in_its_grace_then_both_are_the_endpoint_and_one_key_is_one_event",
        ),
        planted(
            "old-secret-for-ever",
            "a secret that ended still verifies",
            edit(
                ENDPOINTS,
                "\n          AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp())",
                "",
            ),
            by=f"{DOOR}::test_old_and_new_secret_both_verify_until_the_old_one_ends",
        ),
        planted(
            "third-secret-pushes-out-one",
            "a third secret is added while a sender may use either of two",
            edit(SECRETS, "    if seconds > 0 and live(", "    if False and live("),
            by=f"{API}::test_given_two_rotations_at_once_then_one_is_made_and_the_other_is_told",
        ),
        planted(
            "rotations-side-by-side",
            "two rotations of an address do not see each other",
            edit(
                SERVICES,
                "  AND (%(seconds)s::float8 = 0 OR previous_token_until IS NULL"
                " OR previous_token_until <= clock_timestamp())\n",
                "",
            ),
            by=f"{API}::test_given_two_rotations_of_the_address_at_once_then_the_one_before_stays_valid",
        ),
    ),
    *breaking(
        "A secret is shown once and kept encrypted, bound to its row",
        planted(
            "secret-left-in-the-draft",
            "a secret that came with a draft is stored in it too",
            edit(WEBHOOK, 'WRITE_ONLY = ("secret", "secrets")', 'WRITE_ONLY = ("secrets",)'),
            by=f"{API}::test_a_secret_comes_with_a_draft_and_is_read_back_as_its_last_four",
        ),
        planted(
            "secret-in-the-audit-trail",
            "the audit trail tells the secret",
            edit(SECRETS, "        signing=signing,\n        last4=row.last4,", "        last4=text,"),
            by=f"{DOOR}::test_secrets_and_signatures_are_in_no_log_and_no_table_but_encrypted",
        ),
        planted(
            "secret-of-any-row",
            "a ciphertext opens wherever it is put",
            edit(SECRETS, '    return f"webhook-secret:{secret_id}"', '    return "webhook-secret:"'),
            by=f"{API}::test_a_ciphertext_that_is_moved_to_another_row_opens_nothing",
        ),
    ),
)
