"""Starting, finding and ending processes on this machine.

Children die with their parent (Linux: PR_SET_PDEATHSIG), so a kill -9 of a supervisor leaves nothing behind;
where the kernel cannot do that, the next start finds and ends what is left, by what /proc tells and never
by a name or a number alone. The kernel ties the death signal to the *thread* that started the child: start
children from the main thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PROC = Path("/proc")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """Whom a child runs as, when we are root."""

    uid: int
    gid: int


class Child(Protocol):
    """A process of ours whose end only we learn: subprocess.Popen, or one that was forked (forks.py)."""

    pid: int
    returncode: int | None

    def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def kill(self) -> None: ...


def spawn(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environ: dict[str, str],
    output: int,
    when_parent_dies: signal.Signals,
    account: Account | None = None,
    stdin: int = subprocess.DEVNULL,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own: Ctrl-C in the terminal is for us alone.

    `cwd` is entered before the account is changed, so it may lie where the account cannot go by itself.
    `output` is a descriptor for both streams; it is closed here.
    """
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=environ,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid(), when_parent_dies),  # noqa: PLW1509  we have one thread
            umask=0o077,
            pass_fds=keep_open,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        os.close(output)


def _dying_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None

    def before_exec() -> None:  # runs after the change of account, which would clear the setting
        if not die_with(parent, death_signal):
            os._exit(1)

    return before_exec


def die_with(parent: int, death_signal: signal.Signals) -> bool:
    """In a child: be sent the signal when the parent dies. False when it is dead already."""
    _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    return os.getppid() == parent


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Until the block ends, who descends from us and loses its parent becomes our child (Linux).

    No longer than it takes: whoever else becomes an orphan meanwhile would stay a zombie, as we do not know of it.

    Raises:
        OSError: the kernel cannot.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no child subreaper")
    try:
        yield
    finally:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def run_as(
    account: Account | None,
    command: Sequence[str | Path],
    *,
    cwd: Path,
    environ: dict[str, str],
    stdin: str = "",
    keep_open: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run to the end and capture what it says."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        umask=0o077,
        pass_fds=keep_open,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def has_ended(child: Child) -> bool:
    """Whether the child is gone; then what it started in its group is ended too.

    The group is killed before the child is reaped: until then its number cannot belong to anybody else.
    """
    if child.returncode is not None:
        return True
    if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return False
    kill(child.pid)
    child.wait()
    return True


def stop(
    children: Sequence[tuple[Child, signal.Signals]],
    *,
    grace: float,
    is_urgent: Callable[[], bool] = lambda: False,
) -> None:
    """Ask all of them to end, wait `grace` seconds in all or until it is urgent, then kill what is left."""
    for child, stop_signal in children:
        if not has_ended(child):
            child.send_signal(stop_signal)
    give_up = time.monotonic() + grace
    while waiting := [child for child, _ in children if not has_ended(child)]:
        if time.monotonic() >= give_up or is_urgent():
            for child in waiting:
                kill(child.pid)
        time.sleep(0.02)


def kill(pid: int) -> None:
    """Kill a child of ours and what it started in its group."""
    # Nobody may be left in the group; macOS refuses to signal a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def end_all(find: Callable[[], list[int]], *, first: signal.Signals, grace: float) -> int:
    """End the processes that `find` finds; ask with `first`, then kill. How many there were at first.

    `find` is asked again before every signal: a number may have been given to somebody else meanwhile.
    """
    found = find()
    count, give_up, number = len(found), time.monotonic() + grace, first
    asked: set[int] = set()
    while found:
        for pid in found:
            if pid not in asked:
                asked.add(pid)
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        if number != signal.SIGKILL and time.monotonic() >= give_up:
            number = signal.SIGKILL
            asked.clear()
        time.sleep(0.02)
        found = find()
    return count


def can_read_processes() -> bool:
    return (PROC / "self" / "cwd").exists()


def _others() -> Iterator[Path]:
    if not can_read_processes():
        return
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield entry


def working_in(folder: Path, programs: Sequence[str]) -> list[int]:
    """Processes of the given programs (kernel's names, at most 15 bytes) whose working folder is `folder`."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in _others():
        try:
            if (entry / "comm").read_text().rstrip("\n") not in programs:
                continue
            here = (entry / "cwd").stat()
        except OSError:  # gone, or not ours to look at and so not ours
            continue
        if (here.st_dev, here.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(entry.name))
    return found


def marked(name: str, value: str) -> list[int]:
    """Processes that were started with the environment variable `name` set to `value`."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in _others():
        try:
            is_marked = wanted in (entry / "environ").read_bytes().split(b"\0")
            is_zombie = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if is_marked and not is_zombie:
            found.append(int(entry.name))
    return found
