"""The ways to start a workflow, one file each. Importing the package registers them."""

from triggers.kinds import manual, schedule, webhook

__all__ = ["manual", "schedule", "webhook"]
