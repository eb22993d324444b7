"""Mutants of a workflow's own limits, of what is told of its failures, and of its pause by itself."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

ADMISSION = "executions/admission.py"
CAPTURE = "executions/notices/capture.py"
FACTS = "executions/notices/facts.py"
OUTGOING = "executions/notices/outgoing.py"
COUNTING = "executions/notices/counting.py"

MUTANTS = (
    *breaking(
        "At most `concurrency` slow steps of a workflow are in flight, over lanes and workers",
        planted(
            "limit-of-each-lane",
            "a workflow may have its whole limit in each lane",
            edit(
                "executions/lanes.py",
                "WHERE o.name <> %(lane)s::text AND q.workflow_id",
                "WHERE false AND o.name <> %(lane)s::text AND q.workflow_id",
            ),
            by="test_concurrency_setting.py::test_the_limit_is_over_both_slow_lanes",
        ),
        planted(
            "lanes-side-by-side",
            "both lanes are admitted to at once, and each counts before the other's admission",
            edit(ADMISSION, "WHERE concurrency IS NOT NULL)\nORDER", "WHERE false)\nORDER"),
            by=(
                "test_concurrency_setting.py::test_given_admissions_to_both_lanes_at_once_then_the_limit_holds",
                "test_concurrency_setting.py::"
                "test_given_no_limit_anywhere_then_an_admission_locks_its_own_lane_alone",
            ),
        ),
    ),
    *breaking(
        "A run ends when its time is up, once, whole, and not before",
        planted(
            "replay-with-the-old-deadline",
            "a replay has no time left",
            edit(
                "executions/services.py",
                "now.at + make_interval(secs => timeout_seconds), in_streak",
                "old.deadline_at, in_streak",
            ),
            by="test_run_timeout.py::"
            "test_the_time_counts_from_the_runs_creation_and_a_replay_has_all_of_it_again",
        ),
    ),
    *breaking(
        "No failure without its notice, and no notice without its failure",
        planted(
            "failure-told-to-nobody",
            "a run fails and leaves no notice",
            edit(CAPTURE, "= 'failed'", "= 'never'"),
            by="integration/notices/test_notices.py::test_a_failure_is_told_by_webhook_and_by_mail",
        ),
        planted(
            "success-told-as-failure",
            "whatever ends a run is told",
            edit(CAPTURE, "= 'failed'", "IN ('failed', 'cancelled', 'completed')"),
            by="integration/notices/test_notices.py::test_a_run_that_completes_or_is_cancelled_tells_nobody",
        ),
    ),
    *breaking(
        "A message reaches its receiver at least once, the same each time",
        planted(
            "notice-without-a-fence",
            "who was taken for dead still says what came of a message",
            edit(
                OUTGOING,
                "WHERE id = %(id)s::uuid AND fence = %(fence)s::int AND status",
                "WHERE id = %(id)s::uuid AND status",
            ),
            edit(OUTGOING, "AND status = 'pending' RETURNING id", "RETURNING id"),
            by="integration/notices/test_deaths.py::"
            "test_given_a_sender_that_comes_back_after_its_lease_then_its_word_is_not_written",
        ),
        planted(
            "notice-sent-once-at-most",
            "a message that was taken to be sent counts as sent",
            edit(
                OUTGOING,
                "UPDATE executions_noticemessage m SET attempts = m.attempts + 1,",
                "UPDATE executions_noticemessage m SET status = 'sent', finished_at = clock_timestamp(), attempts = m.attempts + 1,",
            ),
            by="integration/notices/test_deaths.py::"
            "test_given_a_death_right_after_the_receiver_took_it_then_the_same_message_comes_again",
        ),
    ),
    *breaking(
        "A storm of failures is a few messages",
        planted(
            "a-message-for-each-sweep",
            "every look makes a message of what failed since the last",
            edit(
                FACTS,
                "AND m.created_at > clock_timestamp() -",
                "AND false AND m.created_at > clock_timestamp() -",
            ),
            edit(
                "executions/notices/gathering.py",
                "(m.status = 'pending' OR m.created_at > statement_timestamp()",
                "(m.status = 'pending' OR false AND m.created_at > statement_timestamp()",
            ),
            by="integration/notices/test_storms.py::test_the_first_failure_is_told_at_once_and_the_next_together",
        ),
    ),
    *breaking(
        "Notices hold nobody up, and one workflow's none of another's",
        planted(
            "senders-without-end",
            "a receiver that does not answer holds as many threads as there are messages",
            edit(OUTGOING, "< %(senders)s::int", "< 1000 + %(senders)s::int"),
            by="integration/notices/test_storms.py::test_no_more_are_being_sent_at_once_than_the_setting_says",
        ),
        planted(
            "tried-often-goes-first",
            "what is tried again and again goes before what is new",
            edit(OUTGOING, "ORDER BY attempts, due_at, id", "ORDER BY due_at, id"),
            by="integration/notices/test_storms.py::"
            "test_given_a_message_that_is_being_tried_for_long_then_a_new_one_goes_first",
        ),
    ),
    *breaking(
        "A workflow is paused after n failures in a row, once, and never by what failed before it was resumed or published",
        planted(
            "streak-since-ever",
            "failures of before the last resume pause a workflow again",
            edit(COUNTING, "    AND created_at >= coalesce(", "    AND created_at >= least('-infinity', "),
            by="integration/notices/test_pause.py::"
            "test_given_a_resume_that_is_about_to_commit_then_the_old_failures_do_not_pause_it_again",
        ),
        planted(
            "paused-whatever-it-runs-now",
            "the failures of an older version pause the newer one",
            edit(
                "workflows/services.py",
                "workflow.status != WorkflowStatus.ACTIVE or workflow.active_version_id != version_id",
                "workflow.status != WorkflowStatus.ACTIVE",
            ),
            edit(COUNTING, "    AND created_at >= coalesce(", "    AND created_at >= least('-infinity', "),
            by="integration/notices/test_pause.py::test_runs_of_an_older_version_do_not_pause_a_newer_one",
        ),
        planted(
            "successes-end-no-streak",
            "failures are counted whatever completed between them",
            edit(
                COUNTING,
                "coalesce(min(place) FILTER (WHERE status = 'completed') - 1, count(*))",
                "(count(*) FILTER (WHERE status = 'failed'))",
            ),
            by="integration/notices/test_pause.py::test_a_completed_run_begins_anew_and_a_cancelled_one_does_not",
        ),
    ),
    *breaking(
        "The secret of notices is kept encrypted and shown to nobody",
        planted(
            "notice-secret-in-the-draft",
            "a secret stays in the draft that it came with",
            edit("executions/notices/publication.py", '{**webhook, "secret": None}', "{**webhook}"),
            by="integration/notices/test_drafts.py::"
            "test_a_secret_is_kept_encrypted_and_stands_in_no_draft_version_or_audit_trail",
        ),
    ),
)
