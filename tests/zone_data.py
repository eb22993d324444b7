"""Time zone data of a release that IANA has not made: a real `tzdata` package, in which the zone Test/Moved is ours.

`python -m tests.zone_data` is another process of the installation, which has other data than this one if its PYTHONPATH
says so. It does what a line tells it and answers with a line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from triggers.schedules import zones

ROOT = Path(__file__).resolve().parents[1]
ZONE = "Test/Moved"
OLDER, NEWER = "2036b", "2037a"

Changes = tuple[tuple[datetime, int], ...]  # from then on the clock is so many hours ahead of UTC


def tzif(hours: int, changes: Changes = ()) -> bytes:
    """A clock so many hours ahead of UTC until it is changed, as RFC 9636 has it (version 2, empty version 1 block)."""
    offsets = [hours, *(ahead for _, ahead in changes)]
    header = struct.pack(">4sc15x", b"TZif", b"2")
    times = struct.pack(f">{len(changes)}q", *(int(at.timestamp()) for at, _ in changes))
    kinds = b"".join(struct.pack(">lbb", ahead * 3600, 0, 0) for ahead in offsets)
    return b"".join(
        (
            header + struct.pack(">6l", 0, 0, 0, 0, 0, 0),
            header + struct.pack(">6l", 0, 0, 0, len(changes), len(offsets), 4),
            times + bytes(range(1, len(offsets))) + kinds + b"TST\0",
            f"\n<{offsets[-1]:+03d}>{-offsets[-1]:+d}\n".encode(),
        )
    )


def a_release(folder: Path, version: str, hours: int, changes: Changes = ()) -> Path:
    """Where Python finds that package."""
    package = folder / version / "tzdata"
    ours = package / "zoneinfo" / ZONE
    ours.parent.mkdir(parents=True)
    ours.write_bytes(tzif(hours, changes))
    with resources.as_file(resources.files("tzdata") / "zoneinfo" / "UTC") as utc:
        shutil.copy(utc, package / "zoneinfo")
    (package / "__init__.py").write_text(f'IANA_VERSION = "{version}"\n')
    (package / "zones").write_text(f"UTC\n{ZONE}\n")
    return package.parent


@contextmanager
def installed(release: Path) -> Iterator[None]:
    """This process was started with that package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "tzdata")
        patch.syspath_prepend(release)
        importlib.invalidate_caches()
        _forget()
        try:
            yield
        finally:
            sys.modules.pop("tzdata", None)
            _forget()


def _forget() -> None:
    for remembered in (zones.version, zones.names, zones.find):
        remembered.cache_clear()


class Colleague:
    """Another process, with the data of `release`."""

    def __init__(self, release: Path) -> None:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zone_data"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": urlunsplit(url), "PYTHONPATH": str(release)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, *deeds: str) -> None:
        """Let it do so, without waiting for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(deeds)}\n")
        self._process.stdin.flush()

    def answer(self) -> list[Any]:
        """What the deeds told last gave."""
        assert self._process.stdout is not None
        answer: list[Any] = json.loads(self._process.stdout.readline())
        return answer

    def do(self, *deeds: str) -> list[Any]:
        self.tell(*deeds)
        return self.answer()

    def leave(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@contextmanager
def colleagues(*releases: Path) -> Iterator[list[Colleague]]:
    found = [Colleague(release) for release in releases]
    try:
        yield found
    finally:
        for one in found:
            one.leave()


def schedule_at(instant: datetime, *, hours: int, missed: str = "latest") -> dict[str, Any]:
    """Every day at the time that a clock so far ahead of UTC shows at that instant."""
    local = instant + timedelta(hours=hours)
    return {"every": "day", "at": f"{local:%H:%M}", "timezone": ZONE, "missed": missed}


def _live() -> None:
    import django

    django.setup()
    from executions import sweeper
    from lightfield.kernel import bells
    from tests.bellboy import Bellboy
    from triggers import renewing, ticking

    bells.use(Bellboy())

    def sweep() -> bool:
        """What the task does about schedules. Whether it found any that older data had computed."""
        is_needed = sweeper.sweep().has_outdated_schedules
        if is_needed:
            renewing.renew_outdated()
        return is_needed

    deeds: dict[str, Callable[[], object]] = {
        "version": zones.version,
        "sweep": sweep,
        "fire": ticking.fire_due,
    }
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps([deeds[deed]() for deed in json.loads(line)])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _live()
