"""The gunicorn worker: gthread, with threads for whole requests only, and with nothing secret in its logs.

A thread of gthread reads a request's headers, and a body that a view asks for, for as long as the sender likes:
as many half requests as there are threads would stop the whole site. Here a connection waits in the poller, which
costs no thread, until its headers and a body of usual size are there; who is too slow for that is answered 408.

What a thread has to wait for are chunked bodies and large ones. At most half of the threads do; the others of this kind
stand in line.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any, Final

from gunicorn.workers import gthread

from lightfield import web_answers, web_heads, web_log
from lightfield.kernel import stopping
from lightfield.kernel.slow_senders import Alarm
from lightfield.web_heads import State

READ_SECONDS: Final = (
    15.0  # for the headers; and for all that a thread reads, of which a webhook's body alone may take 10
)
BODY_SECONDS: Final = 10.0  # from the headers to the last byte of a body that is waited for without a thread
ROUND_SECONDS: Final = 0.005  # many clients send headers and body in two packets, right after each other
LOOK_SECONDS: Final = 0.5  # between two looks at who is late

LINGER_SECONDS: Final = 2.0
DRAINED_BYTES: Final = 64 * 1024

IN_LINE: Final = object()  # an answer of `handle`: it needs one of the places of the slow, and there is none

_alarm = Alarm()


class Worker(gthread.ThreadWorker):
    """Used as `--worker-class lightfield.web_worker.Worker`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        web_log.keep_secrets_out(self.log)
        self._slow_places = max(1, self.cfg.threads // 2)
        self._slow: set[Any] = set()  # connections that have a place
        self._line: deque[Any] = deque()  # those that wait for one; all of it is the main thread's
        self._lingering: dict[Any, None] = {}  # answered for the last time, and not yet closed
        self._next_look = 0.0  # monotonic

    def handle_exit(self, sig: Any, frame: Any) -> None:
        stopping.request()  # whoever waits for a run is answered now
        super().handle_exit(sig, frame)

    # --- in a thread ------------------------------------------------------------------------------

    def handle(self, conn: Any) -> Any:
        """One request of a connection; or back to the poller until more of it is there."""
        if self.cfg.is_ssl or conn in self._slow:
            return self._whole(conn)
        seen = self._seen(conn)
        if seen.state is State.WHOLE:
            return self._whole(conn)
        if not self.alive:
            return False
        if time.monotonic() >= conn.due:
            return self._too_late(conn, seen)
        return IN_LINE if seen.state is State.UNFORESEEN else gthread._DEFER

    def _whole(self, conn: Any) -> Any:
        conn.due = None
        web_heads.wake_at(conn, 1)
        with _alarm.set_for(READ_SECONDS, conn.sock):
            return super().handle(conn)

    def _seen(self, conn: Any) -> web_heads.Seen:
        """How much is there, after a moment for what usually comes at once. What is missing will wake us."""
        if conn.parser is not None and conn.parser.unreader.buf.getvalue():
            # The last request's body was read together with the beginning of this one
            seen = web_heads.Seen(State.UNFORESEEN)
        else:
            seen = web_heads.look(conn.sock)
        is_new = getattr(conn, "due", None) is None
        if is_new:
            conn.due, conn.there, conn.is_head_there = time.monotonic() + READ_SECONDS, -1, False
        if seen.state is State.BODY_MISSING:
            web_heads.wake_at(conn, seen.wanted)
            if not conn.is_head_there:
                conn.due, conn.is_head_there = time.monotonic() + BODY_SECONDS, True
                if web_heads.comes_within(conn.sock, ROUND_SECONDS):
                    seen = web_heads.look(conn.sock)
        if seen.state in (State.HEAD_MISSING, State.BODY_MISSING):
            web_heads.wake_at(conn, seen.wanted)
            if conn.data_ready and seen.there == conn.there:
                return web_heads.Seen(State.UNFORESEEN)  # woken for nothing: the other side has ended
            conn.data_ready, conn.there = False, seen.there
        return seen

    def _too_late(self, conn: Any, seen: web_heads.Seen) -> bool:
        """Ends the connection; says why, unless it never began to send."""
        if seen.there or seen.state is State.UNFORESEEN:
            web_answers.write(conn.sock, "payload.too_slow" if conn.is_head_there else "request.too_slow")
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002  gunicorn's signature
        """Answer what could not be read, without a word of it: gunicorn would log and show it, and it may hold a secret."""
        code = web_answers.code_of(exc)
        if code == "engine.internal":
            self.log.exception("Error handling request")
        else:
            self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], type(exc).__name__)
        web_answers.write(client, code)

    # --- in the main thread -----------------------------------------------------------------------

    def finish_request(self, conn: Any, fs: Any) -> None:
        self._slow.discard(conn)
        result = fs.result() if not fs.cancelled() and fs.exception() is None else None
        if result is IN_LINE:
            self._line.append(conn)
        elif result is False and not self.cfg.is_ssl:
            self._linger(conn)
        else:
            super().finish_request(conn, fs)
        while self._line and len(self._slow) < self._slow_places:
            self._slow.add(self._line[0])
            self.enqueue_req(self._line.popleft())

    def _linger(self, conn: Any) -> None:
        """End a connection so that its last answer arrives: what is still being sent is thrown away for a moment.

        gunicorn does the same by waiting here, in the thread that all connections depend on: each sender that did
        not hang up stopped them all for two seconds.
        """
        try:
            web_heads.wake_at(conn, 1)
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except OSError:
            self._end(conn)
            return
        conn.timeout, conn.drained = time.monotonic() + LINGER_SECONDS, 0
        self._lingering[conn] = None

    def _drain(self, conn: Any, _sock: Any) -> None:
        try:
            more = len(conn.sock.recv(DRAINED_BYTES))
        except BlockingIOError:
            return
        except OSError:
            more = 0
        conn.drained += more
        if not more or conn.drained > DRAINED_BYTES:
            self._give_up(conn)

    def _give_up(self, conn: Any) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        self._end(conn)

    def _end(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Who is late gets a thread once more, for the answer that says so; so does everybody when the process ends."""
        if self.cfg.is_ssl:
            super().murder_pending()
            return
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        for conn in [conn for conn in self._lingering if now >= conn.timeout]:
            self._give_up(conn)
        for conn in [conn for conn in self.pending_conns if _is_due(conn, now) or not self.alive]:
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            conn.data_ready = False
            self.enqueue_req(conn)
        for conn in [conn for conn in self._line if _is_due(conn, now) or not self.alive]:
            self._line.remove(conn)
            self.enqueue_req(conn)


def _is_due(conn: Any, now: float) -> bool:
    due = getattr(conn, "due", None)
    return due is None or now >= due
