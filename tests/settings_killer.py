"""The product's settings, and an app whose steps end their process. For the children of `tests/…/test_cells.py`."""

from lightfield.settings import *  # noqa: F403
from lightfield.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.killer_app.apps.KillerConfig"]
