from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "lightfield.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        from lightfield.access import checks  # noqa: F401  registers
