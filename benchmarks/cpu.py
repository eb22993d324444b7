"""CPU seconds of processes, and of the whole machine, by /proc. Ended children count through their parents."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
OWN, REAPED = (11, 12), (13, 14)  # places in /proc/<pid>/stat behind the name: user and system time


def seconds_of(roots: list[int]) -> float:
    """User and system time of these processes, their living descendants and every child they have reaped."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = _seconds(fields, OWN + REAPED)
    return sum(spent[pid] for pid in descendants(roots, parents))


def seconds_of_this_process() -> float:
    """User and system time of this process alone, without its children."""
    fields = _stat(Path("/proc/self"))
    return _seconds(fields, OWN)


def seconds_of_machine() -> float:
    """What all processes of this machine used: user, nice and system time. Interrupts are nobody's."""
    with Path("/proc/stat").open() as lines:
        user, nice, system = lines.readline().split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS


def pids_of(roots: list[int]) -> list[int]:
    """These processes and their living descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            parents[int(entry.name)] = int(fields[1])
    return descendants(roots, parents)


def descendants(roots: list[int], parents: dict[int, int]) -> list[int]:
    """The roots that are in `parents` (process: its parent), and all below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [pid for pid in roots if pid in parents]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def _stat(process: Path) -> list[str]:
    """The fields behind the name, which may hold blanks; none when the process ended while we looked."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _seconds(fields: list[str], places: tuple[int, ...]) -> float:
    return sum(int(fields[place]) for place in places) / TICKS
