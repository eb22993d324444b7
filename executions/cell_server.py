"""The cell server: a child of a worker with everything imported, one thread and no connection. It forks cells.

A cell is there within milliseconds where a new interpreter would take more than a second of CPU. The server
reads orders from the line on its standard input, reports how each cell ended, and ends one that takes too long.
When the line ends, its worker is gone: it takes no more orders and ends with its last cell.

SIGTERM, SIGINT and SIGHUP end neither the server nor a cell. They come to all processes at once when a service
manager or a terminal stops a worker, which then waits for what it holds, cells included: a cell that was ended
by one would be taken for one that its step had ended.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.db import InterfaceError, OperationalError

from executions import cell_limits, cells, leases
from executions.agents import asking
from executions.cell_line import Order, Server
from lightfield.kernel import bells, logs

logger = logging.getLogger(__name__)

LINE = 0  # the descriptor: standard input
LONGEST_ORDER = 65_536  # bytes
MOST_FILES = 65_536  # descriptors beyond this are nobody's
OVERDUE_EVERY = 1.0  # seconds


@dataclass(frozen=True)
class Cell:
    """A child that runs."""

    name: str
    end_at: float  # monotonic


class CellServer:
    """Takes orders and forks until the line ends."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._unread = b""
        self._cells: dict[int, Cell] = {}
        self._is_open = True
        self._wakes, self._wakened = socket.socketpair()
        for end in (self._wakes, self._wakened):
            end.setblocking(False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, _ignored)
        signal.set_wakeup_fd(self._wakened.fileno(), warn_on_full_buffer=False)
        while self._is_open or self._cells:
            if self._wait():
                self._read()
            self._reap()
            self._end_overdue()

    def close(self) -> None:
        self._wakes.close()
        self._wakened.close()

    def _wait(self) -> bool:
        """Until there is something on the line, a child has ended, or it is time to look for overdue ones."""
        poll = select.poll()
        poll.register(self._wakes, select.POLLIN)
        if self._is_open:
            poll.register(self._line, select.POLLIN)
        ready = {number for number, _ in poll.poll(OVERDUE_EVERY * 1000 if self._cells else None)}
        if self._wakes.fileno() in ready:
            self._wakes.recv(4096)
        return self._line.fileno() in ready

    def _read(self) -> None:
        try:
            received = self._line.recv(LONGEST_ORDER)
        except OSError:
            received = b""
        if not received:
            self._is_open = False
            return
        *lines, self._unread = (self._unread + received).split(b"\n")
        if len(self._unread) > LONGEST_ORDER:
            lines, self._unread = [*lines, self._unread], b""
        for line in filter(None, lines):
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            order = Order.read(line)
        except (ValueError, RecursionError) as error:
            logger.warning("cell_order_refused", extra={"order": repr(line[:200]), "error": str(error)})
            return
        if settings.ROLE == "worker-ai":
            asking.prepare()  # with the first cell, for all of them: who loses no agent never pays for it
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes: the steps are rung for again
            logger.warning("cell_not_forked", extra={"error": str(error), "step_run_ids": order.ids})
            self._report(name=order.name, code=None)
            return
        if pid == 0:
            become_cell(order)
        self._cells[pid] = Cell(order.name, time.monotonic() + order.seconds)
        self._report(name=order.name, pid=pid)

    def _reap(self) -> None:
        for pid in list(self._cells):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._report(name=self._cells.pop(pid).name, code=os.waitstatus_to_exitcode(status))

    def _end_overdue(self) -> None:
        for pid, cell in self._cells.items():
            if time.monotonic() > cell.end_at:
                logger.error("cell_overdue", extra={"cell": cell.name})
                os.kill(pid, signal.SIGKILL)

    def _report(self, **answer: Any) -> None:
        if self._is_open:
            try:
                self._line.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:  # the worker is gone
                self._is_open = False


def become_cell(order: Order) -> NoReturn:
    """In the forked child: run the steps, then end. Never returns, whatever happens."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, LINE)  # the line is the server's alone
        os.closerange(3, MOST_FILES)
        leases.rename(order.name)
        cell_limits.limit_this_process()
        _keep_to_few_connections()
        code = run_steps(order)
        bells.flush()
    except BaseException as error:  # a step's own, e.g. SystemExit: its cell's death is the step's doing
        cell_limits.end_cell_if_out_of_memory(error)
        logger.exception("cell_failed", extra={"step_run_ids": order.ids})
    finally:
        os._exit(code)


def run_steps(order: Order) -> int:
    """The cell's exit code. Neither a database that is away nor an error of ours may be charged to the steps.

    Whatever a step raises has become its outcome by then. What is raised here is for want of something else: no
    thread could be started, for one, because the container may have no more of them.
    """
    try:
        cells.run_here(list(order.ids), order.lane)
    except (OperationalError, InterfaceError) as error:
        logger.warning("database_unavailable", extra={"step_run_ids": order.ids, "error": str(error)})
    except Exception as error:
        cell_limits.end_cell_if_out_of_memory(error)
        logger.exception("cell_failed", extra={"step_run_ids": order.ids})
        return cells.ENGINE_FAILED
    return 0


def _keep_to_few_connections() -> None:
    """Many cells may run at once, and PostgreSQL serves so many connections only.

    Two: while one stays with a thread that runs an author's code, the leases are still renewed through the other.
    """
    pool = settings.DATABASES["default"].get("OPTIONS", {}).get("pool")
    if isinstance(pool, dict):
        pool["max_size"] = 2


def serve(line: socket.socket) -> None:
    """Be the cell server until the line ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ignored)
    logs.configure()
    _import_what_cells_need()
    gc.freeze()
    CellServer(line).serve()


def _ignored(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN, a handler is not inherited by programs that a step starts."""


def _import_what_cells_need() -> None:
    """What is imported late elsewhere, and would be by every single cell."""
    import kombu.transport.redis  # noqa: F401  for what importing it takes
    import psycopg_pool  # noqa: F401  for what importing it takes
    from celery import current_app

    current_app.finalize(auto=True)
    current_app.amqp  # noqa: B018  built when it is first looked at


def prepare() -> None:
    """Fork this worker's cell server while the worker has one thread: it shares the memory of all that is imported.

    Called when the worker starts. With more threads nothing is done, and the first lost step starts a server.
    """
    if not _has_one_thread():
        logger.info("cell_server_not_prepared", extra={"threads": threading.active_count()})
        return
    ours, theirs = socket.socketpair()
    gc.collect()
    gc.freeze()  # or the next collection of either process would copy every page that they share
    try:
        pid = os.fork()
    except OSError as error:
        logger.warning("cell_server_not_prepared", extra={"error": str(error)})
        return
    if pid == 0:
        _become_server(theirs)
    theirs.close()
    cells.line.use(Server(ours, pid, lambda: os.waitpid(pid, 0)))


def _has_one_thread() -> bool:
    tasks = Path("/proc/self/task")
    return threading.active_count() == 1 and (not tasks.is_dir() or len(list(tasks.iterdir())) == 1)


def _become_server(line: socket.socket) -> NoReturn:
    code = 1
    try:
        os.dup2(line.fileno(), LINE)
        os.closerange(3, MOST_FILES)
        serve(socket.socket(fileno=LINE))
        code = 0
    except BaseException:
        logger.exception("cell_server_failed")
    finally:
        sys.stderr.flush()
        os._exit(code)
