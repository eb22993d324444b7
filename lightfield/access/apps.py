from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "lightfield.access"
    label = "access"
    verbose_name = "Access"
