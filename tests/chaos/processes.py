"""Processes of this machine: who has a connection, who descends from whom, how much memory they use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def process_with_port(port: int) -> int | None:
    """Which process of this machine has a connection from this local TCP port."""
    wanted = f":{port:04X}"
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = line.split()
            if columns[1].endswith(wanted) and columns[9] != "0":
                inodes.add(f"socket:[{columns[9]}]")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in inodes for link in (folder / "fd").iterdir()):
                return int(folder.name)
    return None


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
