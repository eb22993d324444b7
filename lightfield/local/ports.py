"""Ports chosen once and kept, below the range (32768 and up) from which kernels take ports for outgoing calls.

A port inside that range could be taken by any connection of any program while a server restarts.
"""

from __future__ import annotations

import errno
import secrets
import socket

from lightfield.local.boot import CannotStart
from lightfield.local.home import Home

FIRST, LAST = 10_000, 32_000


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise CannotStart(f"cannot listen on {host}: {error.strerror}") from error
    return True


def any_free(host: str) -> int:
    for _ in range(1000):
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if is_free(host, port):
            return port
    raise CannotStart(f"no free port between {FIRST} and {LAST} on {host}")


def kept(home: Home, name: str, host: str) -> int:
    """This installation's port called `name`; another one, kept from now on, if it is taken."""
    port = home.keep(name, lambda: any_free(host))
    if not is_free(host, port):
        port = any_free(host)
        home.replace(name, port)
    return port
