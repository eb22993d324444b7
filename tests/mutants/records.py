"""Mutants of record capture, of its detector, and of deeds that died halfway."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

WRITERS = "triggers/records/writers.py"
BULK = "triggers/records/bulk.py"
CAPTURE = "triggers/records/capture.py"
STATEMENTS = "triggers/records/statements.py"
UPSERTING = "triggers/records/upserting.py"
DATABASE = "triggers/records/database.py"
FUNCTIONS = "triggers/records/capture_functions.py"
WHO_ASKS = "triggers/records/who_asks.py"
SPECIALISING = "triggers/records/specialising.py"
SPECIALISED = "test_specialised_captures.py::test_whoever_asks_is_told_and_nobody_else_in_both_modes"
UNCAPTURED = "triggers/records/uncaptured.py"
IDS = "test_captured_ids.py"
CLOCK = "bugs/test_a_clock_before_2004_and_one_seed_refused_saves.py"
SERVICES = "workflows/services.py"

EARLY = "test_record_deaths.py::test_given_a_death_before_the_commit_then_there_is_neither_record_nor_event"
LATE = (
    "test_record_deaths.py::"
    "test_given_a_death_after_the_commit_then_the_event_is_there_and_the_sweep_starts_its_run"
)
PATHS = "test_record_write_paths.py::test_one_event_per_real_change_of_a_watched_field"
CHAINED = "test_record_races.py::test_given_eight_writers_of_every_kind_at_one_row_then_their_diffs_chain"
NOTED = "test_uncaptured_writes.py::test_what_passes_django_by_is_noted_with_its_rows"

MUTANTS = (
    *breaking(
        "A record's change and its events are one, whatever dies",
        planted(
            "save-without-a-transaction",
            "a bare save commits the record before anybody could add an event to it",
            edit(
                WRITERS,
                "        with modes.in_a_transaction(using):\n            save()\n",
                "        save()\n",
            ),
            by=EARLY,
        ),
        planted(
            "bulk-create-without-a-transaction",
            "bulk_create commits its rows before their events are stored",
            edit(BULK, "            transaction.atomic(using=DEFAULT_DB_ALIAS, savepoint=False),\n", ""),
            by=EARLY,
        ),
        planted(
            "event-in-a-transaction-of-its-own",
            "events are stored as soon as the change of the record is committed",
            edit(
                CAPTURE,
                '    crashpoint("CP-L1")\n',
                '    crashpoint("CP-L1")\n'
                "    if transaction.get_connection().in_atomic_block:\n"
                "        transaction.on_commit(lambda: changed(watch, pks, befores) and None)\n"
                "        return Counter()\n",
            ),
            by=(
                EARLY,
                "test_record_rules.py::test_given_writes_that_are_undone_then_no_bell_is_rung_for_them",
            ),
        ),
        planted(
            "event-lost-with-its-bell",
            "an event is pending only when its bell was rung",
            edit(STATEMENTS, "its_depth, cause, 'pending', 0);", "its_depth, cause, 'poison', 0);"),
            by=LATE,
        ),
        planted(
            "record-bell-before-commit",
            "the dispatcher is rung for a change that may still be undone",
            edit(
                CAPTURE,
                "        transaction.on_commit(partial(_ring, shard), robust=True)\n",
                "        _ring(shard)\n",
            ),
            by=(
                "test_record_rules.py::test_given_writes_that_are_undone_then_no_bell_is_rung_for_them",
                "test_record_rules.py::"
                "test_the_bell_is_rung_once_for_all_that_a_transaction_changed_and_not_before",
            ),
        ),
    ),
    *breaking(
        "Whoever writes at once, each event tells what came before it",
        planted(
            "look-without-the-lock",
            "a record is read before it is saved, and somebody else may write in between",
            edit(
                STATEMENTS,
                "= %(pk)s::text::{pk_type(watch)} FOR NO KEY UPDATE OF r\n",
                "= %(pk)s::text::{pk_type(watch)}\n",
            ),
            by=CHAINED,
        ),
        planted(
            "look-after-the-write",
            "a record is read after it was saved",
            edit(
                WRITERS,
                "            seen = None if is_new or pk is None else capture.look(watch, pk)\n"
                "            was_there = write()\n",
                "            was_there = write()\n"
                "            seen = None if is_new or pk is None else capture.look(watch, pk)\n",
            ),
            by=(PATHS, CHAINED),
        ),
        planted(
            "diff-against-the-loaded-instance",
            "what a field was is taken from the instance as it was loaded",
            edit(
                WRITERS,
                '    _replace(model, "save_base", _save_base)\n',
                '    _replace(model, "save_base", _save_base)\n'
                '    signals = __import__("django.db.models.signals", fromlist=["post_init"])\n'
                "    signals.post_init.connect(_remember, sender=model, weak=False)\n",
            ),
            edit(
                WRITERS,
                "            was_there = write()\n",
                "            seen = _as_loaded(self, seen)\n            was_there = write()\n",
            ),
            edit(
                WRITERS,
                "def _is_inserted_unasked(",
                "def _remember(instance: Any, **_: Any) -> None:\n"
                '    instance.__dict__["_loaded"] = dict(instance.__dict__)\n\n\n'
                "def _as_loaded(instance: Any, seen: Any) -> Any:\n"
                "    if seen is None or not seen.before:\n        return seen\n"
                '    json = __import__("json")\n'
                "    fields = json.loads(seen.before)\n"
                '    loaded = {name: instance._loaded.get(name, fields[name]) for name in ("stage", "pipeline", "name") if name in fields}\n'
                "    return capture.Seen(json.dumps(fields | loaded), seen.subscriptions)\n\n\n"
                "def _is_inserted_unasked(",
            ),
            by=(PATHS, CHAINED),
        ),
        planted(
            "many-rows-read-without-their-locks",
            "update reads what rows were before it holds them",
            edit(BULK, "        .select_for_update(no_key=True)\n", ""),
            edit(
                STATEMENTS,
                "ORDER BY r.{pk_sql(watch)} FOR NO KEY UPDATE OF r\n",
                "ORDER BY r.{pk_sql(watch)}\n",
            ),
            by=CHAINED,
        ),
    ),
    *breaking(
        "Of those who change a row on a condition at once, one does",
        planted(
            "update-without-the-filter-again",
            "update writes all rows that it found before it waited for them",
            edit(
                BULK,
                "original(rows._chain().filter(pk__in=",
                "original(QuerySet(rows.model, using=DEFAULT_DB_ALIAS).filter(pk__in=",
            ),
            by=(
                "test_record_races.py::test_given_eight_who_take_what_is_open_then_one_wins_and_one_event_says_so",
                "test_record_races.py::test_given_eight_who_take_all_that_is_open_then_each_row_is_won_once",
            ),
        ),
        planted(
            "upsert-without-the-second-look",
            "what somebody else made between look and write counts as made by all who wrote it",
            edit(UPSERTING, "    if may_repeat and any(", "    if False and any("),
            by="test_record_races.py::"
            "test_given_eight_upserts_of_one_new_key_then_one_made_it_and_the_rest_changed_it",
        ),
        planted(
            "update-locks-in-the-order-asked-for",
            "update locks its rows in whatever order its queryset has",
            edit(
                BULK,
                '        .order_by("pk")\n        .select',
                "        .order_by(*rows.query.order_by)\n        .select",
            ),
            by="test_record_races.py::test_given_a_row_held_by_another_then_an_update_holds_none_behind_it",
        ),
    ),
    *breaking(
        "Only a change of a watched field fires",
        planted(
            "quiet-fields-fire",
            "the time of the last save counts as a change",
            edit(
                "triggers/records/watching.py",
                'if getattr(field, "auto_now", False)',
                'if getattr(field, "auto_now", False) and False',
            ),
            by="test_record_rules.py::test_a_field_that_changes_with_every_save_is_no_change_by_itself",
        ),
        planted(
            "any-field-is-asked-for",
            "a trigger hears of every change, whatever fields it names",
            edit(STATEMENTS, "    CONTINUE WHEN NOT is_asked_for;\n", ""),
            by=PATHS,
        ),
        planted(
            "loaddata-fires",
            "what loaddata puts back counts as a change where the database captures",
            edit(FUNCTIONS, "IF told_cause[1] = '{loaded}' THEN", "IF false THEN"),
            by=PATHS,
        ),
    ),
    *breaking(
        "What passes Django by is noted, and `bin/manage verify` says so",
        planted(
            "detector-ignores-inserts",
            "records that are inserted past Django are not noted",
            edit(DATABASE, '{"INSERT": "lightfield_seen_insert", "UPDATE"', '{"UPDATE"'),
            by=NOTED,
        ),
        planted(
            "detector-counts-statements",
            "a statement past Django counts as one row",
            edit(DATABASE, "TG_OP, count(*) FROM", "TG_OP, 1 FROM"),
            by=NOTED,
        ),
        planted(
            "detector-trusts-a-mark-anywhere",
            "a statement that holds our mark anywhere counts as ours",
            edit(
                DATABASE,
                "right(current_query(), {length}) <> '{mark}'",
                "position('{mark}' IN current_query()) = 0",
            ),
            by="test_uncaptured_writes.py::test_a_mark_in_the_middle_of_a_statement_hides_nothing",
        ),
        planted(
            "fold-forgets",
            "of many notes only the number of one is kept",
            edit(
                UNCAPTURED,
                "SELECT entity, operation, sum(rows), sum",
                "SELECT entity, operation, max(rows), sum",
            ),
            by=(
                "test_uncaptured_writes.py::"
                "test_given_many_notes_when_swept_then_one_of_each_kind_holds_them_all",
                "test_uncaptured_writes.py::"
                "test_given_folds_and_writers_and_one_who_forgets_at_once_then_each_row_is_counted_once",
            ),
        ),
        planted(
            "notes-never-folded",
            "the table of notes grows for ever",
            edit("executions/tasks.py", "    uncaptured.fold()\n", ""),
            by="test_uncaptured_writes.py::"
            "test_given_many_notes_when_swept_then_one_of_each_kind_holds_them_all",
        ),
        planted(
            "disabled-trigger-counts-as-there",
            "verify is content with database triggers that are switched off",
            edit(DATABASE, "x.tgenabled IN ('O', 'A')\n", "true\n"),
            by="test_uncaptured_writes.py::test_a_table_that_is_otherwise_is_named",
        ),
    ),
    *breaking(
        "Where the database captures, it tells whoever asks now, and nobody else",
        planted(
            "publication-compiles-nothing",
            "what the database knows of who asks is what migrate left",
            edit(WHO_ASKS, "  PERFORM lightfield_compile_who_asks();\n", ""),
            by="test_who_asks.py::test_what_is_compiled_is_what_the_rows_say",
        ),
        planted(
            "pause-compiles-nothing",
            "who asks is compiled when a trigger changes, and not when its workflow does",
            edit(WHO_ASKS, "UPDATE OF status, active_version_id OR DELETE", "DELETE"),
            by="test_who_asks.py::test_a_workflow_that_takes_no_events_is_not_told",
        ),
        planted(
            "truncate-compiles-nothing",
            "rows that a TRUNCATE took still ask",
            edit(WHO_ASKS, "AFTER TRUNCATE {on}", "AFTER DELETE {on}"),
            by="test_who_asks.py::test_given_rows_that_raw_sql_changes_then_that_is_compiled_too",
        ),
        planted(
            "two-compile-at-once",
            "of two publications at once the later forgets the earlier",
            edit(WHO_ASKS, "  PERFORM pg_advisory_xact_lock({{lock}});\n", ""),
            by="test_who_asks.py::test_given_two_publications_at_once_then_both_are_compiled",
        ),
        planted(
            "everything-compiles",
            "every edit of a draft has all sessions plan anew",
            edit(WHO_ASKS, "  IF {_SOURCE} IS NOT DISTINCT FROM {_STORED} THEN\n", "  IF false THEN\n"),
            by="test_who_asks.py::test_edits_of_drafts_and_other_workflows_compile_nothing",
        ),
        planted(
            "stale-constant-unnoticed",
            "verify does not compare what the database knows with the rows",
            edit(DATABASE, "modes.is_database_capturing() and _is_stale()", "False"),
            by="test_who_asks.py::test_given_what_was_compiled_otherwise_then_verify_tells_and_migrate_mends_it",
        ),
        planted(
            "database-asks-for-any-field",
            "where the database captures, a change of any field fires",
            edit(SPECIALISING, "IF NOT (%s) THEN", "IF NOT (%s) AND false THEN"),
            by=PATHS,
        ),
        planted(
            "database-tells-all-who-ask",
            "of several who ask for fields of one table, each is told of what another asked for",
            edit(SPECIALISING, "CONTINUE WHEN NOT (asker.fields = '{{}}' OR diff ?| asker.fields);", ""),
            by=SPECIALISED,
        ),
        planted(
            "other-fields-not-compared",
            "where the database captures, an event tells only of the changed fields that somebody named",
            edit(SPECIALISING, "IF was *<> NEW THEN", "IF false THEN"),
            by=SPECIALISED,
        ),
        planted(
            "gone-column-asks-for-any-field",
            "while a column is gone, a change of any field fires",
            edit(
                SPECIALISING, "IF diff IS NULL OR NOT diff ?| %L THEN", "IF diff IS NULL OR %L IS NULL THEN"
            ),
            by="test_specialised_captures.py::"
            "test_given_the_very_column_that_was_asked_for_is_gone_then_other_changes_do_not_fire",
        ),
        planted(
            "captures-not-made-for-who-asks",
            "a publication leaves the functions that capture as they were",
            edit(WHO_ASKS, "  PERFORM lightfield_compile_captures();\n", ""),
            by=(
                "test_who_asks.py::"
                "test_given_a_connection_that_saved_before_when_another_publishes_then_its_next_save_is_told",
            ),
        ),
        planted(
            "migrate-leaves-functions-of-before",
            "a function of another release stays until the next publication",
            edit(DATABASE, "            cursor.execute(specialising.COMPILE_NOW)\n", ""),
            by="test_specialised_captures.py::"
            "test_given_a_function_of_another_release_then_verify_tells_and_migrate_mends_it",
        ),
        planted(
            "all-functions-made-anew",
            "every publication has all sessions read the functions of all watched tables again",
            edit(SPECIALISING, "p WHERE p.body <> p.prosrc", "p"),
            by="test_specialised_captures.py::test_nobody_else_s_functions_are_made_anew_by_a_publication",
        ),
        planted(
            "types-dropped-at-once",
            "a save in the middle of the function before finds its type gone",
            edit(DATABASE, "        if not superfluous and not missing:\n", "        if True:\n"),
            by="test_row_types.py::test_given_functions_made_anew_then_the_type_before_leaves_one_migrate_later",
        ),
        planted(
            "longer-values-cut",
            "a column that a migration has just made longer is told as long as it was",
            edit("triggers/records/columns.py", 'return re.sub(r"\\(.*?\\)", "", kind) if', "return kind if"),
            by="test_row_types.py::test_given_a_column_that_grew_longer_then_its_values_are_told_whole",
        ),
    ),
    *breaking(
        "The database gives events ids in the order of their changes, and no two the same",
        planted(
            "captured-id-of-another-version",
            "whoever reads the instant of an event from its id is told that it has none",
            edit(DATABASE, "PLACING '7' FROM 14", "PLACING '4' FROM 14"),
            by=f"{IDS}::test_they_are_of_version_7_and_between_what_python_makes_before_and_after",
        ),
        planted(
            "captured-id-without-microseconds",
            "what one transaction changes within a millisecond comes in no order",
            edit(DATABASE, "* 4096000)::bigint + {1 << 60}", "* 1000)::bigint * 4096 + {1 << 60}"),
            by=(
                f"{IDS}::test_changes_of_one_transaction_keep_their_order",
                f"{CLOCK}::test_microseconds_keep_their_order",
            ),
        ),
        planted(
            "captured-id-of-the-instant-alone",
            "two events of one microsecond have one id, and the second save fails",
            edit(
                DATABASE, "to_hex(random({least}, {most - (1 << 32)}) + pg_backend_pid())", "to_hex({least})"
            ),
            by=f"{CLOCK}::test_given_sessions_of_one_seed_at_one_instant_then_their_ids_differ",
        ),
        planted(
            "captured-ids-of-one-seed-meet",
            "sessions that were given one seed make one id in one microsecond, and a save fails",
            edit(DATABASE, " + pg_backend_pid())", ")"),
            by=f"{CLOCK}::test_given_sessions_of_one_seed_at_one_instant_then_their_ids_differ",
        ),
        planted(
            "captured-id-a-digit-short",
            "with a clock before 2004 there are 31 digits, and every captured save fails",
            edit(
                DATABASE,
                "    ordered = f\"right(overlay(to_hex({instant}) PLACING '7' FROM 14 FOR 0), 16)\"\n",
                '    instant = instant.partition(" + ")[0]\n'
                "    ordered = f\"'0' || overlay(to_hex({instant}) PLACING '7' FROM 12 FOR 0)\"\n",
            ),
            by=f"{CLOCK}::test_whatever_the_clock_says_it_is_an_id_of_that_instant",
        ),
        planted(
            "captured-ids-before-17-in-no-order",
            "before PostgreSQL 17 what one transaction changes within a millisecond comes in no order",
            edit(
                DATABASE,
                "return f\"{ordered} || right(encode(uuid_send(gen_random_uuid()), 'hex'), 16)\"",
                "return \"encode(uuid_send(uuid_v7()), 'hex')\"",
            ),
            by=(
                f"{IDS}::test_changes_of_one_transaction_keep_their_order",
                f"{CLOCK}::test_microseconds_keep_their_order",
            ),
        ),
    ),
    *breaking(
        "Publishing and archiving are done whole, or were never begun",
        planted(
            "publish-committed-halfway",
            "a version is active before the trigger follows it",
            edit(
                SERVICES,
                '    crashpoint("CP-P1")\n',
                '    transaction.get_connection().connection.commit()\n    crashpoint("CP-P1")\n',
            ),
            by="test_publish_deaths.py::"
            "test_given_a_death_while_publishing_then_the_old_version_is_whole_and_doing_it_again_makes_the_new_one",
        ),
        planted(
            "archive-committed-halfway",
            "a workflow is archived before its trigger knows and before anybody wrote down who did it",
            edit(
                SERVICES,
                '    crashpoint("CP-P2")\n',
                '    transaction.get_connection().connection.commit()\n    crashpoint("CP-P2")\n',
            ),
            by="test_publish_deaths.py::"
            "test_given_a_death_while_archiving_then_the_workflow_goes_on_and_doing_it_again_ends_it",
        ),
        planted(
            "trigger-follows-nobody",
            "the trigger keeps the config of the first version",
            edit(
                "triggers/publication.py",
                "    trigger.kind, trigger.config = kind, config\n    trigger.signing",
                "    trigger.kind, trigger.config = kind, trigger.config or config\n    trigger.signing",
            ),
            by="test_publish_deaths.py::"
            "test_given_a_death_while_publishing_then_the_old_version_is_whole_and_doing_it_again_makes_the_new_one",
        ),
    ),
)
