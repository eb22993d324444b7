"""Mutants of what happens to a host that fails, and of whom a connection serves."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

BREAKER = "executions/egress/breaker.py"
RELEASING = "executions/circuits/releasing.py"
PACING = "executions/circuits/pacing.py"
ROWS = "executions/circuits/rows.py"
CLAIMS = "executions/claims.py"
REPORTS = "executions/reports.py"

MUTANTS = (
    *breaking(
        "A host that fails for many runs gets few requests, and nobody's attempts are used up by it",
        planted(
            "circuit-never-opens",
            "a host that fails is asked by every run",
            edit(BREAKER, "        return 0 < least <= host.calls and (", "        return False and ("),
            edit(ROWS, '_TRIPS = """(%(may_open)s::bool AND (', '_TRIPS = """(false AND ('),
            by="integration/circuits/test_holding_back.py::test_given_a_host_that_fails_when_many_runs_call_it_then_few_requests_leave_and_the_others_wait",
        ),
        planted(
            "one-host-held-against-another",
            "whatever a step waited for is held against the host that it meets now",
            edit("executions/holds.py", "        if 0 < most <= has_waited:\n", "        if False:\n"),
            by="bugs/test_a_wait_for_one_host_was_held_against_another.py::"
            "test_given_a_step_that_waited_for_one_host_when_another_fails_then_it_waits_for_that_one_too",
        ),
        planted(
            "held-attempts-count",
            "an attempt that was put back uses one up",
            edit(
                CLAIMS,
                "        return self.attempt - self.lost - self.held\n",
                "        return self.attempt - self.lost\n",
            ),
            edit(CLAIMS, "s.attempts - s.lost - s.held - (s.status", "s.attempts - s.lost - (s.status"),
            by="integration/circuits/test_holding_back.py::test_given_many_put_backs_then_a_step_has_all_its_attempts_left",
        ),
        planted(
            "each-process-counts-alone",
            "failures that several processes see are not added up",
            edit(
                ROWS,
                '_CALLS = f"(CASE WHEN {_FRESH} THEN c.calls',
                '_CALLS = f"(CASE WHEN false THEN c.calls',
            ),
            by="integration/circuits/test_holding_back.py::test_given_several_processes_that_see_a_few_failures_each_then_together_they_open_the_circuit",
        ),
        planted(
            "claim-tells-nothing-of-hosts",
            "a process that has seen nothing sends although the circuit is open",
            edit(CLAIMS, "        egress.current_breaker().learn(", "        (lambda *_, **__: None)("),
            by="integration/circuits/test_holding_back.py::test_given_a_process_that_has_seen_nothing_then_it_learns_of_the_circuit_with_its_claim",
        ),
    ),
    *breaking(
        "What waits for a host stands in nobody's way",
        planted(
            "held-steps-in-the-lane",
            "a step that waits for its host is admitted when its wait could be over",
            edit(
                "executions/admission.py",
                "AND s.status IN ('ready', 'waiting') AND s.held_host IS NULL AND s.workflow_id",
                "AND s.status IN ('ready', 'waiting') AND s.workflow_id",
            ),
            edit("executions/admission.py", "    AND s.held_host IS NULL\n", ""),
            edit(
                "executions/lanes.py",
                "WHERE lane = %(lane)s::text AND status IN ('ready', 'waiting')\n     AND held_host IS NULL ORDER",
                "WHERE lane = %(lane)s::text AND status IN ('ready', 'waiting')\n     ORDER",
            ),
            by="integration/circuits/test_holding_back.py::test_given_held_steps_then_no_admission_and_no_window_knows_of_them",
        ),
    ),
    *breaking(
        "A host that comes back meets no burst, and every run that waits for it goes on",
        planted(
            "released-all-at-once",
            "everything that waits is released with the first good answer",
            edit(
                PACING,
                "        release = max(1, math.floor(rate * seconds))\n",
                "        release = 1_000_000\n",
            ),
            by=(
                "integration/circuits/test_recovery.py::test_given_a_host_that_comes_back_then_its_runs_are_released_at_an_even_rise_and_all_complete",
                "unit/test_pacing.py::test_the_rate_rises_evenly_and_no_second_has_more_than_twice_the_mean",
            ),
        ),
        planted(
            "late-sweep-makes-up",
            "a sweep that comes late releases for all the time that it slept",
            edit(
                PACING,
                "        seconds = min(seen.since_turn, LONGEST_TURN_SECONDS)\n",
                "        seconds = seen.since_turn\n",
            ),
            by="integration/circuits/test_recovery.py::test_given_a_sweep_that_comes_late_then_it_releases_no_more_than_two_seconds_are_worth",
        ),
        planted(
            "held-without-a-row",
            "what is held for a host without a row is never released",
            edit(RELEASING, '    sql.rows(ADOPT, {"host": host})\n', ""),
            by="integration/circuits/test_recovery.py::test_given_a_circuit_that_was_closed_meanwhile_then_what_was_put_back_last_is_released_all_the_same",
        ),
        planted(
            "recovered-host-forgotten",
            "a step that is put back right after its host's circuit closed counts as a new failure, for everybody",
            edit(RELEASING, "FORGET if seen.state == CircuitState.CLOSED else CLOSE", "FORGET"),
            by="bugs/test_a_put_back_that_came_late_closed_a_healthy_host_to_everybody.py"
            "::test_given_a_step_that_is_put_back_after_its_circuit_closed_then_nobody_else_waits",
        ),
        planted(
            "silent-second-releases-nothing",
            "a host that takes seconds to answer gets one second's worth for each round of answers",
            edit(
                PACING,
                "    release = math.floor(seen.rate * min(",
                "    release = 0 * math.floor(seen.rate * min(",
            ),
            by="bugs/test_a_host_that_answers_slowly_never_got_its_requests_back.py"
            "::test_given_a_host_that_is_called_twenty_times_a_second_then_its_circuit_closes",
        ),
        planted(
            "two-sweeps-release",
            "each sweep that comes at the same time sends a probe",
            edit(
                RELEASING,
                "  AND turned_at <= clock_timestamp() - make_interval(secs => %(rest)s::float8)\nFOR UPDATE SKIP LOCKED\n",
                "  AND %(rest)s::float8 >= 0\n",
            ),
            by="integration/circuits/test_recovery.py::test_of_eight_sweeps_at_once_one_releases_the_probe",
        ),
        planted(
            "newcomers-pass-those-who-wait",
            "a run that comes during the return is sent at once",
            edit(
                BREAKER, 'return state == "open" or turn.held_for != CIRCUIT_OPEN', 'return state == "open"'
            ),
            by="integration/circuits/test_recovery.py::test_given_runs_that_come_while_others_wait_for_the_host_then_they_wait_behind_them",
        ),
    ),
    *breaking(
        "Retries to a host stay within their share",
        planted(
            "retries-without-budget",
            "every retry may go",
            edit(BREAKER, "        if turn.is_retry and turn.held_for is None:\n", "        if False:\n"),
            by=(
                "integration/circuits/test_holding_back.py::test_given_retries_beyond_their_share_then_they_wait_for_their_place_and_use_up_nothing",
                "unit/test_breaker.py::test_retries_have_a_floor_and_then_wait_for_their_place",
            ),
        ),
        planted(
            "waited-and-asked-again",
            "a retry that has waited for its place is asked to wait again",
            edit(
                BREAKER,
                "        if turn.is_retry and turn.held_for is None:\n",
                "        if turn.is_retry:\n",
            ),
            by="integration/circuits/test_holding_back.py::test_given_retries_beyond_their_share_then_they_wait_for_their_place_and_use_up_nothing",
        ),
    ),
    *breaking(
        "A connection serves those who speak for the same, and nobody else",
        planted(
            "connections-shared-by-all",
            "a connection goes to whoever asks the same host",
            edit(
                "executions/egress/client.py",
                "speaks_for=identity_of(fields, credentials_key, late=late)",
                'speaks_for=b""',
            ),
            by="test_egress_connections.py::test_a_connection_serves_those_who_speak_for_the_same_and_nobody_else",
        ),
        planted(
            "tied-connection-kept",
            "a connection that is tied to an identity is used again",
            edit(
                "executions/egress/conversation.py",
                "        elif _binds_the_connection(name, value):\n            return 0.0\n",
                "",
            ),
            by="test_egress_connections.py::test_given_an_identity_that_is_tied_to_the_connection_then_it_serves_nobody_again",
        ),
    ),
    *breaking(
        "A step's output is bounded and tells nobody who somebody is",
        planted(
            "whole-body-kept",
            "a megabyte of an answer is kept in the row",
            edit(
                "executions/steps/http_answers.py",
                "MAX_KEPT_BYTES: Final = 256 << 10",
                "MAX_KEPT_BYTES: Final = 1 << 21",
            ),
            by="unit/test_http_request.py::test_given_more_than_256_kib_then_the_beginning_is_kept_with_a_mark",
        ),
        planted(
            "secret-answer-headers-kept",
            "headers of an answer are kept with the tokens in them",
            edit("executions/steps/http_answers.py", "REDACTED if is_secret(name) else value", "value"),
            by="unit/test_http_request.py::test_headers_that_tell_who_somebody_is_are_not_shown",
        ),
    ),
)
