"""Mutants of how models are asked."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

KEYS = "executions/agents/keys.py"
TRANSPORT = "executions/agents/transport.py"
ASKED = "executions/agents/models_asked.py"
ERRORS = "executions/agents/model_errors.py"

MUTANTS = (
    *breaking(
        "A model's key goes to its host and nowhere else, and is in nothing that comes back",
        planted(
            "installed-key-to-any-host",
            "the installation's key goes wherever a question goes",
            edit(
                KEYS,
                "        if target.origin != parse_target(installed_address()).origin:",
                "        if False:",
            ),
            by="integration/agents/test_models_keys.py::test_given_another_host_then_the_key_of_the_installation_does_not_go_there",
        ),
        planted(
            "key-given-to-the-library",
            "the library's client has the installation's key",
            edit(
                ASKED,
                'PLACEHOLDER: Final = "no-key"',
                'PLACEHOLDER = __import__("os").environ.get("LIGHTFIELD_AI_API_KEY") or "sk-canary-of-the-model-0123456789"',
            ),
            by="integration/agents/test_models_keys.py::test_given_a_question_then_the_library_never_has_the_key",
        ),
        planted(
            "headers-of-the-library-leave",
            "what a library finds in the environment goes out",
            edit(
                TRANSPORT,
                "for name in _SENT if name in request.headers}",
                'for name in request.headers if name not in ("host", "content-length", "connection")}',
            ),
            by="integration/agents/test_models_asked.py::test_given_a_question_then_its_key_its_trace_and_nothing_of_the_libraries_is_sent",
        ),
        planted(
            "answer-echoes-the-key",
            "an answer is not searched for the key",
            edit(TRANSPORT, "body=hiding.hidden(answer.body)", "body=answer.body"),
            by=(
                "integration/agents/test_models_keys.py::test_given_a_key_of_the_step_then_it_arrives_and_no_answer_has_it",
                "integration/agents/test_models_keys.py::test_given_the_key_of_the_installation_then_it_arrives_and_no_answer_has_it",
            ),
        ),
    ),
    *breaking(
        "A question is one request at most, sent under the rules of every other",
        planted(
            "question-sent-twice",
            "a library that asks again is let through",
            edit(TRANSPORT, "        if self._is_sent:", "        if False:"),
            by="integration/agents/test_models_wrong.py::test_given_a_library_that_asks_twice_then_the_second_request_stays_here",
        ),
        planted(
            "question-without-its-turn",
            "a retry of a question costs its host's budget nothing",
            edit(
                TRANSPORT, "turn=Turn(is_retry=question.is_retry, held_for=question.held_for)", "turn=Turn()"
            ),
            by="integration/agents/test_models_wrong.py::test_given_more_retries_than_a_host_may_get_then_a_question_is_put_back_unsent",
        ),
        planted(
            "question-without-its-lease",
            "a question leaves although its step was taken over",
            edit(TRANSPORT, "            before_sending=question.before_sending,\n", ""),
            by="integration/agents/test_models_wrong.py::test_given_a_step_that_was_taken_over_then_its_question_stays_here",
        ),
    ),
    *breaking(
        "Whatever a provider answers is one code, and never an error of a library",
        planted(
            "library-tells-the-error",
            "what a library makes of an error is taken for the error",
            edit(ASKED, "        if transport.error is not None:", "        if False:"),
            by="integration/agents/test_models_wrong.py::test_given_a_status_then_the_code_says_what_it_means",
        ),
        planted(
            "quota-taken-for-a-limit",
            "an account without credit is asked again and again",
            edit(ERRORS, "    if words & _QUOTA or (", "    if words & frozenset() or ("),
            by="unit/test_model_errors.py::test_given_a_refusal_then_its_code_is_what_it_means",
        ),
    ),
    *breaking(
        "An account without credit is told as that, is not tried again, and shuts its provider to nobody else",
        planted(
            "quota-held-against-the-host",
            "an account without credit shuts its provider's host to everybody",
            edit(TRANSPORT, "            is_own_fault=model_errors.is_of_the_account,\n", ""),
            by="integration/agents/test_models_wrong.py::"
            "test_given_an_account_without_credit_then_its_host_stays_open_to_others",
        ),
    ),
    *breaking(
        "Questions wait side by side, in their steps' threads, and leave nothing open",
        planted(
            "question-in-an-event-loop",
            "a question is asked inside a running event loop",
            edit(
                TRANSPORT,
                "        question.send(None)\n",
                '        return __import__("asyncio").run(question)\n',
            ),
            by="integration/agents/test_models_side_by_side.py::test_given_a_question_then_what_egress_asks_for_runs_in_the_steps_own_thread_and_context",
        ),
    ),
)
