"""Mutants of what people see of agents, and of agents in authors' tests."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

SHOWN = "executions/agents/transcript.py"
PAGE = "test_agents_in_the_admin.py"
API = "test_agents_in_the_api.py"
TESTING = "integration/agents/test_in_an_authors_test.py"

SEEN = (
    *breaking(
        "Whatever a model or its data says is text: no markup, link, picture or address of the page comes of it",
        planted(
            "answers-as-markup",
            "what a model says is put into the page as it is",
            edit(
                "lightfield/templatetags/look.py",
                '        "left_out": plain_words.size(len(text) - SHOWN_CHARACTERS) if len(text) > SHOWN_CHARACTERS else "",\n'
                '        "is_long"',
                '        "left_out": "",\n        "text": mark_safe(text),\n        "is_long"',
            ),
            by=f"{PAGE}::test_whatever_a_model_or_its_data_says_is_text",
        ),
        planted(
            "data-as-markup",
            "what a template filled into a prompt is put into the page as it is",
            edit(
                "executions/agents/story.py",
                "    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)\n",
                "    from django.utils.safestring import mark_safe\n\n"
                "    return mark_safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))\n",
            ),
            by=f"{PAGE}::test_whatever_a_model_or_its_data_says_is_text",
        ),
    ),
    *breaking(
        "Of an agent's journal no secret is shown, nor what only the library needs, and to who may not see content no content",
        planted(
            "raw-answers-shown",
            "the API gives what the library keeps of an answer",
            edit(SHOWN, 'then=_WithoutRaw(F("answer"))', 'then=F("answer")'),
            by=f"{API}::test_turns_are_a_page_in_order_without_what_the_library_keeps",
        ),
        planted(
            "arguments-with-secrets",
            "a password in a tool's arguments is shown",
            edit(SHOWN, "{name: without_secrets(value) for", "{name: value for"),
            by=f"{API}::test_secrets_in_arguments_requests_and_results_are_replaced",
        ),
        planted(
            "results-with-secrets",
            "a token in what a tool returned is shown",
            edit(SHOWN, "    return without_secrets(turn.told)", "    return (turn.told)"),
            by=f"{API}::test_secrets_in_arguments_requests_and_results_are_replaced",
        ),
        planted(
            "transcript-for-everybody",
            "who may not see what came in sees what the model made of it",
            edit(
                "executions/admin.py", "shows_content=request.user.has_perm(CONTENT),", "shows_content=True,"
            ),
            by=f"{PAGE}::test_who_may_not_see_content_sees_figures_tools_and_codes_only",
        ),
    ),
)

IN_TESTS = (
    *breaking(
        "In an author's test no model is asked; a question without an answer fails the test, as does an agent that leaves its recorded transcript",
        planted(
            "real-models-in-tests",
            "the agents of a test ask whom they would ask in production",
            edit(
                "lightfield/testing/running.py",
                "asking.use(fakes.ask)\n",
                "asking.use(None)\n",
            ),
            by=f"{TESTING}::test_a_question_without_an_answer_fails_the_test_and_says_what_was_asked",
        ),
        planted(
            "unanswered-question-forgiven",
            "a question without an answer fails its step and not the test",
            edit("lightfield/testing/fakes.py", "        if self.unanswered:\n", "        if False:\n"),
            by=f"{TESTING}::test_a_question_without_an_answer_fails_the_test_and_says_what_was_asked",
        ),
        planted(
            "calls-not-compared",
            "a recorded call may end in any way",
            edit(
                "lightfield/testing/recordings.py", "            if was != came:\n", "            if False:\n"
            ),
            by=f"{TESTING}::test_the_first_call_that_ends_otherwise_is_told",
        ),
        planted(
            "early-end-forgiven",
            "a recording may be left before its end",
            edit("lightfield/testing/fakes.py", "model.mismatch or model.unfinished()", "model.mismatch"),
            by=f"{TESTING}::test_a_turn_more_than_recorded_and_a_turn_less_are_told",
        ),
        planted(
            "ids-of-another-database",
            "a replayed model speaks of the records of the run that was recorded",
            edit(
                "lightfield/testing/recordings.py", "        yield then, now\n", "        yield then, then\n"
            ),
            by=f"{TESTING}::test_a_recorded_transcript_is_replayed_while_the_tools_run_for_real",
        ),
    ),
)
