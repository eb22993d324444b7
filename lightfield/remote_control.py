"""What may be asked of a worker through Redis: how it is, and nothing that changes what it does.

Celery lets whoever can write to Redis end its workers, take their queues or their threads away, or slow a task
down to nothing. Redis is trusted with nothing but hints; whoever runs the workers has their processes. So only
what Flower and health checks ask is answered: Flower shows, and its buttons do nothing.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger(__name__)

ANSWERED = (
    "ping",  # lightfield.local.health
    *(
        "stats",
        "conf",
        "registered",
        "active_queues",
        "active",
        "reserved",
        "scheduled",
        "revoked",
    ),  # Flower's pages
    "enable_events",  # Flower, every five seconds; the workers that it watches send events anyway (-E)
    "heartbeat",  # Flower, when it starts to listen: say at once, as an event, that you live
)


REFUSAL = "refused: through Redis a worker may be asked, not told"


class Commands(dict[str, Any]):
    """The commands of a worker. Any other name is answered with a refusal."""

    def __missing__(self, name: str) -> Any:
        def refuse(*_: object, **__: object) -> dict[str, str]:
            logger.warning("command_refused", extra={"command": name[:100]})
            return {"error": REFUSAL}

        return refuse


def install() -> None:
    """In a worker, before it listens."""
    from celery.worker.control import Panel

    Panel.data = Commands({name: Panel.data[name] for name in ANSWERED})
