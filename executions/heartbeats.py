"""Liveness the honest way: a message went through the broker to a worker, and the worker reached the database."""

from __future__ import annotations

from executions.leases import node_name
from lightfield.kernel import sql

BEAT = """
INSERT INTO executions_heartbeat (node, queue, at) VALUES (%(node)s::text, %(queue)s::text, clock_timestamp())
ON CONFLICT (node) DO UPDATE SET at = excluded.at, queue = excluded.queue
"""

AGES = """
SELECT queue, extract(epoch FROM clock_timestamp() - max(at))::float8 FROM executions_heartbeat GROUP BY queue
"""


def beat(queue: str) -> None:
    """This worker took a message from `queue` and is alive."""
    sql.rows(BEAT, {"node": f"{queue}@{node_name()}", "queue": queue[:10]})


def ages() -> dict[str, float]:
    """Seconds since the newest beat of each queue that ever had a worker."""
    return dict(sql.rows(AGES, {}))
