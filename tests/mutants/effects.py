"""Mutants of the ledger, of keys and of what leaves the house."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CHAIN = "executions/chain.py"
CLAIMS = "executions/claims.py"
SETTLING = "executions/settling.py"
INTENTS = "executions/intents.py"
HTTP_REQUEST = "executions/steps/http_request.py"
WIRES = "executions/egress/wires.py"

LEDGER = (
    *breaking(
        "In the ledger before it is sent",
        planted(
            "intent-after-sending",
            "a request is written into the ledger once it was sent",
            edit(
                CHAIN,
                "frozen = persist(lambda: commit_together(wanted), chains[0].hold) if wanted else []",
                'frozen = [one["request"] for one in wanted]',
            ),
            edit(
                CHAIN,
                "        return checked_output(output)\n",
                "        intents.commit_intents([self.intent()])\n        return checked_output(output)\n",
            ),
            by="test_effects.py::test_the_intent_is_committed_before_the_request_leaves",
        ),
        planted(
            "success-without-an-intent",
            "a success is written although the ledger knows of no request",
            edit(
                SETTLING,
                "\n         AND (%(effect)s::text IS DISTINCT FROM 'done' OR (SELECT count(*) FROM e) = 1)\n",
                "\n",
            ),
            by="test_fences.py::test_success_without_an_intent_in_the_ledger_is_refused",
        ),
    ),
    *breaking(
        "The same key and request on every attempt",
        planted(
            "key-with-the-attempt",
            "every attempt has a key of its own",
            edit(
                "executions/attempts.py",
                "        idempotency_key=step.effect_key,\n",
                '        idempotency_key=f"{step.effect_key}:{step.attempt}",\n',
            ),
            by=(
                "test_engine.py::test_a_transient_failure_is_retried_under_the_same_key",
                "test_effects.py::test_what_is_believed_of_an_effect",
            ),
        ),
        planted(
            "key-not-sent",
            "the author's header stands in for the key",
            edit(
                HTTP_REQUEST,
                '            "Idempotency-Key": context.idempotency_key,\n',
                '            "Idempotency-Key": request["headers"].get("Idempotency-Key", ""),\n',
            ),
            by="test_http_request_step.py::test_every_attempt_has_the_same_key_and_its_own_span",
        ),
        planted(
            "request-frozen-anew",
            "a later attempt's request replaces the one that was frozen first",
            edit(
                INTENTS,
                "DO UPDATE SET fence = excluded.fence WHERE",
                "DO UPDATE SET fence = excluded.fence, request = excluded.request WHERE",
            ),
            by="test_effects.py::test_a_later_attempt_sends_what_the_first_one_froze",
        ),
    ),
    *breaking(
        "A decided effect is decided once, and truly",
        planted(
            "sent-after-the-decision",
            "a decided effect gives leave to send again",
            edit(
                INTENTS,
                "DO UPDATE SET fence = excluded.fence WHERE executions_effect.status = 'intent'\n",
                "DO UPDATE SET fence = executions_effect.fence\n",
            ),
            edit(
                "executions/migrations/0002_guards.py",
                "CREATE TRIGGER effect_decided_stays BEFORE UPDATE ON executions_effect FOR EACH ROW\n"
                "  WHEN (OLD.status <> 'intent')",
                "CREATE TRIGGER effect_decided_stays BEFORE UPDATE ON executions_effect FOR EACH ROW\n"
                "  WHEN (OLD.status <> 'intent' AND NEW.status <> OLD.status)",
            ),
            by="test_effects.py::test_an_effect_that_is_decided_gives_no_leave_to_send",
        ),
        planted(
            "unknown-taken-for-nothing",
            "what may have happened in an earlier attempt is called abandoned",
            edit(SETTLING, "AND (x.outcome = 'unknown' OR", "AND (false OR"),
            by="test_effects.py::test_what_is_believed_of_an_effect",
        ),
        planted(
            "lost-attempt-taken-for-nothing",
            "a worker that died after its intent is taken for one that sent nothing",
            edit(SETTLING, "(x.outcome = 'lost' AND x.intent_at IS NOT NULL)))", "false))"),
            by="test_cells.py::test_a_step_given_up_may_have_had_its_effect_if_any_lost_attempt_intended_it",
        ),
    ),
    *breaking(
        "`on_unknown: fail` never sends a second time",
        planted(
            "on-unknown-ignored",
            "a lost answer is followed by another attempt whatever the author said",
            edit(
                "executions/outcomes.py",
                '    if sent_blindly and on_unknown == "fail":\n',
                "    if False:\n",
            ),
            by="test_effects.py::test_on_unknown_fail_ends_only_what_may_have_happened",
        ),
        planted(
            "on-unknown-ignored-for-the-lost",
            "a step whose worker died after its intent is tried again whatever the author said",
            edit(
                "executions/outcomes.py",
                '    if was_intended and on_unknown == "fail":\n',
                "    if False:\n",
            ),
            by="test_cells.py::test_given_on_unknown_fail_when_a_worker_died_after_its_intent_then_it_is_not_repeated",
        ),
        planted(
            "judged-before-the-claim",
            "a cell judges its steps in one transaction and takes them in another",
            edit(
                "executions/cells.py",
                "        worker.execute(ids, claim=claim, in_cell=True)\n",
                "        with transaction.atomic():\n"
                "            left = _judged(ids, claims.lock_runs(ids))\n"
                "        worker.execute(left, claim=lambda ids, **more: claims.take("
                "ids, claims.lock_runs(ids), claims.IN_CELL, **more), in_cell=True)\n",
            ),
            by=(
                "bugs/test_a_careful_step_judged_before_a_stop_was_sent_twice.py::"
                "test_given_a_careful_step_that_is_sent_while_a_cell_stands_still_then_the_cell_sends_nothing",
                "bugs/test_a_careful_step_judged_before_a_stop_was_sent_twice.py::"
                "test_given_a_step_that_ends_another_cell_meanwhile_then_it_is_not_tried_a_fourth_time",
            ),
        ),
    ),
    *breaking(
        "An unknown outcome keeps its key on replay",
        planted(
            "replay-under-a-new-key",
            "a replay sends what may have happened under another key",
            edit("executions/services.py", "(e.status IN ('unknown', 'intent')\n", "(e.status = 'intent'\n"),
            by=(
                "test_replay.py::test_only_what_may_have_happened_keeps_its_key_and_request",
                "bugs/test_a_second_replay_forgot_that_a_key_may_have_been_used.py::"
                "test_given_an_unknown_effect_then_every_later_replay_keeps_its_key",
            ),
        ),
        planted(
            "second-replay-forgets",
            "after a replay that sent nothing the key counts as unused",
            edit(
                SETTLING,
                "WHERE x.id = e.scope AND kept.key = e.key)\n        OR",
                "WHERE x.id = e.scope AND kept.key = e.key AND false)\n        OR",
            ),
            by="bugs/test_a_second_replay_forgot_that_a_key_may_have_been_used.py::"
            "test_given_an_unknown_effect_then_every_later_replay_keeps_its_key",
        ),
    ),
)

EGRESS = (
    *breaking(
        "At most one request per attempt",
        planted(
            "resent-on-a-dead-connection",
            "the client sends again when a kept connection turns out dead",
            edit(
                "executions/egress/transport.py",
                "        except BaseException:\n            wire.close()\n            raise\n",
                "        except Exception:\n"
                "            wire.close()\n"
                "            wire = self._connector.connect(request.target, request.checked.exchange)\n"
                "            answer = Conversation(wire, request.checked).hold()\n",
            ),
            by="test_egress_connections.py::"
            "test_given_a_kept_connection_that_dies_under_the_next_request_then_nothing_is_sent_again",
        ),
        planted(
            "stale-connection-used",
            "a connection that the far side closed is used for the next request",
            edit(
                WIRES,
                "            if wire.usable_until > now and wire.is_quiet():\n",
                "            if wire.usable_until > now:\n",
            ),
            by="test_egress_connections.py::"
            "test_given_a_connection_closed_by_the_server_meanwhile_then_a_new_one_is_made",
        ),
    ),
    *breaking(
        "Nothing private is reached",
        planted(
            "private-address-allowed",
            "addresses of private networks are taken for any other",
            edit(
                "executions/egress/policy.py",
                "            if why is not None:\n",
                "            if why is None and False:\n",
            ),
            by="test_egress_ssrf.py::test_private_targets_are_never_connected_to",
        ),
        planted(
            "judged-one-not-connected",
            "the name is looked up once to be judged and once more to be connected to",
            edit(
                WIRES,
                '        exchange.phase = "connect"\n',
                '        exchange.phase = "connect"\n'
                "        if target.literal is None:\n"
                "            found = self._look_up(target.lookup_name, target.port, exchange)\n",
            ),
            by="test_egress_ssrf.py::"
            "test_given_a_name_that_changes_with_every_lookup_then_only_what_was_judged_is_connected_to",
        ),
    ),
    *breaking(
        "Every answer is bounded in time and size",
        planted(
            "deadline-of-each-read",
            "the time limit counts from each read anew",
            edit(
                "executions/egress/exchange.py",
                "        left = self.deadline - time.monotonic()\n",
                "        left = self.seconds\n",
            ),
            by="test_egress_answers.py::test_the_deadline_holds_for_everything_together",
        ),
        planted(
            "any-number-of-headers",
            "an answer may have as many headers as it likes",
            edit(
                "executions/egress/conversation.py",
                "        if len(fields) > MAX_HEADERS:\n",
                "        if False:\n",
            ),
            by="test_egress_answers.py::test_header_bombs_are_cut_off",
        ),
    ),
)

MUTANTS = (*LEDGER, *EGRESS)
