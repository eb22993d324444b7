"""Mutants of what people are told: timeline, codes, traces, secrets."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

SETTLING = "executions/settling.py"
COMPLETING = "executions/completing.py"
CLAIMS = "executions/claims.py"

MUTANTS = (
    *breaking(
        "A complete timeline, without gaps, in order of time",
        planted(
            "timeline-with-a-gap",
            "the run's counter is raised by one more than there are entries",
            edit(
                COMPLETING,
                "    seq = x.seq + jsonb_array_length(lk.entries) + lk.ahead::int, status",
                "    seq = x.seq + jsonb_array_length(lk.entries) + lk.ahead::int + 1, status",
            ),
            by="test_engine.py::test_three_slow_steps_run_in_order_and_tell_it",
        ),
        planted(
            "start-untold",
            "a continued step begins without a word",
            edit(
                COMPLETING,
                "'{{}}'::jsonb\n  FROM n JOIN r ON r.id = n.run_id WHERE n.status = 'running')",
                "'{{}}'::jsonb\n  FROM n JOIN r ON r.id = n.run_id WHERE n.status = 'never')",
            ),
            by="test_engine.py::test_three_slow_steps_run_in_order_and_tell_it",
        ),
        planted(
            "loss-untold",
            "a worker's death is not in the timeline",
            edit(
                CLAIMS,
                "'may_have_sent', intent_at IS NOT NULL) FROM r WHERE was = 'running'\n",
                "'may_have_sent', intent_at IS NOT NULL) FROM r WHERE was = 'never'\n",
            ),
            by="test_cells.py::test_given_a_worker_that_died_when_swept_then_a_cell_completes_the_step",
        ),
        planted(
            "time-of-the-clock-alone",
            "a clock that is set back sets the story back",
            edit(
                SETTLING,
                "    last_at = greatest(last_at, clock_timestamp()),\n",
                "    last_at = clock_timestamp(),\n",
            ),
            edit(
                COMPLETING,
                "    last_at = greatest(x.last_at, clock_timestamp()),\n",
                "    last_at = clock_timestamp(),\n",
            ),
            by="test_engine.py::test_given_a_clock_that_is_set_back_then_the_story_still_goes_forward",
        ),
        planted(
            "timeline-may-be-rewritten",
            "the database lets entries be changed",
            edit(
                "executions/migrations/0002_guards.py",
                "CREATE TRIGGER timeline_append_only BEFORE UPDATE OR DELETE ON",
                "CREATE TRIGGER timeline_append_only BEFORE DELETE ON",
            ),
            by="test_fences.py::test_what_is_final_stays_final_even_for_a_person_with_a_database_console",
        ),
    ),
    *breaking(
        "What a person did to a run is told together with the deed",
        planted(
            "cancel-before-its-transaction",
            "a run is cancelled for good before it is written down who did it",
            edit(
                "executions/services.py",
                "    with transaction.atomic():\n"
                '        before = end_run(str(run_id), status=RunStatus.CANCELLED, metadata={"by": by})\n',
                '    before = end_run(str(run_id), status=RunStatus.CANCELLED, metadata={"by": by})\n'
                "    with transaction.atomic():\n",
            ),
            by="test_cancel.py::test_given_a_deed_that_cannot_be_told_then_it_is_not_done",
        ),
    ),
    *breaking(
        "Every failure has a namespaced code with a meaning and a remedy",
        planted(
            "uncatalogued-code-raised",
            "an error may have a code that the catalogue does not know",
            edit(
                "lightfield/kernel/errors.py",
                "        self.entry = CATALOGUE[code]",
                "        self.entry = CATALOGUE.get(code, next(iter(CATALOGUE.values())))",
            ),
            by="unit/test_codes.py::test_an_error_whose_code_nobody_catalogued_cannot_be_raised",
        ),
        planted(
            "code-not-in-the-contract",
            "the API's description leaves codes out",
            edit(
                "lightfield/access/schema.py",
                "sorted(code for code, entry in CATALOGUE.items() if entry.status)",
                'sorted(code for code, entry in CATALOGUE.items() if entry.status and code[0] != "p")',
            ),
            by="test_api_schema.py::test_problem_codes_are_the_catalogues",
        ),
    ),
    *breaking(
        "A trace id from the caller to the receiver",
        planted(
            "trace-begun-anew",
            "the caller's trace is not continued",
            edit(
                "triggers/services.py",
                "    return caller.trace_id if caller else trace_context.new_trace_id()\n",
                "    return trace_context.new_trace_id()\n",
            ),
            by=(
                "test_manual_run.py::test_a_valid_traceparent_is_continued_and_anything_else_starts_a_trace",
                "test_webhook.py::test_a_webhook_is_accepted_and_stored",
            ),
        ),
        planted(
            "trace-not-on-the-run",
            "a run has another trace than its event",
            edit(
                "executions/dispatcher.py",
                "  SELECT uuid_v7(), id, 1, workflow_id, version_id, 'pending', 1, trace_id,",
                "  SELECT uuid_v7(), id, 1, workflow_id, version_id, 'pending', 1, replace(id::text, '-', ''),",
            ),
            by="test_dispatcher.py::test_an_event_becomes_a_run_at_its_first_step",
        ),
        planted(
            "trace-not-sent-on",
            "each request begins a trace of its own",
            edit(
                "executions/steps/http_request.py",
                '            "traceparent": traceparent.outgoing(context.trace_id),\n',
                '            "traceparent": traceparent.outgoing(traceparent.new_trace_id()),\n',
            ),
            by="test_http_request_step.py::test_every_attempt_has_the_same_key_and_its_own_span",
        ),
    ),
    *breaking(
        "Secrets of a request are shown to nobody",
        planted(
            "redaction-dropped",
            "a request is shown with its secret headers",
            edit(
                "executions/redaction.py",
                "            name: REDACTED if is_secret(str(name)) else value for name, value in",
                "            name: value for name, value in",
            ),
            by=(
                "unit/test_redaction.py::"
                "test_secret_headers_parameters_and_fields_are_replaced_and_the_rest_is_not",
                "test_admin_runs.py::test_the_request_is_shown_without_its_secrets",
            ),
        ),
        planted(
            "echoed-secrets-stored",
            "a receiver that echoes our credentials gets them into the timeline",
            edit(
                "executions/steps/http_answers.py",
                "        text = text.replace(secret, REDACTED)\n",
                "        text = text.replace(secret, secret)\n",
            ),
            by="unit/test_http_request.py::test_an_excerpt_is_short_clean_and_without_our_secrets",
        ),
    ),
)
