"""Processes of this machine: who has a connection, who descends from whom, how much memory they use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def process_with_port(port: int, far: int) -> int | None:
    """Which process of this machine has the connection from this local TCP port to that far one."""
    return processes_with_ports([port], far).get(port)


def processes_with_ports(ports: Collection[int], far: int, likely: Sequence[int] = ()) -> dict[int, int]:
    """The processes that have connections from these local TCP ports to that far one, as far as they are found.

    Both ends count: connections to different places may share a local port. `likely` ones are looked at first.
    """
    links = {}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = line.split()
            if columns[2].endswith(f":{far:04X}") and columns[9] != "0":
                links[f"socket:[{columns[9]}]"] = int(columns[1].rpartition(":")[2], 16)
    links = {link: port for link, port in links.items() if port in ports}
    everybody = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    found: dict[int, int] = {}
    for pid in (*likely, *everybody) if links else ():
        found |= {port: pid for link in _links_of(pid) if (port := links.get(link)) and port not in found}
        if len(found) == len(links):
            break
    return found


def _links_of(pid: int) -> list[str]:
    """What its file descriptors are."""
    links = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(link))
    return links


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
