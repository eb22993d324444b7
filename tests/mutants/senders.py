"""Mutants of what senders of webhooks may ask of an installation, and of what they are told."""

from __future__ import annotations

from tests.mutants.mutant import breaking, edit, planted

BUCKETS = "triggers/throttling/buckets.py"
SHARING = "triggers/throttling/sharing.py"
CLIENTS = "triggers/throttling/clients.py"
DOORS = "triggers/throttling/doors.py"
WAITING = "triggers/waiting.py"
WORKER = "lightfield/web_worker.py"
HEADS = "lightfield/web_heads.py"
HOSTILE = "test_hostile_senders.py"

MUTANTS = (
    *breaking(
        "A flood at one address of a webhook leaves the others their share, with Redis or without",
        planted(
            "refused-requests-charged",
            "what is refused pushes its bucket further ahead, so that a flood is never served again",
            edit(
                BUCKETS,
                "            if wait > 0:\n                return wait\n            for key, limit in charges:\n"
                "                self._spend(key, limit, now)\n",
                "            for key, limit in charges:\n                self._spend(key, limit, now)\n"
                "            if wait > 0:\n                return wait\n",
            ),
            by=(
                "unit/test_throttle_buckets.py::test_whoever_is_refused_is_told_when_and_has_spent_nothing",
                "unit/test_throttle_buckets.py::"
                "test_over_ten_times_the_limit_exactly_the_limit_is_let_through",
            ),
        ),
        planted(
            "spent-alone",
            "each process lets the whole limit through",
            edit(SHARING, "        self._buckets.learn(ahead)\n", ""),
            by="test_throttling.py::test_given_two_processes_then_each_learns_what_the_other_spent",
        ),
        planted(
            "buckets-never-forgotten",
            "each address that anybody makes up stays in memory",
            edit(BUCKETS, "            self._make_room(now)\n", "            pass\n"),
            by="unit/test_throttle_buckets.py::"
            "test_given_a_million_strangers_then_memory_stays_bounded_and_who_is_at_the_limit_is_remembered",
        ),
        planted(
            "redis-believed",
            "whoever can write to Redis closes an address for as long as he likes",
            edit(
                SHARING,
                "  full_at = math.min(full_at + tonumber(ARGV[2 * place - 1]), now + tonumber(ARGV[2 * place]))\n",
                "  full_at = full_at + tonumber(ARGV[2 * place - 1])\n",
            ),
            edit(
                SHARING,
                "    return seconds if 0 <= seconds <= furthest + 0.001 else 0.0  # neither what is no number\n",
                "    return seconds\n",
            ),
            by="test_throttling.py::test_what_lies_in_redis_can_empty_a_bucket_and_no_more",
        ),
    ),
    *breaking(
        "Being throttled tells nothing, and nobody sends under another's name",
        planted(
            "guesses-are-free",
            "a guesser may guess as often as an honest sender may send",
            edit(DOORS, "    if status in IN_VAIN:\n", "    if status in IN_VAIN - {404}:\n"),
            by="test_throttling.py::test_a_guesser_is_stopped_long_before_a_sender_that_is_understood",
        ),
        planted(
            "forwarded-for-believed",
            "whoever writes a header is counted as whom it names",
            edit(
                CLIENTS,
                "        if not _is_ours(sender, proxies):\n            break\n",
                "",
            ),
            by="unit/test_throttle_clients.py::test_behind_proxies_the_last_that_is_not_ours_is_the_sender",
        ),
        planted(
            "forwarded-for-from-the-left",
            "of what proxies wrote the first entry counts, which the sender may have made up",
            edit(
                CLIENTS,
                'reversed(forwarded.split(","))',
                'forwarded.split(",")',
            ),
            by="unit/test_throttle_clients.py::test_behind_proxies_the_last_that_is_not_ours_is_the_sender",
        ),
    ),
    *breaking(
        "Whoever waits for a run holds no database connection and stands in nobody's way",
        planted(
            "wait-with-a-connection",
            "three waiters have all connections of a web process",
            edit(WAITING, "        sql.release()  # the connection goes back to the pool\n", ""),
            by="test_waiting.py::test_a_waiter_holds_no_connection_between_its_looks",
        ),
        planted(
            "places-without-end",
            "as many waiters as there are threads stop the site",
            edit(
                WAITING,
                "            if self.taken >= settings.LIGHTFIELD_WAITERS:\n                return False\n",
                "",
            ),
            by="test_waiting.py::test_given_all_places_taken_then_the_next_is_answered_at_once",
        ),
        planted(
            "wait-through-a-stop",
            "a server that is told to stop waits for its waiters, up to 25 s",
            edit(WAITING, "left <= 0 or stopping.is_requested() or", "left <= 0 or"),
            by="test_waiting.py::"
            "test_given_a_process_that_is_told_to_end_then_waits_end_with_the_usual_answer",
        ),
        planted(
            "wait-for-nobody",
            "a thread waits for the result of a caller that has hung up",
            edit(WAITING, "select.POLLRDHUP", "0"),
            by="test_waiting.py::test_given_a_caller_that_hangs_up_then_its_thread_is_free_again",
        ),
    ),
    *breaking(
        "Slow and hostile senders take no thread from others",
        planted(
            "half-bodies-in-threads",
            "a thread reads a body for as long as its sender likes",
            edit(HEADS, "    if wanted <= peeked:\n", "    if wanted:\n"),
            by=f"{HOSTILE}::test_given_ten_times_as_many_half_requests_as_threads_then_others_are_served",
        ),
        planted(
            "chunks-in-every-thread",
            "all threads may be busy with bodies that never end",
            edit(WORKER, "max(1, self.cfg.threads // 2)", "self.cfg.threads"),
            by=f"{HOSTILE}::test_given_ten_times_as_many_half_requests_as_threads_then_others_are_served",
        ),
        planted(
            "goodbyes-in-the-main-thread",
            "each sender that does not hang up after its last answer stops the process for two seconds",
            edit(
                WORKER,
                "        elif result is False and not self.cfg.is_ssl:\n            self._linger(conn)\n",
                "",
            ),
            by="bugs/test_goodbyes_stopped_the_web_process.py::"
            "test_given_senders_that_do_not_hang_up_after_their_last_answer_then_others_are_served",
        ),
        planted(
            "late-without-a-word",
            "who is too slow finds the connection closed and does not know why",
            edit(WORKER, "        if seen.there or seen.state is State.UNFORESEEN:\n", "        if False:\n"),
            by=f"{HOSTILE}::test_whoever_is_too_slow_is_told_408",
        ),
    ),
    *breaking(
        "The address of a webhook is in no log line",
        planted(
            "access-log-unfiltered",
            "whoever turns on the access log collects addresses",
            edit("lightfield/web_log.py", "    _once(log.access_log, OfAccess())\n", ""),
            by="test_secrets_in_logs.py::"
            "test_whatever_is_sent_no_log_line_no_table_and_no_key_holds_a_token_or_a_secret",
        ),
        planted(
            "request-line-logged",
            "what gunicorn cannot read is logged as it came, headers included",
            edit(WORKER, "type(exc).__name__)\n", "exc)\n"),
            by="test_secrets_in_logs.py::"
            "test_whatever_is_sent_no_log_line_no_table_and_no_key_holds_a_token_or_a_secret",
        ),
        planted(
            "mistyped-address-logged",
            "Django's warning of a path that is not there has the token in it",
            edit(
                "lightfield/kernel/logs.py",
                "    return without_addresses(str(line))\n",
                "    return str(line)\n",
            ),
            by=(
                "test_secrets_in_logs.py::test_a_log_line_of_anybodys_holds_no_address",
                "test_secrets_in_logs.py::"
                "test_whatever_is_sent_no_log_line_no_table_and_no_key_holds_a_token_or_a_secret",
            ),
        ),
    ),
)
