"""Celery's door into the apps: what every task has in common, whatever may happen to its message."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from celery import Task, shared_task
from django.db import InterfaceError, OperationalError, connection


def door(name: str) -> Callable[[Callable[..., Any]], Task]:
    """A Celery task that survives what may happen to any message."""

    def decorate(function: Callable[..., Any]) -> Task:
        logger = logging.getLogger(function.__module__)

        @functools.wraps(function)
        def guarded(*args: Any) -> Any:
            try:
                return function(*args)
            except (OperationalError, InterfaceError) as error:
                # Nothing is lost: the rows say what is due, and the sweeper rings for it.
                logger.warning("database_unavailable", extra={"task": name, "error": str(error)})
                return None
            finally:
                connection.close()

        return shared_task(name=name, acks_late=True, ignore_result=True)(guarded)

    return decorate
