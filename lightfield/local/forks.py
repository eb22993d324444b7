"""Starts processes by the fork server, and where that cannot be, as interpreters of their own.

    supervisor ──► fork server ──► (a process that ends at once) ──► the process, orphaned

Linux gives an orphan to its nearest ancestor that asked for orphans (PR_SET_CHILD_SUBREAPER): the supervisor. So what is
forked is a child like any other: its end is waited for, and it dies with the supervisor.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

from lightfield.local.boot import ROOT, say
from lightfield.local.children import Child, adopting_orphans, has_ended, spawn, stop
from lightfield.local.fork_server import TITLE_BYTES, Order
from lightfield.local.home import Home

READY_SECONDS = 30.0  # for its imports, on a busy machine, while nothing else is to be looked after yet
AGAIN_SECONDS = 10.0  # for the same later: meanwhile nobody looks after the others
ANSWER_SECONDS = 3.0  # for one fork
ATTEMPTS = 2  # a fork server may have ended: it was killed, or its code has changed
NAME, MODULE = "fork-server", "lightfield.local.fork_server"


class Forked:
    """A child that we did not start and so have no Popen for. Its methods are Popen's."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.returncode if self.returncode is not None else self._reap(os.WNOHANG)

    def wait(self) -> int:
        code = self.returncode if self.returncode is not None else self._reap(0)
        assert code is not None
        return code

    def send_signal(self, number: int, /) -> None:
        if self.poll() is None:  # until it is reaped its number is nobody else's
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Forks:
    """The fork server of one supervisor. Used from its main thread: children die with the thread that started them."""

    def __init__(self, home: Home, environ: dict[str, str]) -> None:
        self.home = home
        self.environ = environ
        self._server: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._is_wanted = sys.platform.startswith("linux")
        self._has_worked = False

    def spawn(self, name: str, command: Sequence[str], environ: dict[str, str], *, log: str) -> Child:
        """Start `python -m MODULE …`; both streams go to the log called `log`."""
        output = self.home.open_log(log)
        order = Order(name, command[2], list(command[3:]), environ)
        for _ in range(ATTEMPTS if self._is_wanted else 0):
            try:
                return self._fork(order, output)
            except (OSError, EOFError) as problem:
                reason = problem
            self.close()
            if not self._has_worked:  # nor will it
                self._is_wanted = False
                say(f"processes share no memory: the fork server does not work ({reason})")
                break
        return spawn(command, cwd=ROOT, environ=environ, output=output, when_parent_dies=signal.SIGKILL)

    def _fork(self, order: Order, output: int) -> Child:
        """Closes `output` when it worked.

        Raises:
            OSError, EOFError: no process was started.
        """
        line = self._running()
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_SECONDS)
        with ours, ours.makefile("rb") as answers, adopting_orphans():
            with theirs:
                socket.send_fds(line, [b"\n"], [theirs.fileno(), output])
            said = answers.readline()
            if not said:
                raise EOFError("it forked nothing")
            child = Forked(int(said))
            child.poll()  # ChildProcessError (an OSError) where orphans are given to somebody else
            ours.sendall(order.write() + b"\n")
        os.close(output)
        self._has_worked = True
        return child

    def _running(self) -> socket.socket:
        """The line to the fork server, which is started when there is none."""
        if self._line is not None and self._server is not None and not has_ended(self._server):
            return self._line
        self.close()
        self._line, theirs = socket.socketpair()
        self._line.settimeout(AGAIN_SECONDS if self._has_worked else READY_SECONDS)
        with theirs:
            self._server = spawn(
                [sys.executable, "-m", MODULE, "." * TITLE_BYTES],
                cwd=ROOT,
                environ=self._without_settings(),
                output=self.home.open_log(NAME),
                when_parent_dies=signal.SIGKILL,
                stdin=theirs.fileno(),
            )
        if not self._line.recv(1):
            raise EOFError(self.home.last_lines(NAME, 1))
        return self._line

    def _without_settings(self) -> dict[str, str]:
        """What is told apart by the settings must not be imported: without them, that fails at once."""
        return {name: value for name, value in self.environ.items() if name != "DJANGO_SETTINGS_MODULE"}

    def close(self) -> None:
        """End the fork server; what it forked lives on."""
        if self._line is not None:
            self._line.close()
        if self._server is not None:
            stop([(self._server, signal.SIGKILL)], grace=1)  # it holds nothing that could be lost
        self._line = self._server = None
