"""The folder of one installation: what was chosen once and is kept, locks, pid files, logs.

venv/            what boot.py installed
kept.json        ports, passwords and keys, chosen once (0600)
postgres/ redis/ data of the embedded servers
run/<process>.pid, run/lock, run/environment.json
logs/<process>.log
demo/ tests/     folders of the same shape for bin/demo and bin/test, so that nothing disturbs bin/up
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from lightfield.local.boot import CannotStart, home_folder, say
from lightfield.local.ending import ending

T = TypeVar("T", str, int)

OUTSIDE = "outside: "  # begins the names of kept folders that had to be made elsewhere
LOG_BYTES_KEPT = 20 * 1024 * 1024


class Home:
    """One installation's folder, or a folder inside it with the same shape."""

    def __init__(self, path: Path, *, root: Home | None = None) -> None:
        self.path = path
        self.root = root or self

    @classmethod
    def of_this_installation(cls) -> Home:
        return cls(home_folder())

    def inner(self, name: str) -> Home:
        """A folder of its own for a demo or a test run: other data, ports and passwords; same programs."""
        path = self.path / name
        path.mkdir(mode=_mode_for_folder(), parents=True, exist_ok=True)
        return Home(path, root=self.root)

    def folder(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def pid_file(self, process: str) -> Path:
        return self.folder("run") / f"{process}.pid"

    def write_pid(self, process: str, pid: int) -> None:
        """Replace the number in one step: whoever reads the file finds the old one or the new one."""
        write_private(self.pid_file(process), f"{pid}\n")

    def log_file(self, process: str) -> Path:
        return self.folder("logs") / f"{process}.log"

    def open_log(self, process: str) -> int:
        """A descriptor that appends to the log; a log that grew large is put aside first."""
        path = self.log_file(process)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES_KEPT:
                path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def last_lines(self, process: str, count: int = 3) -> str:
        """The end of a log, for an error message."""
        with contextlib.suppress(OSError):
            return " / ".join(self.log_file(process).read_text(errors="replace").splitlines()[-count:])
        return ""

    def keep(self, name: str, choose: Callable[[], T]) -> T:
        """The value called `name`: chosen now if it never was, the same for ever after."""
        with locked(self.path / "kept.lock"):
            kept = self._kept()
            if name not in kept:
                kept[name] = choose()
                self._write_kept(kept)
            value: T = kept[name]
            return value

    def replace(self, name: str, value: str | int | None) -> None:
        """Choose again, e.g. a port that another program has taken meanwhile. None: forget it."""
        with locked(self.path / "kept.lock"):
            kept = {**self._kept(), name: value}
            if value is None:
                del kept[name]
            self._write_kept(kept)

    def discard(self) -> None:
        """Delete the folder and what it keeps elsewhere. Nothing of it may be running."""
        for name, value in self._kept().items():
            if name.startswith(OUTSIDE):
                shutil.rmtree(value, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _kept(self) -> dict[str, Any]:
        path = self.path / "kept.json"
        try:
            kept: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise CannotStart(
                f"{path} cannot be read ({error}); repair it, or delete it with its folder"
            ) from error
        return kept

    def _write_kept(self, kept: dict[str, Any]) -> None:
        write_private(self.path / "kept.json", json.dumps(kept, indent=1) + "\n", durable=True)

    @contextlib.contextmanager
    def exclusively(self, command: str, *, patience: float = 0) -> Iterator[None]:
        """Be the only one that runs servers in this folder, until the block ends or this process dies.

        `patience` in seconds: how long to wait for another command.

        Raises:
            InUse: another process holds it.
        """
        path = self.folder("run") / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            _wait_for(descriptor, path, patience)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{command} (pid {os.getpid()})".encode(), 0)
            yield
        finally:
            os.close(descriptor)


class InUse(CannotStart):
    """Another process runs the servers of this folder."""


def _wait_for(descriptor: int, path: Path, patience: float) -> None:
    give_up = time.monotonic() + patience
    told = False
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text() or "another process"
        if time.monotonic() >= give_up:
            raise InUse(f"{holder} is using {path.parent.parent}; stop it first")
        if not told:
            say(f"waiting for {holder}")
            told = True
        ending.check()
        time.sleep(0.1)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file in one step, readable by its owner only."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(descriptor)
    unfinished.replace(path)


def _mode_for_folder() -> int:
    return 0o711 if os.geteuid() == 0 else 0o700
