"""Processes of this machine: who has a connection, who descends from whom, how much memory they use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def process_with_port(port: int, far: int, likely: Sequence[int] = ()) -> int | None:
    """Which process of this machine has the connection from this local TCP port to that far one.

    Both count: connections to different places may share a local port. `likely` processes are looked at first.
    """
    ours, theirs = f":{port:04X}", f":{far:04X}"
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = line.split()
            if columns[1].endswith(ours) and columns[2].endswith(theirs) and columns[9] != "0":
                inodes.add(f"socket:[{columns[9]}]")
    everybody = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return next((pid for pid in (*likely, *everybody) if inodes and _has_any(pid, inodes)), None)


def _has_any(pid: int, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(link) in inodes for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Processes that this one started and that are there."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(words[1]) == pid and words[0] != "Z":
                    found.append(int(folder.name))
    return sorted(found)


def state_of(pid: int) -> str:
    """One letter, as in `ps`: R, S, D, T (stopped), Z; '' when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def megabytes_of(pid: int) -> float | None:
    """Resident memory, or None when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6
    except OSError:
        return None


def megabytes_asked_for(pid: int) -> float:
    """What it asked the kernel for, touched or not: heap and stacks. 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[5]) * PAGE / 1e6
    except OSError:
        return 0.0
