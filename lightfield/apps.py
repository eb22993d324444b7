from django.apps import AppConfig


class LightfieldConfig(AppConfig):
    """The composition root as an app: the builder's admin pages, their templates, system checks."""

    name = "lightfield"
    verbose_name = "Lightfield"
