from django.apps import AppConfig


class TriggersConfig(AppConfig):
    name = "triggers"
    verbose_name = "Triggers and events"

    def ready(self) -> None:
        from triggers import kinds, publication  # noqa: F401  registers trigger types and publication hooks
