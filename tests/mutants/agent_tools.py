"""Mutants of an agent's tools: of each line that stands between a malicious model and what its step does not permit."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

SCOPE = "crm/tools/scope.py"
READING = "crm/tools/read_records.py"
WRITING = "crm/tools/write_records.py"
REFERENCES = "crm/tools/references.py"
UNREAD = "crm/tools/unread.py"
HTTP = "executions/agents/tools/http.py"
CUTTING = "executions/agents/tools/cutting.py"
RECORDS = "integration/agents/test_tools_records.py::"
SENDING = "integration/agents/test_tools_http.py::"
UNIT = "unit/test_agent_tools.py::"
MALICIOUS = (
    "integration/agents/test_tools_injections.py::"
    "test_whatever_a_malicious_model_tries_it_reads_writes_and_sends_what_is_permitted_and_nothing_else"
)

MUTANTS = (
    *breaking(
        "An agent reads and writes records of the entities that its step permits, by the operations that it permits, and no others",
        planted(
            "any-entity-read-and-written",
            "a tool does what it is asked for whatever the entity",
            edit(
                SCOPE,
                "        if not isinstance(name, str) or name not in known:\n",
                "        if name not in ENTITIES:\n",
            ),
            by=(
                MALICIOUS,
                RECORDS + "test_another_entity_is_refused_in_the_same_words_whether_or_not_there_is_one",
                RECORDS + "test_an_operation_is_permitted_by_the_grant_that_names_the_entity_too",
            ),
        ),
        planted(
            "grants-mixed",
            "an operation of one grant is permitted on the entities of another",
            edit(
                SCOPE,
                "    def names(self, operation: str) -> list[str]:\n",
                "    def names(self, operation: str) -> list[str]:\n"
                "        writes = [names for one, names in self.permitted.items() if one != READING]\n"
                "        if operation in self.permitted and operation != READING:\n"
                "            return [name for name in ENTITIES if any(name in names for names in writes)]\n",
            ),
            by=(
                UNIT + "test_each_grant_is_judged_by_itself",
                RECORDS + "test_an_operation_is_permitted_by_the_grant_that_names_the_entity_too",
            ),
        ),
        planted(
            "tools-without-an-operation",
            "every tool that writes is there as soon as one operation is permitted",
            edit(WRITING, "for tool in WRITING if scope.names(tool.operation)", "for tool in WRITING"),
            by=UNIT + "test_permissions_bring_their_tools_and_no_others",
        ),
        planted(
            "schema-looked-at-first",
            "what is not permitted is told as a mistake, and not in the timeline",
            edit("executions/agents/calling.py", "        permitted.tool.judge(wanted.arguments)\n", ""),
            by="integration/agents/test_tools_injections.py::"
            "test_what_is_not_permitted_is_told_as_that_whatever_else_is_wrong_with_the_arguments",
        ),
        planted(
            "agent-named-as-a-step",
            "the audit trail does not say that it was an agent's tool",
            edit(WRITING, "author_of(context, tool=self.spec.name, call=context.key)", "author_of(context)"),
            by=RECORDS + "test_a_write_is_the_steps_own_and_the_trail_names_run_step_and_tool",
        ),
    ),
    *breaking(
        "What a step may not read does not come back by its writes: not as a result, not by what is refused, not by what matches",
        planted(
            "written-records-told",
            "what was written is told, whether or not it may be read",
            edit(
                WRITING,
                "        if not is_read:\n            return unread.receipt(record, is_new=is_new)\n",
                "",
            ),
            by=(MALICIOUS, RECORDS + "test_of_a_record_that_may_not_be_read_only_a_receipt_comes_back"),
        ),
        planted(
            "matched-by-any-field",
            "an upsert tells whether there is a record with this field",
            edit(WRITING, "            unread.check_match(entity, config.match)\n", ""),
            by=(
                RECORDS + "test_an_upsert_does_not_tell_which_record_has_a_field_that_may_not_be_read",
                RECORDS
                + "test_records_without_a_natural_key_are_meant_by_their_names_where_they_may_not_be_read",
            ),
        ),
        planted(
            "refused-by-what-is-stored",
            "whether a meeting's start is accepted tells its end",
            edit(
                UNREAD, "    if is_new:\n        return\n", "    if is_new or not is_new:\n        return\n"
            ),
            by=(
                RECORDS + "test_whether_a_date_is_accepted_does_not_tell_the_other_one",
                RECORDS + "test_whether_a_field_may_be_cleared_does_not_tell_whether_others_are_set",
            ),
        ),
        planted(
            "constraint-not-known",
            "whether an address may be cleared tells whether there is a name",
            edit(UNREAD, '    "contact_is_somebody": (ONE, ("email", "first_name", "last_name")),\n', ""),
            by=(
                UNIT + "test_constraints_over_several_fields_are_all_known_to_those_who_may_not_read",
                RECORDS + "test_whether_a_field_may_be_cleared_does_not_tell_whether_others_are_set",
            ),
        ),
        planted(
            "refusals-quote",
            "a refusal says what is wrong with what is stored",
            edit(
                UNREAD,
                "        raise permanent(error.code, _bare(error), CATALOGUE[error.code].meaning) from None\n",
                "        raise error\n",
            ),
            by=RECORDS + "test_a_refusal_quotes_nothing_that_is_stored_and_may_not_be_read",
        ),
        planted(
            "any-reference",
            "a reference tells whether there is such a record",
            edit(REFERENCES, "            elif not scope.may_reach(known):\n", "            elif False:\n"),
            by=RECORDS + "test_a_reference_leads_only_to_what_the_step_may_use",
        ),
        planted(
            "people-counted",
            "assigning a task tells whether there is such a person",
            edit(
                REFERENCES,
                '                _check_person(scope, target, value, f"/{part}{pointer_to([name])}")\n',
                "                pass\n",
            ),
            by=RECORDS + "test_whether_there_is_a_person_is_not_told_by_assigning_a_task",
        ),
        planted(
            "author-of-the-models-choice",
            "a model says who created what it writes",
            edit(REFERENCES, "            if name == AUTHOR:\n", "            if False:\n"),
            by=RECORDS + "test_nobody_is_named_as_the_author",
        ),
    ),
    *breaking(
        "An agent's requests go to the hosts that its step permits, by https, without redirects and with no header of its own that says who it is",
        planted(
            "any-host",
            "a request goes wherever egress lets it",
            edit(
                HTTP,
                "            if reach.permits(method, target):\n",
                "            if method in reach.methods:\n",
            ),
            by=(MALICIOUS, SENDING + "test_any_other_place_is_refused_before_anything_is_looked_up"),
        ),
        planted(
            "any-method",
            "a host that may be asked may be written to",
            edit(HTTP, "        return method in self.methods and is_bound(", "        return is_bound("),
            by=(MALICIOUS, SENDING + "test_each_grant_is_judged_by_itself"),
        ),
        planted(
            "agent-sends-in-clear",
            "a permitted host is reached by http",
            edit(
                HTTP,
                "is_bound(self.hosts, target, egress.policy_from_settings().allow)",
                "credential_hosts.written(target.host, target.port) in self.hosts",
            ),
            by=SENDING + "test_any_other_place_is_refused_before_anything_is_looked_up",
        ),
        planted(
            "frozen-request-believed",
            "a request that was frozen is sent whatever the step permits",
            edit(
                HTTP,
                '        reach = self._check(asked["method"], asked["url"])\n',
                "        reach = self.reaches[0]\n",
            ),
            by=SENDING + "test_a_frozen_request_is_judged_again_when_it_is_sent",
        ),
        planted(
            "agents-redirects-followed",
            "a permitted host sends an agent's request on to another",
            edit(
                HTTP,
                "            before_sending=context.before_sending,\n",
                "            before_sending=context.before_sending,\n            allow_redirects=True,\n",
            ),
            by=(MALICIOUS, SENDING + "test_a_redirect_is_told_and_not_followed"),
        ),
        planted(
            "any-header",
            "a model sets headers that say who it is",
            edit(HTTP, "        if name.lower() not in SENT_HEADERS:\n", "        if False:\n"),
            by=(MALICIOUS, SENDING + "test_a_header_that_is_not_on_the_list_is_refused"),
        ),
        planted(
            "agents-key-of-its-own",
            "a call that is made again goes out under another key",
            edit(
                HTTP,
                '"Idempotency-Key": context.key,',
                '"Idempotency-Key": f"{context.key}:{context.attempt}",',
            ),
            by=SENDING + "test_every_attempt_sends_the_same_under_the_same_key",
        ),
    ),
    *breaking(
        "A permission is exact, or the workflow is not published",
        planted(
            "templates-in-grants",
            "a template decides what an agent may do",
            edit(
                "executions/agents/tools/arguments.py",
                "    if templated := [",
                "    if templated := [] and [",
            ),
            by=UNIT + "test_what_is_not_exact_cannot_be_published",
        ),
        planted(
            "private-hosts-published",
            "a workflow is published whose agent may send to addresses that egress never allows",
            edit(
                HTTP,
                "            if (error := _never(host)) is not None\n",
                "            if (error := None) is not None\n",
            ),
            by=UNIT + "test_what_is_not_exact_cannot_be_published",
        ),
    ),
    *breaking(
        "What a tool tells is bounded, and says when something is missing",
        planted(
            "models-drown",
            "a model is told of everything that was found",
            edit(
                CUTTING,
                "    if size(value) <= most_bytes:\n        return value, False\n    if is",
                "    if True:\n        return value, False\n    if is",
            ),
            by=(
                UNIT + "test_whatever_is_too_long_is_cut_to_its_bounds_and_says_so",
                RECORDS + "test_many_records_are_told_with_the_beginnings_of_their_texts_and_one_with_more",
                SENDING + "test_a_long_body_is_cut_and_says_so",
            ),
        ),
        planted(
            "records-left-off-in-silence",
            "a model takes what it is told for all that there is",
            edit(READING, "            notes.append(LEFT_OFF", "            str(LEFT_OFF"),
            by=RECORDS + "test_many_records_are_told_with_the_beginnings_of_their_texts_and_one_with_more",
        ),
    ),
)
