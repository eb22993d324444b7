"""The Celery app: three queues, JSON only, no results. Celery carries bells; PostgreSQL keeps the truth.

Why each setting has its value is told in `docs/adr/0002-celery-rings-postgresql-remembers.md`.
"""

from __future__ import annotations

import os
import resource
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init
from django.conf import settings
from kombu import Exchange, Queue

from lightfield import broker, flower_login, remote_control
from lightfield.kernel import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lightfield.settings")

# A sweep waits behind what its queue holds. Were it dropped after a second, nobody would look after lost steps for as
# long as the queue is longer than that; a few too many at once cost milliseconds each.
SWEEP_KEPT_SECONDS = 30
OPEN_FILES = 8192  # of one worker

# Celery would run Django's system checks in each of its processes; the migration that every start begins with has run
# all of them. It cost 0.1 s and 4 MB of each.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

broker.install()
if settings.ROLE == "flower":
    flower_login.install()
app = Celery("lightfield", amqp="lightfield.broker:AMQP")
app.set_default()  # for every thread: without it, only the importing thread would find this app
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # the default gives up after 100 tries
    broker_transport_options={
        "max_connections": 1000,
        "socket_keepalive": True,
        "socket_timeout": 30,
        "health_check_interval": 25,
    },
    # Each with an exchange of its own: left to the defaults, all three would be bound to the first one's.
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in ("fast", "http", "ai")],
    task_default_queue="fast",
    task_create_missing_queues=False,
    task_serializer="json",
    accept_content=["json"],
    event_serializer="json",
    result_backend=None,
    result_expires=None,  # beat would add a nightly clean-up of results that we do not keep
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_send_sent_event=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,  # the workers that Flower watches are started with -E
    worker_hijack_root_logger=False,
    worker_consumer="lightfield.events:Consumer",
    worker_enable_remote_control=True,
    enable_utc=True,
    timezone="UTC",
    beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    beat_schedule={
        "lightfield: sweep": {
            "task": "executions.sweep",
            "schedule": timedelta(seconds=settings.LIGHTFIELD_SWEEP_SECONDS),
            "options": {"queue": "fast", "expire_seconds": SWEEP_KEPT_SECONDS},
        },
        "lightfield: ticks": {
            "task": "triggers.fire_ticks",
            "schedule": timedelta(seconds=1),
            "options": {"queue": "fast", "expire_seconds": SWEEP_KEPT_SECONDS},
        },
        **{
            f"lightfield: heartbeat {queue}": {
                "task": "executions.beat_heart",
                "schedule": timedelta(seconds=10),
                "args": [queue],
                "options": {"queue": queue, "expire_seconds": 10},
            }
            for queue in ("fast", "http", "ai")
        },
    },
)
if settings.ROLE not in ("beat", "flower"):  # who know tasks by their names
    app.autodiscover_tasks(["executions", "triggers"])


@worker_init.connect
def _raise_file_limit(**_: Any) -> None:
    """600 waiting steps, kept-alive connections and the pool need more files than the usual 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


@worker_init.connect
def _listen_to_questions_only(**_: Any) -> None:
    remote_control.install()


@worker_init.connect
def _prepare_cells(**_: Any) -> None:
    """Before the first thread: afterwards a lost step would wait for a new interpreter.

    Fast workers have no cells. An AI worker's new interpreter would besides have to import what asks models: 20 to 30 s
    on a busy machine, in which an agent that lost its worker waits.
    """
    if settings.ROLE in ("worker-http", "worker-ai"):
        from executions import cell_server

        cell_server.prepare()


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    logs.configure()
