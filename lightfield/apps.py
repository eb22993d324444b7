from django.apps import AppConfig


class LightfieldConfig(AppConfig):
    """The composition root as an app: the Celery app, the builder's admin pages, their templates."""

    name = "lightfield"
    verbose_name = "Lightfield"

    def ready(self) -> None:
        import lightfield.celery  # noqa: F401  makes our Celery app the one that everybody rings through
