"""Structured logging: one JSON object per line, for Django, Celery and our own code alike.

`bound(run_id=…, trace_id=…)` puts ids on every line written inside the block, whoever writes it.
Messages are snake_case facts in the past tense; values go into `extra`/keyword arguments, never into the text.
Control characters are escaped by the JSON encoding, so one event is always one line.
"""

from __future__ import annotations

import logging.config
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from lightfield.kernel.secret_paths import without_addresses

_SHARED = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def _without_secrets(_logger: Any, _method: str, line: Any) -> str:
    """The last word on every line, whoever wrote it: a sender that mistypes the path still tells the token."""
    return without_addresses(str(line))


def configure(level: str = "INFO") -> None:
    """Send every log line of the process to stderr as JSON."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": _SHARED,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.JSONRenderer(),
                        _without_secrets,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "kombu": {"level": "WARNING"},
                # One line per received and per finished message says nothing that the timeline does not.
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "django_celery_beat": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "urllib3": {"level": "ERROR"},
            },
        }
    )


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Put `ids` (run_id, step, attempt, trace_id, …) on every log line written inside."""
    with structlog.contextvars.bound_contextvars(**ids):
        yield
