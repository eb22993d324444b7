"""The gunicorn worker: gthread, with threads for whole requests only.

A thread of gthread reads a request's headers, and a body that a view asks for, for as long as the sender likes:
as many half requests as there are threads would stop the whole site. Here a connection waits in the poller, which
costs no thread, until its headers are there; and then all of the request has to arrive within a time.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Final

from gunicorn.workers import gthread

from lightfield.kernel.slow_senders import Alarm

READ_SECONDS: Final = 15.0  # for the headers, and again for the rest; a webhook's body alone may take 10
PEEK_BYTES: Final = 16 * 1024  # longer headers are waited for in a thread
END_OF_HEAD: Final = b"\r\n\r\n"

_alarm = Alarm()


class Worker(gthread.ThreadWorker):
    """Used as `--worker-class lightfield.web_worker.Worker`."""

    def handle(self, conn: Any) -> Any:
        """One request of a connection, in a thread; or back to the poller until more of it is there."""
        if not self.cfg.is_ssl and not _is_head_there(conn):
            return gthread._DEFER if time.monotonic() < conn.head_due else False
        with _alarm.set_for(READ_SECONDS, conn.sock):
            return super().handle(conn)


def _is_head_there(conn: Any) -> bool:
    """Whether the headers have arrived, or will not: looks at what has, and leaves it there.

    What is left there would wake the poller at once, so it is told to wait for one byte more (SO_RCVLOWAT). Woken
    without one, it saw the end of the connection.
    """
    if conn.parser is not None and conn.parser.unreader.buf.getvalue():
        return True  # the last request's body was read together with the beginning of this one
    before = getattr(conn, "peeked", 0)
    try:
        head = conn.sock.recv(PEEK_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        is_there, peeked = False, before
    except OSError:
        return True  # gthread knows what to do about it
    else:
        is_there = END_OF_HEAD in head or len(head) in (before, PEEK_BYTES)
        peeked = 0 if is_there else len(head)
    if is_there or not hasattr(conn, "head_due"):
        conn.head_due = time.monotonic() + READ_SECONDS
    conn.peeked = peeked
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, peeked + 1)
    return is_there
