"""Mutants of agents: of what is journaled, by whom and when, of their limits, and of what strangers say."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

JOURNAL = "executions/agents/journal.py"
JOURNAL_STATEMENTS = "executions/agents/journal_statements.py"
CALLING = "executions/agents/calling.py"
LOOP = "executions/agents/loop.py"
SPENDING = "executions/agents/spending.py"
SCHEMAS = "executions/agents/schemas.py"
PATTERNS = "executions/agents/patterns.py"
SLOW = "bugs/test_a_pattern_of_a_schema_stopped_a_worker.py::"
KEEPING = "executions/agents/keeping.py"
MEASURING = "executions/agents/measuring.py"

WRITTEN = "integration/agents/test_journal.py::"
LOST_REPLY = "integration/agents/test_journal_lost_replies.py::"
ATTEMPTED = "integration/agents/test_attempts.py::"
REPLAYED = "bugs/test_a_replayed_agent_sent_again_under_new_keys.py::"
LONG = "integration/agents/test_long_conversations.py::"
GROWN = "test_given_a_conversation_that_has_grown_too_long_then_the_model_is_not_asked_again"
LOOPED = "integration/agents/test_loop.py::"
HOSTILE = "integration/agents/test_hostile_models.py::"
DEATH = (
    "integration/agents/test_deaths.py::"
    "test_given_a_death_anywhere_then_the_agent_goes_on_after_its_last_finished_turn"
)
ONE_TRANSACTION = WRITTEN + "test_what_a_tool_writes_and_its_row_are_one_transaction"
TAKEN_OVER = WRITTEN + "test_given_a_step_taken_over_when_its_first_worker_wakes_then_nothing_is_journaled"
CANCELLED = WRITTEN + "test_given_a_run_that_was_cancelled_then_nothing_more_is_journaled"

JOURNALED = (
    *breaking(
        "An agent goes on after its last finished turn, whatever dies in it",
        planted(
            "agent-begins-anew",
            "an attempt does not look at what earlier ones did",
            edit(JOURNAL, "        if context.attempt > 1:\n", "        if False:\n"),
            by=(
                DEATH,
                ATTEMPTED
                + "test_given_a_transient_error_after_some_turns_then_the_next_attempt_goes_on_there",
            ),
        ),
        planted(
            "request-sent-before-it-is-journaled",
            "a tool's request leaves before it stands in the journal",
            edit(
                JOURNAL,
                "        asked = self._flushed()\n        begun = replace(turn, asked=_read(asked))\n",
                "        begun = turn\n",
            ),
            by="integration/agents/test_loop.py::"
            "test_given_a_tool_that_sends_then_its_request_is_committed_before_it_leaves",
        ),
        planted(
            "what-is-known-dies-with-the-attempt",
            "an attempt that ends by an error forgets what was answered and is not written yet",
            edit(
                LOOP,
                "            self.journal.flush()  # whatever ends the attempt, what has happened is known\n",
                "",
            ),
            by=LOOPED + "test_a_loop_ends_at_its_limit_with_what_it_has_used",
        ),
    ),
    *breaking(
        "What an agent's tool writes is written exactly once, with its row of the journal",
        planted(
            "tool-committed-before-its-row",
            "a tool's write is committed, and its row in a transaction of its own",
            edit(
                JOURNAL,
                "                done = replace(turn, answer=answer, seconds=time.monotonic() - began)\n"
                "                self._write([done], [])\n"
                "                unknown_to_others()\n",
                "                done = replace(turn, answer=answer, seconds=time.monotonic() - began)\n"
                "            unknown_to_others()\n"
                "            self._write([done], [])\n",
            ),
            by=(ONE_TRANSACTION, DEATH),
        ),
        planted(
            "lost-commit-done-again",
            "a tool whose COMMIT was not answered is run again without a look",
            edit(
                JOURNAL,
                "        if is_repeated and (found := self._found([replace(turn, seconds=0.0)])):\n",
                "        if False and (found := self._found([replace(turn, seconds=0.0)])):\n",
            ),
            by=LOST_REPLY + "test_given_a_writing_tool_whose_reply_is_lost_then_it_has_written_once",
        ),
        planted(
            "lost-refusal-told-twice",
            "a write whose reply was lost is made again without a look",
            edit(
                JOURNAL,
                "            if is_repeated and len(found := self._found(self._pending)) == len(self._pending):\n",
                "            if False and len(found := self._found(self._pending)) == len(self._pending):\n",
            ),
            by=(
                LOST_REPLY
                + "test_given_a_turn_whose_reply_is_lost_then_it_is_there_once_and_nothing_is_asked_again",
                LOST_REPLY + "test_given_refusals_whose_reply_is_lost_then_the_timeline_tells_them_once",
            ),
        ),
    ),
    *breaking(
        "Whoever lost an agent's step journals nothing, writes nothing and asks nobody",
        planted(
            "turn-under-any-fence",
            "a turn is written whoever holds the step by now",
            edit(
                JOURNAL_STATEMENTS,
                " AND s.fence = %(fence)s::int\n    AND s.status || '' = 'running'\n",
                "\n",
            ),
            by=(TAKEN_OVER, CANCELLED),
        ),
        planted(
            "tool-writes-without-the-lock",
            "a tool writes before anybody has looked whose step it is",
            edit(
                JOURNAL,
                '                transacting.lock(context.run_id, context.step_run_id, context.fence, was="running")\n',
                "",
            ),
            by=WRITTEN + "test_given_a_zombie_then_the_tools_own_code_is_not_even_asked",
        ),
        planted(
            "asked-under-a-lease-that-is-over",
            "the lease is not looked at before a model is asked",
            edit(LOOP, "        self.context.before_sending()\n", ""),
            by=ATTEMPTED + "test_given_a_worker_whose_lease_is_over_then_it_asks_nobody",
        ),
        planted(
            "finished-turn-written-again",
            "a row that is finished can be finished once more",
            edit(JOURNAL_STATEMENTS, "  WHERE t.finished_at IS NULL AND t.key = excluded.key\n", ""),
            by=WRITTEN + "test_a_finished_row_is_never_written_again_not_even_by_its_owner",
        ),
    ),
    *breaking(
        "Under one key an agent sends one request, also in replays",
        planted(
            "call-keys-of-the-effect",
            "a replay sends whatever its model wants under the keys of the run that it replays",
            edit(
                JOURNAL,
                '        self._own_key = f"{context.run_id}:{context.step_key}"\n',
                "        self._own_key = context.idempotency_key\n",
            ),
            by=ATTEMPTED
            + "test_given_a_replay_then_the_agent_begins_anew_and_what_it_sends_again_has_the_key_that_it_had",
        ),
        planted(
            "replay-forgets-its-keys",
            "a replay sends the same request again under a new key",
            edit(
                JOURNAL,
                "        return self._kept_keys.key_of(turn.name, request, used) or turn.key\n",
                "        return turn.key\n",
            ),
            by=ATTEMPTED
            + "test_given_a_replay_then_the_agent_begins_anew_and_what_it_sends_again_has_the_key_that_it_had",
        ),
        planted(
            "replay-remembers-with-its-effect-only",
            "a replay of an agent that failed by an answer or a limit sends the same request again under a new key",
            edit(
                JOURNAL,
                "        if context.is_replay:\n",
                "        if context.idempotency_key != self._own_key:\n",
            ),
            by=REPLAYED
            + "test_given_an_agent_that_failed_by_its_limit_when_replayed_then_what_it_sent_keeps_its_key",
        ),
        planted(
            "taken-and-forgotten",
            "a request that was taken is sent again under a new key in a replay, because its answer was of no use",
            edit(
                "executions/agents/kept_keys.py",
                "(t.error_code IS NULL OR t.answer->'error'->'details'->>'status_code' LIKE '2__')",
                "t.error_code IS NULL",
            ),
            by=REPLAYED
            + "test_given_a_request_that_was_taken_with_an_unusable_answer_then_a_replay_keeps_its_key",
        ),
        planted(
            "refused-under-its-old-key",
            "a request that was answered with a refusal goes out under the same key in a replay",
            edit("executions/agents/kept_keys.py", "!~ '^4(?!08|09|25|29)'", "!~ '^x'"),
            by=REPLAYED + "test_given_a_status_that_is_told_to_the_model_then_only_a_refusal_gets_a_new_key",
        ),
        planted(
            "sent-as-it-came",
            "the first attempt sends a request in another spelling than the journal has",
            edit(JOURNAL, "        begun = replace(turn, asked=_read(asked))\n", "        begun = turn\n"),
            by="bugs/test_an_agents_second_attempt_sent_another_spelling.py::"
            "test_given_a_request_that_may_have_been_sent_then_the_next_attempt_sends_the_very_same_text",
        ),
    ),
    *breaking(
        "An effect of an agent that has done something is never told as abandoned",
        planted(
            "acted-and-abandoned",
            "only the attempts say whether an agent has done something",
            edit(
                "executions/settling.py",
                "          SELECT 1 FROM executions_agentturn x WHERE x.step_run_id = e.step_run_id) THEN 'unknown'\n",
                "          SELECT 1 FROM executions_agentturn x WHERE false AND x.step_run_id = e.step_run_id) THEN 'unknown'\n",
            ),
            by=ATTEMPTED
            + "test_given_a_host_that_is_waited_for_in_vain_then_the_effect_of_an_agent_that_has_acted_is_not_abandoned",
        ),
    ),
)

BOUNDED = (
    *breaking(
        "An agent ends at each of its limits",
        planted(
            "no-limit-of-bytes",
            "a conversation of any length goes out",
            edit(LOOP, "        self._check_length()\n", ""),
            by=(LONG + GROWN, LONG + "test_given_a_resumed_attempt_then_what_earlier_ones_said_counts"),
        ),
        planted(
            "answers-of-tools-not-counted",
            "what tools answered is not counted in a conversation",
            edit(MEASURING, ") + _of_told(told)\n", ")\n"),
            by=(LONG + GROWN, LONG + "test_a_question_is_never_longer_than_what_was_counted"),
        ),
        *(
            planted(
                f"no-limit-of-{name}",
                f"nobody looks at limits.{limit}",
                edit(SPENDING, old, new),
                by=LOOPED + test,
            )
            for name, limit, old, new, test in (
                (
                    "turns",
                    "turns",
                    '        if self.turns >= self.limits["turns"]:\n',
                    "        if self.turns >= 1000:\n",
                    "test_a_loop_ends_at_its_limit_with_what_it_has_used",
                ),
                (
                    "calls",
                    "tool_calls",
                    '        if self.tool_calls >= self.limits["tool_calls"]:\n',
                    "        if self.tool_calls >= 1000:\n",
                    "test_a_loop_ends_at_its_limit_with_what_it_has_used",
                ),
                (
                    "tokens",
                    "tokens",
                    '        if self.tokens > self.limits["tokens"]:\n',
                    "        if False:\n",
                    "test_a_loop_ends_at_its_limit_with_what_it_has_used",
                ),
                (
                    "cost",
                    "cost",
                    "        if self._most_cost is not None and self.cost >= self._most_cost:\n",
                    "        if False:\n",
                    "test_a_loop_ends_at_its_limit_with_what_it_has_used",
                ),
                (
                    "seconds",
                    "seconds",
                    "        if time.monotonic() >= self.deadline:\n",
                    "        if False:\n",
                    "test_given_time_that_is_over_then_no_turn_and_no_call_follows",
                ),
            )
        ),
        planted(
            "time-begins-anew",
            "the time of earlier attempts does not count",
            edit(
                LOOP,
                "            sum(turn.seconds or 0.0 for turn in self.journal.turns),\n",
                "            0.0,\n",
            ),
            by=ATTEMPTED + "test_the_time_of_earlier_attempts_counts",
        ),
        planted(
            "repairs-without-end",
            "a model may give a wrong output until its turns are over",
            edit(LOOP, "        if self.repairs > MOST_REPAIRS:\n", "        if self.repairs > 1000:\n"),
            by=LOOPED + "test_a_model_that_does_not_give_the_output_is_told_twice_and_then_the_step_fails",
        ),
    ),
    *breaking(
        "What a model and its tools say is bounded, can be kept, and holds no secret",
        planted(
            "secret-in-the-journal",
            "a model's answer is journaled with the secrets that came back in it",
            edit(KEEPING, "    arguments = hiding.hidden_json(arguments)\n", ""),
            by=HOSTILE + "test_a_secret_that_comes_back_is_kept_nowhere",
        ),
        planted(
            "any-number-of-calls",
            "all calls of an answer are kept",
            edit(KEEPING, "enumerate(calls[:MOST_CALLS], start=1)", "enumerate(calls, start=1)"),
            by=HOSTILE + "test_whatever_a_model_answers_the_step_goes_on_and_what_is_kept_is_bounded",
        ),
        planted(
            "two-calls-of-one-id",
            "calls with the same id stay so",
            edit(KEEPING, "        while not id or id in ids:\n", "        while False:\n"),
            by=HOSTILE + "test_what_was_changed_is_not_kept_as_it_came",
        ),
    ),
    *breaking(
        "No schema and no value makes a check long or has it ask anybody",
        planted(
            "work-not-counted",
            "a check may take as long as it likes",
            edit(SCHEMAS, "    if left[0] < 0:\n        raise _TooMuchWork\n", ""),
            by="unit/test_agent_schemas.py::test_a_hostile_schema_or_value_ends_within_seconds_of_processor_time",
        ),
        planted(
            "references-to-anywhere",
            "a schema may refer to other documents",
            edit(
                SCHEMAS,
                '    if not reference.startswith("#"):\n        return False\n',
                '    if not reference.startswith("#"):\n        return True\n',
            ),
            by="unit/test_agent_schemas.py::test_a_schema_that_cannot_be_used_is_refused_with_its_place",
        ),
        planted(
            "any-length-of-a-pattern",
            "a pattern may be of any length with its repetitions",
            edit(PATTERNS, "        left -= length(pattern)\n", ""),
            by=SLOW + "test_a_pattern_that_is_long_with_its_repetitions_is_refused",
        ),
        planted(
            "matches-not-counted",
            "a match of a long text is no work",
            edit(SCHEMAS, "    _spend(1 + patterns.work_of(pattern, text))\n", "    _spend(1)\n"),
            by=SLOW + "test_a_match_that_takes_too_long_is_not_begun",
        ),
        planted(
            "errors-that-quote-everything",
            "errors quote the whole value, however many there are",
            edit(SCHEMAS, "            _spend(len(error.message) // QUOTED_CHARS)\n", ""),
            by=SLOW + "test_errors_that_quote_a_large_value_are_neither_kept_nor_made_without_end",
        ),
    ),
    *breaking(
        "A model reads which text is data, and no data can end its block",
        planted(
            "mark-of-the-run-alone",
            "whoever knows the run knows the mark",
            edit(
                "executions/agents/prompting.py",
                "salted_hmac('lightfield.agents.data', key, algorithm='sha256')",
                "__import__('hashlib').sha256(key.encode())",
            ),
            by="unit/test_agent_prompting.py::test_the_mark_is_the_runs_own_and_the_same_in_every_attempt",
        ),
        planted(
            "data-ends-its-block",
            "data that holds the mark stands there as it is",
            edit("executions/agents/prompting.py", "{text.replace(mark, CUT_MARK)}", "{text}"),
            by="unit/test_agent_prompting.py::test_data_that_knows_the_mark_does_not_end_its_block",
        ),
        planted(
            "mark-joined",
            "a mark that is cut out of data leaves another one",
            edit(
                "executions/agents/prompting.py", "{text.replace(mark, CUT_MARK)}", "{text.replace(mark, '')}"
            ),
            by="unit/test_agent_prompting.py::test_a_mark_within_a_mark_does_not_end_its_block_either",
        ),
    ),
    *breaking(
        "What an agent may not do is not done, and told to its model and to the timeline",
        planted(
            "refusal-not-told",
            "a refusal stands in the journal alone",
            edit(
                CALLING,
                "        refusal = _refusal(self._context, done) if is_denied else None\n",
                "        refusal = None\n",
            ),
            by=LOOPED + "test_what_is_not_permitted_is_told_to_the_model_and_to_the_timeline",
        ),
        planted(
            "arguments-not-judged",
            "a tool gets whatever the model says",
            edit(
                CALLING,
                "        if problems := permitted.schema.problems(wanted.arguments):\n",
                "        if problems := []:\n",
            ),
            by=LOOPED + "test_arguments_that_do_not_fit_are_told_to_the_model",
        ),
    ),
)

MUTANTS = (*JOURNALED, *BOUNDED)
