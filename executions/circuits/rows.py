"""What workers tell each other of failing hosts: one row for each, written when requests fail or were probes.

Healthy traffic writes nothing here, and reads it with the claim, in the same statement.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from executions.egress.breaker import Breaker, Report
from lightfield.kernel import sql

logger = logging.getLogger(__name__)

WINDOW_SECONDS: Final = 10  # in which calls and failures of all workers are added up

_TRIPS = """(%(may_open)s::bool AND (%(trips)s::bool OR ({calls} >= %(least_calls)s::int
      AND {failures} >= %(share)s::float8 * {calls})))"""
_FRESH = f"c.window_at > clock_timestamp() - interval '{WINDOW_SECONDS} seconds'"
_CALLS = f"(CASE WHEN {_FRESH} THEN c.calls ELSE 0 END + %(calls)s::int)"
_FAILURES = f"(CASE WHEN {_FRESH} THEN c.failures ELSE 0 END + %(failures)s::int)"
_TRIPS_NOW = _TRIPS.format(calls=_CALLS, failures=_FAILURES)
_TRIPS_FIRST = _TRIPS.format(calls="%(calls)s::int", failures="%(failures)s::int")
_ASKED = "clock_timestamp() + make_interval(secs => %(retry_after)s::float8)"
_OPENS = "clock_timestamp() + make_interval(secs => greatest(%(probe)s::float8, %(retry_after)s::float8))"

# A host that is closed opens when its failures, those of other workers included, are enough. One that is open or half
# open only takes down what came of its probes, and a wish to be left alone for longer; the sweep decides about it.
TELL = f"""
INSERT INTO executions_circuit AS c
  (host, state, code, calls, failures, opened_at, retry_at, failed_probes, rate, ok, failed)
VALUES (%(host)s::text, CASE WHEN {_TRIPS_FIRST} THEN 'open' ELSE 'closed' END, %(code)s::text, %(calls)s::int,
  %(failures)s::int, CASE WHEN {_TRIPS_FIRST} THEN clock_timestamp() END,
  CASE WHEN {_TRIPS_FIRST} THEN {_OPENS} END, 0, 0, 0, 0)
ON CONFLICT (host) DO UPDATE SET
  state = CASE WHEN c.state = 'closed' AND {_TRIPS_NOW} THEN 'open' ELSE c.state END,
  code = coalesce(nullif(excluded.code, ''), c.code),
  window_at = CASE WHEN {_FRESH} THEN c.window_at ELSE clock_timestamp() END,
  calls = {_CALLS}, failures = {_FAILURES},
  opened_at = CASE WHEN c.state = 'closed' AND {_TRIPS_NOW} THEN clock_timestamp() ELSE c.opened_at END,
  retry_at = CASE WHEN c.state <> 'closed' THEN greatest(c.retry_at, {_ASKED})
                  WHEN {_TRIPS_NOW} THEN {_OPENS} END,
  failed_probes = CASE WHEN c.state = 'closed' THEN 0 ELSE c.failed_probes END,
  rate = CASE WHEN c.state = 'closed' THEN 0 ELSE c.rate END,
  ok = CASE WHEN c.state = 'closed' THEN 0 ELSE c.ok + %(ok)s::int END,
  failed = CASE WHEN c.state = 'closed' THEN 0 ELSE c.failed + %(failed)s::int END,
  heard_at = clock_timestamp()
RETURNING c.state
"""

# Part of the claim: what is not closed, by host.
TROUBLED: Final = (
    "(SELECT jsonb_object_agg(c.host, c.state) FROM executions_circuit c WHERE c.state <> 'closed')"
)


def tell(breaker: Breaker) -> None:
    """Write what this process has seen since, if there is anything. Never raises: others see the same host.

    Dying before it: those requests were not counted. Twice: their share counts twice, and a circuit opens a little early.
    """
    for report in breaker.take_reports():
        asked_at = time.monotonic()
        try:
            found = sql.row(TELL, _params(report))
        except (DatabaseError, InterfaceError) as error:
            logger.warning("circuit_not_told", extra={"host": report.host, "error": str(error)})
            return
        breaker.told(report, state=str(found[0]) if found else "closed", asked_at=asked_at)


def _params(report: Report) -> dict[str, object]:
    return {
        "host": report.host,
        "code": report.code,
        "calls": report.calls,
        "failures": report.failures,
        "ok": report.ok,
        "failed": report.failed,
        "trips": report.trips,
        "retry_after": report.retry_after,
        "may_open": settings.LIGHTFIELD_CIRCUIT_CALLS > 0,
        "least_calls": settings.LIGHTFIELD_CIRCUIT_CALLS,
        "share": settings.LIGHTFIELD_CIRCUIT_SHARE,
        "probe": settings.LIGHTFIELD_CIRCUIT_PROBE_SECONDS,
    }
