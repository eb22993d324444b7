"""The built-in step types, one file each. Importing this package registers them."""

from executions.steps import condition, log, sleep

__all__ = ["condition", "log", "sleep"]
