"""Registers the built-in step types; after every `migrate` the lanes are as wide as the settings say."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate


class ExecutionsConfig(AppConfig):
    name = "executions"
    verbose_name = "Runs"

    def ready(self) -> None:
        from executions import awaited, steps  # noqa: F401  registers who tells of runs, and the built-in step types
        from executions.agents import checks  # noqa: F401  registers the check of LIGHTFIELD_AI_*
        from executions.agents.tools import http  # noqa: F401  registers the kind of tool
        from executions.notices import publication, sealed  # noqa: F401  registers what a draft may say about failures
        from executions.secrets import publishing  # noqa: F401  registers what publishing asks about secrets

        post_migrate.connect(set_lanes, sender=self)


def set_lanes(**_: Any) -> None:
    """One row per slow lane, as wide as the settings say. Runs after every `migrate`, so a restart applies them."""
    from executions.models import Lane

    for name, width in settings.LIGHTFIELD_WINDOWS.items():
        # A sixth of the window is kept for others while one workflow floods the lane.
        per_workflow = max(1, width * 5 // 6)
        limits = {
            "width": width,
            "per_workflow": per_workflow,
            "most_queued": settings.LIGHTFIELD_MOST_QUEUED,
        }
        Lane.objects.update_or_create(name=name, defaults=limits)
