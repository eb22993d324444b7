"""A scripted model for the bench: a process of its own, so that its CPU can be told apart and left out."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import waiting
from lightfield.local import environment, ports, scripted_model
from lightfield.local.boot import ROOT, CannotStart
from lightfield.local.calls import Api
from lightfield.local.children import spawn, stop
from lightfield.local.home import Home

START_SECONDS = 20.0


@dataclass(frozen=True)
class Model:
    port: int
    pid: int

    @property
    def address(self) -> str:
        return f"{scripted_model.HOST}:{self.port}"

    def asked(self, name: str) -> collections.Counter[str]:
        """How often the model of that name was asked, by idempotency key."""
        return collections.Counter(
            one["key"] for one in Api(f"http://{self.address}").get("/seen") if one["model"] == name
        )


@contextlib.contextmanager
def running(home: Home, scripts: Mapping[str, list[dict[str, Any]]]) -> Iterator[Model]:
    """One that knows these scripts (see `lightfield.local.scripted_model`), on a free loopback port, until the block ends."""
    path = home.folder("run") / "scripts.json"
    path.write_text(json.dumps(scripts))
    port = ports.any_free(scripted_model.HOST)
    child = spawn(
        [sys.executable, "-m", scripted_model.__name__, str(port), path],
        cwd=ROOT,
        environ=environment.basis(home),
        output=home.open_log("model"),
        when_parent_dies=signal.SIGKILL,
    )
    try:
        model = Model(port, child.pid)
        waiting.until("the scripted model", lambda: _answers(model), seconds=START_SECONDS)
        yield model
    finally:
        stop([(child, signal.SIGTERM)], grace=2)


def _answers(model: Model) -> bool:
    try:
        model.asked("")
    except CannotStart:
        return False
    return True
