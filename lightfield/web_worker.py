"""The gunicorn worker: gthread that does not wait for slow senders.

A thread of gthread reads a request's headers, and a body that a view asks for, for as long as the sender likes:
as many half requests as there are threads would stop the whole site. What stands in front of it in production
may do better; here a connection has a moment for its first byte, and then a time to send all of one request.
"""

from __future__ import annotations

from typing import Any, Final

from gunicorn.workers import gthread

from lightfield.kernel.slow_senders import Alarm

READ_SECONDS: Final = 15.0  # from the first byte of a request to its last; a webhook's body alone may take 10
FIRST_BYTE_SECONDS: Final = 0.1  # after that the connection waits for its first byte without a thread

_alarm = Alarm()


class Worker(gthread.ThreadWorker):
    """Used as `--worker-class lightfield.web_worker.Worker`."""

    def handle(self, conn: Any) -> Any:
        """One request of a connection, in a thread."""
        if not conn.initialized and not conn.wait_for_data(FIRST_BYTE_SECONDS):
            return gthread._DEFER
        with _alarm.set_for(READ_SECONDS, conn.sock):
            return super().handle(conn)
