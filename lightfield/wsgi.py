"""WSGI entry: `gunicorn lightfield.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from lightfield.kernel import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lightfield.settings")

logs.configure()
application = get_wsgi_application()
