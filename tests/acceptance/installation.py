"""A whole installation, started like `bin/up` starts it, seen only from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightfield.local import ports
from lightfield.local.calls import Api

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0


class Installation:
    """Calls go through HTTP; `environ` is what `bin/manage` would use."""

    def __init__(self, home: Path, environ: dict[str, str], pid: int) -> None:
        self.home = home
        self.environ = environ
        self.pid = pid  # of the supervisor, the parent of all
        self.api = Api(f"http://127.0.0.1:{environ['LIGHTFIELD_PORT']}")

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        known = json.loads((self.home / "run" / "environment.json").read_text())
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environ, **known, "LIGHTFIELD_ROLE": "command"},
            capture_output=True,
            text=True,
            check=False,
        )

    def url(self, name: str) -> str:
        return str(json.loads((self.home / "run" / "environment.json").read_text())[name])

    def publish(self, *steps: dict[str, Any], **parts: Any) -> dict[str, Any]:
        """A new active workflow with a webhook."""
        trigger = {"type": "webhook", "config": {"signature": {"scheme": "none"}}}
        definition = {"schema": 1, "name": "Acceptance", "trigger": trigger, "steps": list(steps), **parts}
        workflow: dict[str, Any] = self.api.post("/api/v1/workflows", definition)
        self.api.post(f"/api/v1/workflows/{workflow['id']}/publish")
        return workflow

    def runs(self, workflow: dict[str, Any], status: str = "") -> list[dict[str, Any]]:
        chosen = f"&status={status}" if status else ""
        path: str | None = f"/api/v1/runs?workflow={workflow['id']}{chosen}&limit=100"
        found: list[dict[str, Any]] = []
        while path:
            page = self.api.get(path.removeprefix(self.api.base))
            found += page["results"]
            path = page["next"]
        return found

    def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        """Ask until it is so. Time is only the bound after which the test gives up."""
        give_up = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < give_up, f"waited {PATIENCE:.0f} s for {what} in vain"
            time.sleep(0.1)


@contextmanager
def running(home: Path, **extra: str) -> Iterator[Installation]:
    """Start one in `home` with settings of its own; stop it orderly at the end."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LIGHTFIELD_", "DATABASE_URL", "REDIS_URL", "COV_", "PYTEST"))
    }
    environ |= {
        "LIGHTFIELD_HOME": str(home),
        "LIGHTFIELD_PORT": str(ports.any_free("127.0.0.1")),
        "LIGHTFIELD_FLOWER_PORT": str(ports.any_free("127.0.0.1")),
        "LIGHTFIELD_LEASE_SECONDS": "5",
        **extra,
    }
    with (home / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "lightfield.local.up"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        installation = Installation(home, environ, up.pid)
        installation.wait_for("the installation", lambda: _is_up(home, up))
        installation.api.key = installation.manage("create_api_key", "tests").stdout.strip()
        yield installation
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def _is_up(home: Path, up: subprocess.Popen[bytes]) -> bool:
    said = (home / "up.log").read_text()
    assert up.poll() is None, f"bin/up ended: {said}"
    return "Lightfield is running" in said
