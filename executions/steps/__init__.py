"""The built-in step types, one file each. Importing this package registers them."""

from executions.steps import condition, http_request, log, sleep

__all__ = ["condition", "http_request", "log", "sleep"]
