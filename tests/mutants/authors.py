"""Mutants of what authors are told: templates, warnings, codes, and the runs of their own tests."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CATALOGUE = "lightfield/kernel/catalogue.py"
HOSTILE = "unit/test_expressions_hostile.py::test_no_hostile_template_takes_a_second_or_64_mib_of_its_process"
CODES = "architecture/test_codes.py"
TESTING = "test_lightfield_testing.py"
TOO_EARLY = (
    '    Entry("http.too_early", True, None, "The receiver answered 425: it does not want to risk a replayed request.", '
    '"Nothing: a retry usually succeeds."),\n'
)

MUTANTS = (
    *breaking(
        "A template ends within a second and 64 MiB, whatever stands in it and in its data",
        planted(
            "replace-without-a-bound",
            "replace builds what it makes, and looks at its size afterwards",
            edit(
                "workflows/templating/text_filters.py",
                "    room_for_text(len(text) + count * (len(come) - len(gone)))\n",
                "",
            ),
            by=HOSTILE,
        ),
        planted(
            "work-without-a-price",
            "nothing that a template does is paid for",
            edit(
                "workflows/templating/faults.py", "        self.work -= units\n", "        self.work -= 0\n"
            ),
            by=HOSTILE,
        ),
        planted(
            "tags-without-end",
            "a template may have any number of outputs and tags",
            edit("workflows/templating/lexer.py", "    if tags > TAGS_LIMIT:\n", "    if False:\n"),
            by="unit/test_expressions_hostile.py::test_each_limit_is_told_by_its_own_name",
        ),
    ),
    *breaking(
        "An error of a template says in which slot, at which place of it, and which part of a path is missing",
        planted(
            "place-of-the-outermost-tag",
            "who is farthest from a fault says its place",
            edit("workflows/templating/faults.py", "        if self.offset is None:\n", "        if True:\n"),
            by="unit/test_template_places.py::test_what_happens_while_a_template_is_filled_in_is_told_with_line_and_column",
        ),
        planted(
            "first-part-called-missing",
            "the first part of a path is told as the one that is missing",
            edit(
                "workflows/templating/missing.py",
                "            return Missing([root, *rest], index, parent, offset)\n",
                "            return Missing([root, *rest], 1, parent, offset)\n",
            ),
            by="unit/test_template_places.py::test_a_missing_path_is_told_by_its_part_and_what_may_have_been_meant",
        ),
    ),
    *breaking(
        "Publishing warns of a field that no output has, and refuses nothing for it",
        planted(
            "open-objects-taken-for-closed",
            "an object of which nothing is known has no fields",
            edit(
                "workflows/shapes.py",
                "ANYTHING if others else _end(holds, properties)",
                "_end(holds, properties)",
            ),
            by="unit/test_foresight.py::test_an_object_that_does_not_say_which_fields_it_has_may_have_any",
        ),
        planted(
            "defaults-warned-of",
            "a path that a default catches is warned of because one sample lacks it",
            edit("workflows/foresight.py", "    if is_sample and use.is_caught:\n", "    if False:\n"),
            by="unit/test_foresight.py::test_a_sample_is_knowledge_but_others_may_have_more_where_a_default_is_given",
        ),
    ),
    *breaking(
        "Every code that is raised is listed with its meaning and remedy; every one that is listed is raised, and asserted on by a test",
        planted(
            "code-without-an-entry",
            "a code is raised that nobody listed",
            edit(CATALOGUE, TOO_EARLY, ""),
            by=f"{CODES}::test_every_code_that_is_raised_is_listed",
        ),
        planted(
            "entry-that-nobody-raises",
            "a code is listed that nothing raises",
            edit(CATALOGUE, TOO_EARLY, TOO_EARLY + TOO_EARLY.replace("too_early", "too_late")),
            by=(
                f"{CODES}::test_every_code_that_is_listed_is_raised",
                f"{CODES}::test_every_code_that_is_listed_is_raised_in_a_test",
            ),
        ),
    ),
    *breaking(
        "In an author's test nothing leaves the process, and a request without a fake fails the test",
        planted(
            "real-wires-in-tests",
            "the requests of a test go where their URLs lead",
            edit(
                "lightfield/testing/running.py",
                "    before = egress.use(client)\n",
                "    before = egress.use(None)\n",
            ),
            by=f"{TESTING}::test_a_request_without_a_fake_is_refused_and_leaves_nothing",
        ),
        planted(
            "unfaked-request-forgiven",
            "a request without a fake fails its step and not the test",
            edit("lightfield/testing/running.py", "    fakes.check()\n", ""),
            by=f"{TESTING}::test_a_request_without_a_fake_is_refused_and_leaves_nothing",
        ),
    ),
    *breaking(
        "What an author's test sees is what production would have done",
        planted(
            "runs-end-does-not-come-nearer",
            "the time that a test skips does not count for a run's own end",
            edit(
                "lightfield/testing/running.py",
                "SET deadline_at = deadline_at - make_interval(secs => %(seconds)s::float8) ",
                "SET deadline_at = deadline_at - make_interval(secs => 0 * %(seconds)s::float8) ",
            ),
            by=f"{TESTING}::test_sleeps_are_over_at_once_and_a_runs_own_end_comes_when_it_would",
        ),
    ),
    *breaking(
        "A step type's own `freeze` is asked early only if the type says that it may be",
        planted(
            "every-freeze-asked-early",
            "what may take long or end its process is asked while an outcome waits to be written",
            edit("workflows/step_types.py", "            cls.freezes_early = False\n", "            pass\n"),
            by="test_step_sdk.py::test_a_freeze_of_ones_own_is_not_asked_early_unless_it_says_so",
        ),
    ),
)
