"""WSGI entry: `gunicorn lightfield.wsgi`."""

from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from lightfield.kernel import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lightfield.settings")

logs.configure()
application = get_wsgi_application()
# gunicorn loads this before it forks (--preload): what is here by then is in memory once for all its workers.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
