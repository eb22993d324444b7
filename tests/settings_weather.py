"""The product's settings, and an app that brings step types of its own. For children of tests."""

from lightfield.settings import *  # noqa: F403
from lightfield.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.weather_app.apps.WeatherConfig"]
