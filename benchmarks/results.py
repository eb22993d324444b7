"""Every measurement is kept as JSON: which commit, which machine, each round with each figure."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Round, medians
from lightfield.local import programs
from lightfield.local.boot import ROOT

FOLDER = ROOT / "benchmarks" / "results"


def keep(
    name: str, rounds: list[Round], *, commit: dict[str, Any], options: dict[str, Any], folder: Path = FOLDER
) -> Path:
    """Write `<UTC date>-<short commit>-<bench>.json`; a second one of the same day gets a number.

    `commit` was looked up before the measurement: somebody may commit while it goes on.
    """
    now = datetime.now(UTC)
    content = {
        "bench": name,
        "at": now.isoformat(timespec="seconds"),
        **commit,
        "machine": machine(),
        "options": options,
        "medians": {system: medians(rounds, system) for system in ("naive", "lightfield")},
        "rounds": [one.as_json() for one in rounds],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = _unused(folder, f"{now:%Y-%m-%d}-{commit['commit'][:7]}-{name}")
    path.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n")
    return path


def commit_of_checkout() -> dict[str, Any]:
    """The commit that is checked out, and whether its files were changed since."""
    commit = _said_by("git", "rev-parse", "HEAD")
    changes = _said_by("git", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit or "unknown", "is_changed": bool(changes)}


def machine() -> dict[str, Any]:
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpu_lines if line.startswith("model name")]
    postgres = programs.postgres()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else platform.machine(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgres": _said_by(str(postgres.folder / postgres.main), "--version").split()[-1],
        "valkey": _valkey_version(),
        "load_before": os.getloadavg(),
    }


def _valkey_version() -> str:
    valkey = programs.valkey()
    words = _said_by(str(valkey.folder / valkey.main), "--version").split()
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), "?")


def _said_by(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _unused(folder: Path, stem: str) -> Path:
    path, number = folder / f"{stem}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.json"
    return path


def _plain(value: Any) -> Any:
    """The same without NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    return value
