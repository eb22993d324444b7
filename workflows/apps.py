"""Tells `access` which workflows use which secrets."""

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "workflows"
    verbose_name = "Workflows"

    def ready(self) -> None:
        from workflows import secret_use  # noqa: F401  registers
