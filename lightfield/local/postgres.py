"""The embedded PostgreSQL: its data folder, its start, its recovery after a kill -9 of anything.

Reached by a unix socket in the data folder (0700), by no network. The server knows its data only as
/proc/self/fd/N, a folder that we opened for it: a root-owned 0700 folder above is no obstacle then, since
nobody has to walk through it, and no mode outside the data folder is ever changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from lightfield.local import programs
from lightfield.local.boot import CannotStart
from lightfield.local.children import Account, Child, can_read_processes, end_all, run_as, spawn, working_in
from lightfield.local.home import OUTSIDE, Home
from lightfield.local.ownership import data_folder, give_to

LONGEST_SOCKET_FOLDER = 107 - len("/.s.PGSQL.5432")  # bytes; sun_path holds 108 with its final NUL
QUIET_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# One statement per line, as single-user mode reads them. The application's role owns its database and may
# make test databases; it is no superuser, as it would not be in production.
FIRST_STATEMENTS = """\
CREATE ROLE lightfield LOGIN CREATEDB
CREATE DATABASE lightfield OWNER lightfield
"""
# So that a test's rows are deleted at once, whatever refers to them or guards them.
FIRST_STATEMENTS_OF_TESTS = """\
GRANT SET ON PARAMETER session_replication_role TO lightfield
"""


class Postgres:
    """One PostgreSQL server in a home. `durable=False` trades safety against power loss for speed (tests)."""

    name = "postgres"
    variable = "DATABASE_URL"
    stop_signal = signal.SIGINT  # PostgreSQL's fast shutdown: open transactions are rolled back

    def __init__(self, home: Home, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.account = programs.server_account(home)
        self.program = programs.reachable(home, self.account, programs.postgres())
        self.data = data_folder(home, self.name, self.account)

    @property
    def url(self) -> str:
        return f"postgresql://lightfield@/lightfield?host={quote(str(self._socket_folder()))}"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server; it is ready when `is_ready` says so. What still runs on the data is ended first."""
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        self._end_orphans()
        with _opened(self.data) as (inside, descriptors):
            command: list[str | Path] = [self.program, "-D", inside]
            for name, value in self._settings(inside).items():
                command += ["-c", f"{name}={value}"]
            return spawn(
                command,
                cwd=self.data,
                environ=QUIET_ENVIRONMENT,
                output=self.home.open_log(self.name),
                when_parent_dies=self.stop_signal,
                account=self.account,
                keep_open=descriptors,
            )

    def _settings(self, inside: str) -> dict[str, str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": inside,
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "128MB",
            "dynamic_shared_memory_type": "mmap",  # /dev/shm of a container may be tiny
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %a ",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return settings

    def is_ready(self, child: Child) -> bool:
        """Whether it takes connections: the eighth line of postmaster.pid is its status (see pg_ctl)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(child.pid) and lines[7].strip() == "ready"

    def _make_cluster(self) -> None:
        """Make the cluster beside its final place and move it there whole: a half-made one is never used."""
        new = self.data.with_name(self.data.name + ".new")
        end_all(lambda: working_in(new, ["postgres", "initdb"]), first=signal.SIGKILL, grace=5)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        # initdb insists on an account with a name; the server itself does not.
        maker = Account(programs.NOBODY, programs.NOBODY) if self.account else None
        give_to(maker, new)
        with _opened(new) as (inside, descriptors):
            run = partial(run_as, maker, cwd=new, environ=QUIET_ENVIRONMENT, keep_open=descriptors)
            done = run([self.program.with_name("initdb"), "-D", inside, *self._initdb_options()])
            if done.returncode == 0:
                statements = FIRST_STATEMENTS + ("" if self.durable else FIRST_STATEMENTS_OF_TESTS)
                done = run([self.program, "--single", "-D", inside, "postgres"], stdin=statements)
        if done.returncode != 0 or "ERROR" in done.stderr:
            shutil.rmtree(new, ignore_errors=True)
            said = [line for line in done.stderr.splitlines() if re.search("error|fatal|panic", line, re.I)]
            raise CannotStart(f"PostgreSQL cannot make its data folder {self.data}: {(said or ['?'])[0]}")
        give_to(self.account, new)
        new.rename(self.data)  # replaces the empty folder

    def _initdb_options(self) -> list[str]:
        """The same order and letters on every machine, from PostgreSQL 17 on beyond ASCII too."""
        ask = run_as(self.account, [self.program, "--version"], cwd=Path("/"), environ=QUIET_ENVIRONMENT)
        major = re.search(r"\d+", ask.stdout)
        locale = ["--no-locale"]
        if major and int(major[0]) >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        access = ["--username=postgres", "--auth-local=trust", "--auth-host=reject"]
        return [*access, *locale, "--encoding=UTF8", *([] if self.durable else ["--no-sync"])]

    def _end_orphans(self) -> None:
        """End servers that outlived their supervisor, then take away the lock files of dead ones.

        The number in a lock file may belong to another process by now, and PostgreSQL would refuse to start
        for good. Who really runs on the data is asked from /proc.
        """
        if not can_read_processes():
            return
        end_all(lambda: working_in(self.data, ["postgres"]), first=signal.SIGQUIT, grace=5)
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self.data / name).unlink(missing_ok=True)

    def _socket_folder(self) -> Path:
        """The data folder, or a short link to it when its path is too long for a socket's address."""
        if len(os.fsencode(self.data)) <= LONGEST_SOCKET_FOLDER:
            return self.data
        name = f"{OUTSIDE}link to the socket"
        folder = Path(self.home.keep(name, lambda: _link_to(self.data)))
        if not _is_own_link(folder, self.data):
            self.home.replace(name, None)
            folder = Path(self.home.keep(name, lambda: _link_to(self.data)))
        return folder / "s"


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """The folder's name for a child that inherits the descriptors, and these. Without /proc: its path."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield f"/proc/self/fd/{descriptor}" if can_read_processes() else str(folder), [descriptor]
    finally:
        os.close(descriptor)


def _link_to(data: Path) -> str:
    folder = tempfile.mkdtemp(prefix="lightfield-", dir="/tmp")
    (Path(folder) / "s").symlink_to(data)
    return folder


def _is_own_link(folder: Path, data: Path) -> bool:
    try:
        info = folder.lstat()
        is_private = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o077
        return is_private and (folder / "s").readlink() == data
    except OSError:
        return False
