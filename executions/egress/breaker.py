"""What this process knows of the hosts that it sends to: which of them fail, and how many retries each may get.

A request asks before it leaves (`enter`) and is counted when it has ended (`note`). Of a healthy host nothing else is
known than a few numbers in memory. What fails is reported to the rows that all workers share (`executions.circuits`),
and what those say is learned with every claim. Without PostgreSQL, or before it has answered, this process goes by what
it has seen itself.

Source: the circuit breaker of Nygard, Release It!; retry budgets of Finagle (a share of the requests and a floor) and
of Google's SRE book, chapter 21.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from lightfield.kernel.errors import StepError, TransientStepError

CIRCUIT_OPEN: Final = "http.circuit_open"
RETRY_BUDGET: Final = "http.retry_budget"
HELD: Final = frozenset({CIRCUIT_OPEN, RETRY_BUDGET})  # nothing was sent, and no attempt is used up

WINDOW_SECONDS: Final = 10.0
BURST_SECONDS: Final = 10.0  # the worth of so many may go at once after a pause
LONGEST_WAIT_SECONDS: Final = 300.0  # for a place among the retries
MOST_HOSTS: Final = 2000  # known at once; beyond that those not heard of for a window are forgotten
TELL_SECONDS: Final = 1.0  # between two reports of one host …
TELL_PROBES_SECONDS: Final = 0.2  # … and while the sweep waits for them
STALE_SECONDS: Final = 10.0  # a report that is older says nothing: the process was stopped meanwhile


@dataclass(frozen=True)
class Turn:
    """Who asks: is it a retry, and for which code was it put back before? Then it has waited for its turn."""

    is_retry: bool = False
    held_for: str | None = None


NO_TURN: Final = Turn()


@dataclass
class Report:
    """What was seen of one host since the last report."""

    host: str
    began_at: float  # monotonic
    code: str = ""  # of the newest failure
    calls: int = 0
    failures: int = 0
    ok: int = 0  # of requests that the sweep had released
    failed: int = 0
    trips: bool = False
    retry_after: float = 0.0


@dataclass(slots=True)
class _Host:
    """One host's numbers. Times are `time.monotonic()`."""

    began_at: float
    calls: int = 0
    failures: int = 0
    firsts: int = 0  # of the calls: first attempts, which pay for the retries
    untold: int = 0  # calls since the last report
    streak: int = 0  # failures since the last answer that was none
    tokens: float = 0.0  # retries that may go; below zero: so many wait for their turn
    topped_at: float = 0.0
    told_at: float = 0.0

    def top_up(self, now: float, floor: float, share: float) -> float:
        """Add what time and first attempts have paid; returns how many retries a second that is."""
        seconds = now - self.topped_at
        self.topped_at = now
        rate = floor + share * self.firsts / max(1.0, now - self.began_at)
        self.tokens = min(rate * BURST_SECONDS, self.tokens + floor * seconds)
        return rate


@dataclass
class _Tripped:
    until: float
    told_at: float | None = None


@dataclass
class Breaker:
    """Of one process. Thread-safe; hosts are named by `Target.site`."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hosts: dict[str, _Host] = field(default_factory=dict)
    _states: Mapping[str, str] = field(default_factory=dict)  # open or half_open, as the rows say
    _states_at: float = 0.0
    _tripped: dict[str, _Tripped] = field(default_factory=dict)  # here, and not seen in the rows yet
    _reports: dict[str, Report] = field(default_factory=dict)

    # --- a request asks, and is counted -----------------------------------------------------------

    def enter(self, site: str, host: str, turn: Turn = NO_TURN) -> None:
        """Whether a request may leave now.

        Raises:
            TransientStepError: `http.circuit_open`, `http.retry_budget`. Nothing was sent; the engine holds the step back
                and counts no attempt. `retry_after`: seconds, when another try makes sense.
        """
        if (
            (self._states or self._tripped)
            and settings.LIGHTFIELD_CIRCUIT_CALLS
            and self._is_shut(site, turn)
        ):
            probe = settings.LIGHTFIELD_CIRCUIT_PROBE_SECONDS
            raise _held(
                CIRCUIT_OPEN, f"{host} fails for many runs. This one waits its turn.", site, host, probe
            )
        if turn.is_retry and turn.held_for is None:
            seconds = self._charge(site)
            if seconds > 0:
                text = f"{host} gets its share of retries already. This one waits its turn."
                raise _held(RETRY_BUDGET, text, site, host, seconds)

    def _is_shut(self, site: str, turn: Turn) -> bool:
        state = self._states.get(site)
        if state is not None:
            return state == "open" or turn.held_for != CIRCUIT_OPEN
        tripped = self._tripped.get(site)
        if tripped is None:
            return False
        if time.monotonic() < tripped.until:
            return True
        with self._lock:  # nobody else has confirmed it: begin anew
            self._tripped.pop(site, None)
            self._hosts.pop(site, None)
        return False

    def _charge(self, site: str) -> float:
        """Take one retry from the host's budget. Returns how long to wait for it: its place is then reserved."""
        floor, share = settings.LIGHTFIELD_RETRY_FLOOR, settings.LIGHTFIELD_RETRY_SHARE
        with self._lock:
            host = self._host(site, now := time.monotonic())
            rate = host.top_up(now, floor, share)
            host.tokens = max(host.tokens - 1.0, -rate * LONGEST_WAIT_SECONDS)
            return -host.tokens / rate if host.tokens < 0 else 0.0

    def note(self, site: str, turn: Turn, code: str = "", *, retry_after: float = 0.0) -> None:
        """One request has ended; `code` when that speaks against the host (see `verdict_on_host`)."""
        with self._lock:
            host = self._host(site, now := time.monotonic())
            if self._states and turn.held_for == CIRCUIT_OPEN and site in self._states:
                self._note_released(site, code, retry_after, now)
                return
            host.calls += 1
            host.untold += 1
            if not turn.is_retry:
                host.firsts += 1
                host.tokens += settings.LIGHTFIELD_RETRY_SHARE
            if code:
                self._note_failure(site, host, code, retry_after, now)
            else:
                host.streak = 0

    def _note_released(self, site: str, code: str, retry_after: float, now: float) -> None:
        report = self._report(site, now)
        if code:
            report.failed += 1
            report.code, report.retry_after = code, max(report.retry_after, retry_after)
        else:
            report.ok += 1

    def _note_failure(self, site: str, host: _Host, code: str, retry_after: float, now: float) -> None:
        report = self._report(site, now)
        report.failures += 1
        report.code, report.retry_after = code, max(report.retry_after, retry_after)
        host.failures += 1
        host.streak += 1
        if self._is_failing(host) and site not in self._states and site not in self._tripped:
            report.trips = True
            wait = max(settings.LIGHTFIELD_CIRCUIT_PROBE_SECONDS, retry_after)
            self._tripped[site] = _Tripped(until=now + wait)

    def _is_failing(self, host: _Host) -> bool:
        least, share = settings.LIGHTFIELD_CIRCUIT_CALLS, settings.LIGHTFIELD_CIRCUIT_SHARE
        return 0 < least <= host.calls and (host.streak >= least or host.failures >= share * host.calls)

    def _host(self, site: str, now: float) -> _Host:
        host = self._hosts.get(site)
        if host is None:
            if len(self._hosts) >= MOST_HOSTS:
                self._forget_some(now)
            tokens = settings.LIGHTFIELD_RETRY_FLOOR * BURST_SECONDS
            host = self._hosts[site] = _Host(began_at=now, topped_at=now, tokens=tokens)
        elif now - host.began_at > WINDOW_SECONDS:
            host.began_at = now
            host.calls = host.failures = host.firsts = host.untold = 0
        return host

    def _forget_some(self, now: float) -> None:
        for site, host in list(self._hosts.items()):
            if now - host.began_at > WINDOW_SECONDS and host.tokens >= 0:
                del self._hosts[site]
        if len(self._hosts) >= MOST_HOSTS:
            self._hosts.clear()

    # --- what is told to others, and learned from them --------------------------------------------

    def _report(self, site: str, now: float) -> Report:
        report = self._reports.get(site)
        if report is None:
            report = self._reports[site] = Report(site, began_at=now)
        return report

    def take_reports(self) -> list[Report]:
        """What is to be told now. Nothing, and at no cost, while no host fails."""
        if not self._reports:
            return []
        now, due = time.monotonic(), []
        with self._lock:
            for site, report in list(self._reports.items()):
                host = self._host(site, now)
                rest = TELL_PROBES_SECONDS if site in self._states else TELL_SECONDS
                if not report.trips and now - host.told_at < rest:
                    continue
                del self._reports[site]
                report.calls, host.untold, host.told_at = max(host.untold, report.failures), 0, now
                if now - report.began_at < STALE_SECONDS:
                    due.append(report)
        return due

    def told(self, report: Report, *, state: str, asked_at: float) -> None:
        """The rows have taken a report down and say that the host is `state`."""
        with self._lock:
            tripped = self._tripped.get(report.host)
            if tripped is not None:
                tripped.told_at = time.monotonic()
            if state != "closed" and report.host not in self._states and asked_at >= self._states_at:
                self._states = {**self._states, report.host: state}

    def learn(self, states: Mapping[str, str], *, asked_at: float) -> None:
        """What the rows said to a question of `asked_at` (monotonic): the hosts that are open or half open, no others."""
        if not (states or self._states or self._tripped):
            return
        with self._lock:
            if asked_at < self._states_at:
                return
            for site in self._states.keys() - states.keys():
                self._hosts.pop(site, None)  # it has recovered: what was counted before says nothing
            for site, tripped in list(self._tripped.items()):
                if site in states or (tripped.told_at is not None and tripped.told_at < asked_at):
                    del self._tripped[site]
                    if site not in states:
                        self._hosts.pop(site, None)
            self._states, self._states_at = dict(states), asked_at


def _held(code: str, text: str, site: str, host: str, seconds: float) -> TransientStepError:
    return TransientStepError(code, text, retry_after=seconds, url_host=host, circuit=site)


# These say that the host is in trouble, whatever was asked of it. A 500 may be the request's own fault; a 408 and a 425
# always are.
_AGAINST_HOST: Final = frozenset(
    {"http.connect_failed", "http.dns_failed", "http.connection_lost", "http.timeout"}
)
# 529: overloaded, as Anthropic and some others say.
STATUSES_AGAINST_HOST: Final = {
    429: "http.throttled",
    **dict.fromkeys((502, 503, 504, 529), "http.unavailable"),
}
FAIR_SECONDS: Final = 1.0  # a shorter timeout says more of the step than of the host


def verdict_on_host(error: StepError, *, timeout_seconds: float) -> str | None:
    """The code that speaks against the host; "" when it is there, however wrong the rest; None when nothing is known."""
    if error.code == "http.timeout" and timeout_seconds < FAIR_SECONDS:
        return None
    return error.code if error.code in _AGAINST_HOST else ""
