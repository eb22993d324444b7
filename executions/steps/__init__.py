"""The built-in step types, one file each. Importing this package registers them."""

from executions.steps import ai_agent, condition, http_request, log, sleep

__all__ = ["ai_agent", "condition", "http_request", "log", "sleep"]
