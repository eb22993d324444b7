"""`bin/manage …`: Django's commands with the environment and the servers they need.

Against the servers of a `bin/up` that runs in this home; else the embedded servers are started for the one
command. Values in the caller's own environment win.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psycopg

from lightfield.local import environment
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.home import Home, InUse
from lightfield.local.servers import Servers

PATIENCE = 120.0  # seconds, for another command that uses the servers


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped in order
    try:
        home = Home.of_this_installation()
        with contextlib.ExitStack() as held:
            asked_for = {name: value for name, value in os.environ.items() if value.strip()}
            os.environ.update({**_surroundings(home, held), **asked_for, "LIGHTFIELD_ROLE": "command"})
            _run(sys.argv[1:])
    except CannotStart as problem:
        say(str(problem))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _surroundings(home: Home, held: contextlib.ExitStack) -> dict[str, str]:
    """The environment to run in; servers that had to be started are stopped with `held`."""
    missing = environment.servers_to_bring()
    running = _running_or_ours(home, held) if any(missing.values()) else None
    if running is not None:
        return {**environment.basis(home), **running}
    servers = held.enter_context(Servers(home, **missing))
    surroundings = {**environment.basis(home), **environment.keys(home), **servers.urls}
    if missing["postgres"] and _is_empty(servers.urls["DATABASE_URL"]):
        say("first use: making the tables")
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=ROOT, env={**surroundings, "LIGHTFIELD_ROLE": "command"}, check=False)
    return surroundings


def _is_empty(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass('django_migrations')").fetchone() == (None,)


def _running_or_ours(home: Home, held: contextlib.ExitStack) -> dict[str, str] | None:
    """What a running `bin/up` wrote down, or None: then the home is ours until `held` is closed."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            held.enter_context(home.exclusively("bin/manage"))
        except InUse as problem:
            with contextlib.suppress(FileNotFoundError):
                running: dict[str, str] = json.loads((home.folder("run") / "environment.json").read_text())
                return running
            if time.monotonic() >= give_up:
                raise problem from None
            time.sleep(0.2)  # another bin/manage, or a bin/up that starts or stops
        else:
            return None


def _run(arguments: list[str]) -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(["bin/manage", *arguments])


if __name__ == "__main__":
    sys.exit(main())
