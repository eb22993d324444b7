"""Registers what triggers bring: their kinds, the hooks of publishing, and watched models with the database's part in it."""

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate


class TriggersConfig(AppConfig):
    name = "triggers"
    verbose_name = "Triggers and events"

    def ready(self) -> None:
        from triggers import kinds, publication, sealed  # noqa: F401  registers trigger types, hooks and what is encrypted
        from triggers.records import checks, database, registration  # noqa: F401  registers the checks

        registration.register_all(getattr(settings, "LIGHTFIELD_WATCH", {}))
        post_migrate.connect(database.arrange, sender=self)
