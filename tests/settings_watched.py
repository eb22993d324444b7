"""A project beside Lightfield: the product's settings, its own app, and somebody else's model watched by the setting.

For children of tests, and for mypy, which has to know the app's models.
"""

from lightfield.settings import *  # noqa: F403
from lightfield.settings import INSTALLED_APPS, ROLE

if ROLE not in ("beat", "flower"):  # which load no models
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.watched_app.apps.WatchedConfig"]
LIGHTFIELD_WATCH = {"auth.User": {"entity": "user", "exclude": ["last_login"]}}
