from django.apps import AppConfig


class LightfieldConfig(AppConfig):
    """The composition root as an app: the Celery app, the builder's admin pages, their templates."""

    name = "lightfield"
    verbose_name = "Lightfield"

    def ready(self) -> None:
        import lightfield.celery
        import lightfield.durability  # noqa: F401  the first makes our Celery app everybody's, the second a check
