"""The baseline: what a Django user writes first. A view publishes a chain of Celery tasks, one per step.

Redis is broker and result store, and nothing is durable. Every ratio that we publish is against this, in the
same session. Environment: SINK_URL, REDIS_URL.

    gunicorn benchmarks.naive --workers 2 --threads 4
    celery -A benchmarks.naive worker --pool prefork -c 2
"""

from __future__ import annotations

import json
import os
from typing import Any

import django
import requests
from celery import Celery, chain
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0")

celery = app = Celery("naive", broker=REDIS_URL, backend=REDIS_URL)


@app.task
def step(run: str, number: int) -> int:
    """One request of one run."""
    headers = {"Idempotency-Key": f"{run}/{number}"}
    body = {"run": run, "step": number}
    return requests.post(os.environ["SINK_URL"], json=body, headers=headers, timeout=60).status_code


def hook(request: HttpRequest) -> JsonResponse:
    event: dict[str, Any] = json.loads(request.body)
    chain(*[step.si(event["id"], number) for number in range(event["steps"])]).delay()
    return JsonResponse({"id": event["id"]}, status=202)


urlpatterns = [path("hook", hook)]

if not settings.configured:
    settings.configure(
        DEBUG=False,
        SECRET_KEY="benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        INSTALLED_APPS=[],
    )
    django.setup()
application = get_wsgi_application()
