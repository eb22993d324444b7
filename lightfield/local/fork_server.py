"""The fork server: a process that has imported what most of ours import, and forks itself for each that is wanted.

Linux keeps one copy of memory that a fork shares with its parent for as long as nobody writes there: an installation
takes a fifth less than the same processes as interpreters of their own (ADR 0014), and a health check costs no start of
Python.

`lightfield.local.forks` starts it and gives it orders; standard input is the line on which they come. What is forked is
nobody's child here: it becomes a child of the supervisor, and lives on when the fork server dies. From then on it is
`python -m MODULE ARGUMENTS` in all that others can see.

Nothing is imported that reads settings, which depend on LIGHTFIELD_ROLE, or that makes something of its own when it is
imported, such as a name. When a file of what was imported has changed, the fork server ends, and the next one reads it anew.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lightfield.local.children import die_with

LINE = 0  # the descriptor: standard input
TITLE_BYTES = 1024  # room for a command line; a longer one is cut
PR_SET_NAME = 15
NAME_BYTES = 15  # the kernel's limit
POLL_SECONDS = 0.001

# What two or more processes import, measured in each; the rest comes with these.
SHARED = (
    *("celery.bin.celery", "celery.app.amqp", "celery.contrib.django.task"),
    *("celery.worker.consumer", "celery.worker.components", "celery.concurrency.thread"),
    *("celery.apps.worker", "celery.apps.beat", "kombu.transport.redis"),
    *("flower.command", "flower.app"),
    *("django.core.management", "django.db.models", "django.db.backends.postgresql.base"),
    *("django.db.migrations.executor", "django.db.migrations.autodetector", "django.contrib.postgres.fields"),
    *(
        "django.forms",
        "django.urls",
        "django.views.generic",
        "django.views.defaults",
        "django.middleware.csrf",
    ),
    *("django.template.defaulttags", "django.template.loader_tags", "django.template.backends.django"),
    *("django.core.cache.backends.locmem", "dj_database_url", "cron_descriptor", "crontab"),
    *("psycopg", "psycopg.types.hstore", "psycopg_pool", "structlog", "http.client"),
    *("pydantic", "pydantic.main", "liquid", "requests", "h11", "gunicorn.app.wsgiapp"),
    "cryptography.hazmat.primitives.ciphers.aead",
    # Of ours what is pure; its pydantic models alone would be 6 MB in each process.
    *("workflows.definitions", "workflows.filters", "workflows.retry_policy"),
    *("workflows.templating.compiler", "workflows.step_types", "workflows.trigger_types"),
)


@dataclass(frozen=True)
class Order:
    """One process that is wanted."""

    name: str
    module: str
    arguments: list[str]
    environ: dict[str, str]

    def write(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        return cls(**json.loads(line))


def main() -> None:
    """Serve; and in each process that was forked, be what was ordered."""
    call_this_process("fork-server", [sys.executable, "-m", "lightfield.local.fork_server"])
    supervisor = os.getppid()
    import_what_is_shared()
    files = files_of_modules()
    line = socket.socket(fileno=LINE)
    line.sendall(b"\n")  # from now on an order is obeyed at once
    order = serve(line, supervisor, files)
    if order is not None:
        _run(order)


def import_what_is_shared() -> None:
    """Leaves no garbage between what is kept, and tells the collector never to look at it: it would write there."""
    gc.disable()
    for name in SHARED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()


def files_of_modules() -> dict[str, int]:
    """The files of all that is imported, and when each was written last."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {file: written for file in files if file and (written := _written(file))}


def _written(file: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(file).st_mtime_ns
    return 0


def serve(line: socket.socket, supervisor: int, files: dict[str, int]) -> Order | None:
    """Fork until the line ends or one of `files` has changed: then None. Returns the order in each forked process.

    With each message come two descriptors: a conversation with the supervisor, and the log.
    """
    while True:
        _, descriptors, _, _ = socket.recv_fds(line, 1, 2)
        if len(descriptors) != 2 or any(_written(file) != written for file, written in files.items()):
            return None
        if _fork_orphan():
            line.detach()  # its number stays taken until standard input replaces it
            conversation, log = descriptors
            return _begin(conversation, log, supervisor)
        for number in descriptors:
            os.close(number)


def _fork_orphan() -> bool:
    """Fork a child whose parent has ended, so that it is handed to the supervisor. True in that child."""
    server = os.getpid()
    try:
        first = os.fork()
        if first:
            os.waitpid(first, 0)
            return False
        first = os.getpid()
        if os.fork():
            os._exit(0)
    except OSError:  # no memory, or too many processes: the conversation ends, and the supervisor sees that
        if os.getpid() != server:
            os._exit(1)
        return False
    while os.getppid() == first:
        time.sleep(POLL_SECONDS)
    return True


def _begin(conversation: int, log: int, supervisor: int) -> Order:
    """In the forked process: tell the supervisor who we are, and wait until it has taken us for its child."""
    os.setsid()  # a group of its own: the terminal's Ctrl-C is for the supervisor alone
    if not die_with(supervisor, signal.SIGKILL):
        os._exit(1)
    with socket.socket(fileno=conversation) as talk, talk.makefile("rb") as lines:
        talk.sendall(f"{os.getpid()}\n".encode())
        order, go = lines.readline(), lines.readline()
    if not go:  # it has given us up and started another in our place
        os._exit(1)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    return Order.read(order)


def _run(order: Order) -> None:
    """`python -m MODULE ARGUMENTS`, but for what is imported already."""
    os.environ.clear()
    os.environ.update(order.environ)
    call_this_process(order.name, [sys.executable, "-m", order.module, *order.arguments])
    sys.argv[1:] = order.arguments
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


def call_this_process(name: str, command: list[str]) -> None:
    """What `top` and `ps` say of it. The command line is written where this process was given its own, which is padded.

    Without /proc, or in a sandbox that does not tell where that is, they go on calling it the fork server.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:NAME_BYTES]), 0, 0, 0)
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: see proc(5)
        if 0 < begin < end:
            title = b"\0".join(part.encode() for part in command)[: end - begin - 1]
            ctypes.memset(begin, 0, end - begin)
            ctypes.memmove(begin, title, len(title))


if __name__ == "__main__":
    main()
