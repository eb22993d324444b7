"""The records as an app; `crm.models` says by `watchable` that they may start workflows."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    name = "crm"
    verbose_name = "Records"

    def ready(self) -> None:
        from crm import steps, tools  # noqa: F401  registers the record steps, and what agents may do with records
