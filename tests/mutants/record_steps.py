"""Mutants of record steps: of the transaction that they share with the engine, and of what they write and find."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

TRANSACTING = "executions/transacting.py"
UPSERT = "crm/steps/upsert_record.py"
FILTERS = "crm/steps/filters.py"
OPERANDS = "crm/steps/operands.py"

SHARED = "test_transactional_steps.py::"
RACES = "integration/record_steps/test_racing.py::"

TRANSACTION = (
    *breaking(
        "A record step writes exactly once, whatever dies in it",
        planted(
            "record-committed-before-its-outcome",
            "the record is committed, and what came of the step in a transaction of its own",
            edit(
                TRANSACTING,
                '            crashpoint("CP-R1")\n        return settle(result)\n',
                '            crashpoint("CP-R1")\n    return settle(result)\n',
            ),
            by=SHARED + "test_what_it_wrote_and_all_that_follows_are_one_transaction",
        ),
        planted(
            "outcome-committed-before-its-record",
            "a step counts as completed, and then its record is written",
            edit(
                TRANSACTING,
                "        with acting(step), told_apart():\n            result = step_type.execute(config, context)\n",
                "        with transaction.atomic(), acting(step), told_apart():\n"
                "            result = step_type.execute(config, context)\n"
                "            transaction.set_rollback(True)\n"
                "        transaction.on_commit(lambda: step_type.execute(config, context) and None)\n",
            ),
            by=(
                SHARED + "test_what_it_wrote_and_all_that_follows_are_one_transaction",
                "test_record_step_deaths.py::"
                "test_given_a_death_behind_its_commit_then_all_of_it_is_there_and_the_next_step_by_the_sweep",
            ),
        ),
        planted(
            "write-not-in-the-ledger",
            "nothing notes that a record step had its effect",
            edit(
                TRANSACTING,
                "    noted = _noted(step, config) if step_type.has_effect else None\n",
                "    noted = None\n",
            ),
            by=(
                "integration/record_steps/test_creating.py::test_the_ledger_keeps_what_was_asked_for_and_which_record_it_was",
                "test_record_step_deaths.py::"
                "test_given_a_death_before_its_commit_then_nothing_of_it_is_there_and_the_sweep_has_it_done_once",
            ),
        ),
        planted(
            "nested-in-somebodys-transaction",
            "a step shares the transaction of whoever calls the engine, and is undone with it",
            edit("executions/engine.py", "    transacting.refuse_to_nest()\n", ""),
            by=SHARED + "test_a_transaction_that_cannot_be_the_outermost_is_refused",
        ),
    ),
    *breaking(
        "Whoever runs the same record step beside its worker, or after it lost it, writes nothing",
        planted(
            "record-written-before-the-look",
            "a worker does not look whether the step is still its own before it writes",
            edit(
                TRANSACTING, "        lock(step.run_id, step.step_run_id, step.fence, was=step.status)\n", ""
            ),
            by=(
                SHARED + "test_given_a_second_one_in_the_middle_of_it_then_it_waits_and_writes_nothing",
                SHARED + "test_given_a_cancel_in_the_middle_then_it_waits_and_finds_the_run_completed",
            ),
        ),
        planted(
            "outcome-settled-under-any-fence",
            "the outcome of a transactional step is written whoever holds the step by now",
            edit(
                "executions/settling.py",
                "s.run_id = r.id AND s.fence = %(fence)s::int\n    AND s.status = %(was)s::text\n",
                "s.run_id = r.id\n",
            ),
            by=SHARED + "test_given_one_whose_step_was_taken_over_then_its_write_is_undone_with_the_rest",
        ),
    ),
    *breaking(
        "Runs that meet at one record wait for each other or try again, and none fails for it",
        planted(
            "collision-ends-the-attempt",
            "a deadlock, or a record that somebody else has just created, is the step's error at once",
            edit(TRANSACTING, "MOST_TRIES = 4 ", "MOST_TRIES = 1 "),
            by=(
                SHARED + "test_given_a_collision_then_the_transaction_is_run_again_in_the_same_attempt",
                RACES
                + "test_given_one_that_is_about_to_create_when_another_looks_then_that_one_waits_and_updates",
            ),
        ),
        planted(
            "upsert-told-as-a-duplicate",
            "an upsert fails when somebody creates the same record at the same moment",
            edit(
                UPSERT,
                '        if error.code == "record.duplicate" and _is_matched(error.metadata, config):\n'
                "            raise WriteConflict(error) from error\n",
                "",
            ),
            by=RACES
            + "test_given_one_that_is_about_to_create_when_another_looks_then_that_one_waits_and_updates",
        ),
        planted(
            "upserts-side-by-side",
            "two runs that upsert by what is not unique both find nothing and both create",
            edit(UPSERT, "        match.lock_out()\n", ""),
            by=RACES
            + "test_given_many_runs_that_upsert_the_same_new_record_then_one_creates_and_the_others_update_it",
        ),
        planted(
            "accounts-of-one-name-side-by-side",
            "who upserts an account by website and name does not wait for who does by the name alone",
            edit("crm/steps/matching.py", "return not self._has_name and any(", "return any("),
            by="bugs/test_an_account_by_name_and_one_by_website_and_name_became_two.py"
            "::test_given_one_that_is_about_to_create_then_the_other_waits_and_finds_it",
        ),
        planted(
            "record-read-without-its-lock",
            "an update of one field of custom loses what another run has just set",
            edit("crm/steps/update_record.py", ".select_for_update(no_key=True)", ""),
            by=RACES
            + "test_given_many_runs_that_change_one_record_then_every_change_is_in_it_and_their_diffs_chain",
        ),
        planted(
            "held-record-fails-the-run",
            "a record that somebody holds for long ends the run",
            edit(
                TRANSACTING,
                '    return TransientStepError("step.conflict")\n',
                '    from lightfield.kernel.errors import PermanentStepError\n\n    return PermanentStepError("step.conflict")  # type: ignore[return-value]\n',
            ),
            by=(
                SHARED
                + "test_given_a_row_that_is_held_for_long_or_a_slow_statement_then_the_step_tries_later",
                RACES + "test_given_a_person_who_holds_the_record_for_too_long_then_the_step_tries_later",
            ),
        ),
    ),
)

RECORDS = (
    *breaking(
        "What a record step changes starts other workflows with its run as the cause, and not its own",
        planted(
            "record-step-acts-for-nobody",
            "what a record step changes looks like a change by a person",
            edit(TRANSACTING, "        with acting(step), told_apart():\n", "        with told_apart():\n"),
            by=(
                "integration/record_steps/test_leading_on.py::test_its_event_tells_the_run_its_trace_and_one_depth_more",
                "integration/record_steps/test_leading_on.py::test_a_workflow_that_changes_the_record_it_watches_runs_once",
            ),
        ),
    ),
    *breaking(
        "A record that cannot be ends the run with its code and its place, and what can be known is known at publish",
        planted(
            "fields-published-unseen",
            "a workflow with a misspelt field is published, and each of its runs fails",
            edit(
                "workflows/step_types.py",
                "    return [replace(problem, pointer=at + problem.pointer) for problem in step_type.unpublishable(raw)]\n",
                "    return []\n",
            ),
            by="integration/record_steps/test_refusing.py::test_what_is_known_is_refused_when_the_workflow_is_published",
        ),
        planted(
            "places-in-the-record",
            "a problem points into the record, which its author never sees",
            edit(
                "crm/steps/refusals.py",
                "    problems = [replace(problem, pointer=place(problem.pointer)) for problem in refused.problems]\n",
                "    problems = [replace(problem) for problem in refused.problems]\n",
            ),
            by="integration/record_steps/test_refusing.py::test_what_is_wrong_ends_the_run_at_once_and_says_where",
        ),
        planted(
            "nothing-matches-anything",
            "an upsert that is given no value changes whatever record has none",
            edit("crm/steps/matching.py", "    if empty or not judged:\n        raise _empty(empty)\n", ""),
            by="integration/record_steps/test_upserting.py::test_to_look_for_nothing_is_refused_since_any_record_would_do",
        ),
        planted(
            "first-of-several-changed",
            "an upsert that matches several records changes one of them",
            edit("crm/steps/matching.py", "        if len(found) > 1:\n", "        if len(found) > 2:\n"),
            by="integration/record_steps/test_upserting.py::test_given_several_that_match_then_none_is_changed",
        ),
    ),
    *breaking(
        "What records are looked for by is a value and never SQL; what is found is bounded",
        planted(
            "value-written-into-the-statement",
            "the value of a filter becomes part of the statement",
            edit(
                OPERANDS,
                '        return f"%({name})s::text" + ("[]" if isinstance(value, list) else "")\n',
                "        text = str(value).replace(chr(39), chr(39) * 2)\n"
                '        return f"%({name})s::text[]" if isinstance(value, list) else f"\'{text}\'::text"\n',
            ),
            by="integration/record_steps/test_finding.py::test_whatever_the_value_is_it_is_a_value",
        ),
        planted(
            "null-is-neither-nor",
            "a negative comparison leaves out the records whose field is not set",
            edit(FILTERS, 'f"({sql}) IS NOT TRUE"', 'f"NOT ({sql})"'),
            by="integration/record_steps/test_finding.py::test_operators_mean_what_they_mean_to_a_condition",
        ),
        planted(
            "everything-read-into-memory",
            "records that are too much together are read before anybody looks",
            edit("crm/steps/find_records.py", "<= {MOST_BYTES} THEN", "IS NOT NULL THEN"),
            by="integration/record_steps/test_finding.py::test_records_that_are_too_much_together_end_the_step_and_are_not_read",
        ),
    ),
)

MUTANTS = (*TRANSACTION, *RECORDS)
