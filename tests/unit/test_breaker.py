"""What a process knows of the hosts it sends to, without a host."""

import pytest

from executions.egress import breaker as breakers
from executions.egress.breaker import Breaker, Turn, verdict_on_host
from lightfield.kernel.errors import PermanentStepError, TransientStepError

SITE, HOST = "https://api.example.com", "api.example.com"
RETRY, RELEASED = Turn(is_retry=True), Turn(held_for="http.circuit_open")
PAID = Turn(is_retry=True, held_for="http.retry_budget")


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr("executions.egress.breaker.time.monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def breaker(clock):
    return Breaker()


def enter(breaker, turn=breakers.NO_TURN, site=SITE):
    """The code of the refusal, or None."""
    try:
        breaker.enter(site, HOST, turn)
    except TransientStepError as error:
        return error.code
    return None


def test_a_refusal_says_that_nothing_was_sent(breaker):
    fail(breaker, 20)
    with pytest.raises(TransientStepError) as caught:
        breaker.enter(SITE, HOST)
    assert (caught.value.sent, caught.value.answered, caught.value.retry_after) == (False, False, 5)
    assert caught.value.metadata == {"url_host": HOST, "circuit": SITE}


def fail(breaker, times=1, **more):
    for _ in range(times):
        breaker.note(SITE, breakers.NO_TURN, "http.unavailable", **more)


def succeed(breaker, times=1, turn=breakers.NO_TURN):
    for _ in range(times):
        breaker.note(SITE, turn)


def test_a_host_that_fails_is_shut_and_others_are_not(breaker):
    fail(breaker, 19)
    assert enter(breaker) is None
    fail(breaker)
    assert enter(breaker) == "http.circuit_open"
    assert enter(breaker, site="https://other.example.com") is None
    assert enter(breaker, site=SITE + ":8443") is None


@pytest.mark.parametrize(
    ("good", "bad", "shut"), [(20, 20, True), (21, 20, True), (41, 20, True), (0, 19, False)]
)
def test_half_of_the_calls_or_twenty_in_a_row_are_enough(breaker, good, bad, shut):
    succeed(breaker, good)
    fail(breaker, bad)
    assert (enter(breaker) is not None) is shut


def test_given_as_many_good_answers_between_them_then_it_stays_open_for_all(breaker):
    for _ in range(30):
        succeed(breaker, 2)
        fail(breaker)
    assert enter(breaker) is None


def test_failures_of_another_window_do_not_count(breaker, clock):
    fail(breaker, 12)
    clock.now += 11
    succeed(breaker)
    fail(breaker, 12)
    assert enter(breaker) is None


def test_the_breaker_can_be_switched_off(breaker, settings):
    settings.LIGHTFIELD_CIRCUIT_CALLS = 0
    fail(breaker, 1000)
    assert enter(breaker) is None


def test_given_rows_that_cannot_be_told_then_this_process_tries_again_after_a_while(breaker, clock):
    fail(breaker, 20)
    clock.now += 4
    assert enter(breaker) == "http.circuit_open"
    clock.now += 2
    assert enter(breaker) is None
    fail(breaker, 19)
    assert enter(breaker) is None


def test_what_the_rows_say_counts_for_this_process(breaker, clock):
    breaker.learn({SITE: "open"}, asked_at=clock.now)
    assert enter(breaker) == enter(breaker, RELEASED) == "http.circuit_open"
    breaker.learn({SITE: "half_open"}, asked_at=clock.now)
    assert enter(breaker) == enter(breaker, PAID) == "http.circuit_open"
    assert enter(breaker, RELEASED) is None
    breaker.learn({}, asked_at=clock.now)
    assert enter(breaker) is None


def test_an_older_answer_of_the_rows_changes_nothing(breaker, clock):
    breaker.learn({SITE: "open"}, asked_at=clock.now)
    breaker.learn({}, asked_at=clock.now - 1)
    assert enter(breaker) == "http.circuit_open"


def test_given_a_circuit_that_was_told_then_rows_that_were_asked_before_do_not_close_it(breaker, clock):
    fail(breaker, 20)
    asked_at = clock.now
    clock.now += 0.1
    (report,) = breaker.take_reports()
    breaker.told(report, state="open", asked_at=clock.now)
    clock.now += 0.1
    breaker.learn({}, asked_at=asked_at)
    assert enter(breaker) == "http.circuit_open"
    breaker.learn({}, asked_at=clock.now)
    assert enter(breaker) is None


def test_a_report_tells_all_calls_since_the_last_one(breaker, clock):
    succeed(breaker, 10)
    assert breaker.take_reports() == []
    fail(breaker, 2)
    succeed(breaker, 3)
    (report,) = breaker.take_reports()
    assert (report.host, report.calls, report.failures, report.trips) == (SITE, 15, 2, False)
    fail(breaker)
    assert breaker.take_reports() == []  # not more than one a second
    succeed(breaker)
    clock.now += 1.1
    (report,) = breaker.take_reports()
    assert (report.calls, report.failures) == (2, 1)


def test_a_circuit_that_opens_is_told_at_once(breaker):
    fail(breaker)
    assert len(breaker.take_reports()) == 1
    fail(breaker, 19, retry_after=90)
    (report,) = breaker.take_reports()
    assert (report.trips, report.code, report.retry_after) == (True, "http.unavailable", 90)


def test_given_a_process_that_was_stopped_meanwhile_then_what_it_saw_is_not_told(breaker, clock):
    fail(breaker, 20)
    clock.now += 11
    assert breaker.take_reports() == []


def test_answers_to_released_requests_are_told_apart(breaker, clock):
    breaker.learn({SITE: "half_open"}, asked_at=clock.now)
    succeed(breaker, 3, RELEASED)
    breaker.note(SITE, RELEASED, "http.timeout")
    succeed(breaker, 5)  # sent before it failed: they say nothing of now
    (report,) = breaker.take_reports()
    assert (report.ok, report.failed, report.failures, report.trips) == (3, 1, 0, False)


def test_retries_have_a_floor_and_then_wait_for_their_place(breaker, settings):
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 2.0, 0.0
    assert [enter(breaker, RETRY) for _ in range(20)] == [None] * 20
    waits = []
    for _ in range(4):
        with pytest.raises(TransientStepError) as caught:
            breaker.enter(SITE, HOST, RETRY)
        assert caught.value.code == "http.retry_budget"
        waits.append(caught.value.retry_after)
    assert waits == [0.5, 1.0, 1.5, 2.0]
    assert enter(breaker) is enter(breaker, PAID) is None


def test_first_attempts_pay_for_retries(breaker, settings, clock):
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 0.1, 0.2
    succeed(breaker, 100)
    assert [enter(breaker, RETRY) for _ in range(22)].count(None) >= 20  # a fifth of a hundred


def test_no_retry_waits_longer_than_five_minutes_for_its_place(breaker, settings):
    settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE = 0.1, 0.0
    for _ in range(200):
        enter(breaker, RETRY)
    with pytest.raises(TransientStepError) as caught:
        breaker.enter(SITE, HOST, RETRY)
    assert caught.value.retry_after == pytest.approx(300)


def test_no_more_than_so_many_hosts_are_known(breaker, monkeypatch):
    monkeypatch.setattr(breakers, "MOST_HOSTS", 10)
    for number in range(100):
        breaker.note(f"https://{number}.example.com", breakers.NO_TURN)
    assert len(breaker._hosts) <= 10


@pytest.mark.parametrize(
    ("code", "seconds", "verdict"),
    [
        ("http.timeout", 30, "http.timeout"),
        ("http.timeout", 0.5, None),
        ("http.connect_failed", 30, "http.connect_failed"),
        ("http.dns_failed", 30, "http.dns_failed"),
        ("http.connection_lost", 30, "http.connection_lost"),
        ("http.too_large", 30, ""),
        ("http.tls_failed", 30, ""),
        ("egress.denied_address", 30, ""),
    ],
)
def test_what_speaks_against_a_host(code, seconds, verdict):
    assert verdict_on_host(PermanentStepError(code), timeout_seconds=seconds) == verdict
