"""What the engine logs, heard in a test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def when_logged(event: str, react: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
    """React in the thread that logs `event` under executions, at that moment."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == event:
                heard.append(event)
                react()

    listener, logger = Listener(), logging.getLogger("executions")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield heard
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
