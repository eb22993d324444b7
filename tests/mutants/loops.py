"""Mutants of causes, the guard against loops, and the chain."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

CAUSES = "triggers/causes.py"
DISPATCHER = "executions/dispatcher.py"
OWN_CHANGES = "AND v.definition #> '{trigger,config,own_changes}' IS DISTINCT FROM 'true'"

MUTANTS = (
    *breaking(
        "A workflow's own changes do not start it, unless its version wants them",
        planted(
            "own-change-guard-removed",
            "a workflow is started by what it changed itself",
            edit(DISPATCHER, "cause.id = ev.caused_by) = ev.workflow_id", "false) = ev.workflow_id"),
            by="test_loop_guard.py::test_a_workflows_own_change_does_not_start_it",
        ),
        planted(
            "own-change-of-anybody",
            "a workflow is not started by what another one changed",
            edit(
                DISPATCHER,
                "cause.id = ev.caused_by) = ev.workflow_id",
                "cause.id = ev.caused_by) IS NOT NULL",
            ),
            by="test_loop_guard.py::test_what_another_workflow_changed_starts_it",
        ),
        planted(
            "own-changes-never-wanted",
            "a version that wants its own changes does not get them",
            edit(DISPATCHER, OWN_CHANGES, ""),
            by="test_loop_guard.py::test_only_a_version_that_says_true_is_started_by_its_own_changes",
        ),
        planted(
            "own-changes-by-any-word",
            "whatever stands in own_changes counts as wanted",
            edit(DISPATCHER, OWN_CHANGES, "AND v.definition #> '{trigger,config,own_changes}' IS NULL"),
            by="test_loop_guard.py::test_only_a_version_that_says_true_is_started_by_its_own_changes",
        ),
        planted(
            "own-changes-of-the-newest-version",
            "the version that is active at dispatch says whether own changes are wanted",
            edit(
                DISPATCHER,
                OWN_CHANGES,
                "AND (SELECT x.definition FROM workflows_workflowversion x WHERE x.id = w.active_version_id)\n"
                "  #> '{trigger,config,own_changes}' IS DISTINCT FROM 'true'",
            ),
            by="test_loop_guard.py::test_the_version_of_the_capture_decides_whatever_is_published_meanwhile",
        ),
    ),
    *breaking(
        "Workflows that start each other come to an end",
        planted(
            "depth-guard-removed",
            "an event at any depth becomes a run",
            edit(
                DISPATCHER,
                "WHEN ev.depth > %(max_depth)s::int THEN",
                "WHEN ev.depth > 1000 * %(max_depth)s::int THEN",
            ),
            by="test_dispatcher.py::test_an_event_too_deep_in_a_chain_of_workflows_is_ignored",
        ),
        planted(
            "depth-forgotten-by-a-claim",
            "what a slow step leads to begins at depth 1 again",
            edit("executions/claims.py", "depth=found[25],", "depth=0,"),
            by=(
                "test_causes.py::test_a_slow_step_acts_for_its_run_when_it_freezes_and_when_it_sends",
                "test_causes.py::test_what_a_step_leads_to_carries_its_run_its_trace_and_one_depth_more",
            ),
        ),
    ),
    *breaking(
        "What a step does is known as its run's doing, and what nobody's step does is not",
        planted(
            "cause-leaks-to-the-next-step",
            "a thread goes on acting for the run whose step it has run",
            edit(CAUSES, "        _current.reset(token)\n", "        del token\n"),
            by=(
                "unit/test_causes.py::test_blocks_may_be_nested_and_nobody_ends_the_outer_one",
                "test_causes.py::test_the_engine_itself_acts_for_nobody",
            ),
        ),
        planted(
            "cause-outlives-an-error",
            "a step that raises leaves its cause to the thread",
            edit(
                CAUSES,
                "    try:\n        yield\n    finally:\n        _current.reset(token)\n",
                "    yield\n    _current.reset(token)\n",
            ),
            by="test_causes.py::test_given_a_step_that_raises_then_its_thread_acts_for_nobody_afterwards",
        ),
        planted(
            "cause-of-the-whole-process",
            "all threads act for the run whose step began last",
            edit(
                CAUSES,
                '_current: ContextVar[Cause | None] = ContextVar("lightfield_cause", default=None)\n',
                "class _Shared:\n"
                "    value: Cause | None = None\n\n"
                "    def get(self) -> Cause | None:\n"
                "        return self.value\n\n"
                "    def set(self, value: Cause | None) -> Cause | None:\n"
                "        before, self.value = self.value, value\n"
                "        return before\n\n"
                "    def reset(self, before: Cause | None) -> None:\n"
                "        self.value = before\n\n\n"
                "_current = _Shared()\n",
            ),
            by="test_causes.py::test_given_many_runs_side_by_side_then_each_thread_acts_for_its_own",
        ),
        planted(
            "slow-step-without-cause",
            "what a slow step changes is nobody's doing",
            edit(
                "executions/chain.py",
                "            with acting(self.step), hiding.secrets() as hider:\n",
                "            with hiding.secrets() as hider:\n",
            ),
            by="test_causes.py::test_a_slow_step_acts_for_its_run_when_it_freezes_and_when_it_sends",
        ),
        planted(
            "fast-step-without-cause",
            "what a fast step changes is nobody's doing",
            edit(
                "executions/engine.py",
                "            with acting(step):\n                returned = step_type.execute(config, context)\n",
                "            returned = step_type.execute(config, context)\n",
            ),
            by="test_causes.py::test_a_fast_step_acts_for_its_run",
        ),
    ),
    *breaking(
        "A chain can be read from either end",
        planted(
            "chain-of-one-level",
            "a chain shows what a run led to and not what that led to",
            edit("executions/causal_chain.py", "WHERE caused_by = down.run_id ORDER", "WHERE false ORDER"),
            by="test_causal_chain.py::test_from_its_first_run_a_chain_shows_all_that_followed",
        ),
        planted(
            "chain-without-its-beginning",
            "a chain begins with the run that led to this one",
            edit("executions/causal_chain.py", "WHEN up.above < %(deepest)s::int", "WHEN up.above < 1"),
            by="test_causal_chain.py::test_from_its_last_run_a_chain_shows_all_that_led_there",
        ),
        planted(
            "chain-cut-in-silence",
            "a chain that is too wide ends without saying so",
            edit("executions/causal_chain.py", "has_more=len(led_to) > MOST", "has_more=False"),
            by="test_causal_chain.py::test_given_more_than_a_hundred_then_the_nearest_are_listed_and_it_says_so",
        ),
    ),
)
