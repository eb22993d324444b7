"""The ways to start a workflow, one file each. Importing the package registers them."""

from triggers.kinds import manual, record, schedule, webhook

__all__ = ["manual", "record", "schedule", "webhook"]
