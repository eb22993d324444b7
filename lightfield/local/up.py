"""`bin/up`: everything in the foreground until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lightfield.local import environment, health, login
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.ending import Ended, ending
from lightfield.local.home import Home, write_private
from lightfield.local.servers import Servers
from lightfield.local.supervisor import Supervisor, end_leftovers

WEB_SECONDS = 60.0  # to answer for the first time


def main() -> int:
    argparse.ArgumentParser(prog="bin/up", description=__doc__).parse_args()
    ending.listen(signal.SIGINT, signal.SIGTERM)
    signal.signal(signal.SIGHUP, lambda *_: None)  # a closed terminal does not end us
    try:
        home = Home.of_this_installation()
        with contextlib.ExitStack() as held:
            held.enter_context(home.exclusively("bin/up"))
            _run(home, held)
    except CannotStart as problem:
        say(str(problem))
        return 1
    except Ended:  # while it was still starting
        pass
    say("stopped")
    return 0


def _run(home: Home, held: contextlib.ExitStack) -> None:
    supervisor = begin(home, held)
    held.callback(_remember(home, supervisor.environ).unlink, missing_ok=True)
    admin = None if environment.is_production() else _make_admin(supervisor)
    wait_for_web(supervisor, also=lambda: admin is None or admin.poll() is not None)
    if not ending.is_requested():
        _announce(supervisor, admin)
    supervisor.run()
    say("stopping; a second Ctrl-C does not wait for running steps")


def begin(home: Home, held: contextlib.ExitStack, extra: dict[str, str] | None = None) -> Supervisor:
    """Start the whole installation. `held` stops it again, in order: processes first, servers last.

    The caller holds `home.exclusively`. `extra` goes into the environment of every process.
    """
    end_leftovers(home)
    workers = environment.worker_numbers()
    environ = {
        **environment.basis(home),
        **environment.keys(home),
        **environment.addresses(home),
        **environment.flower_login(home),
        **(extra or {}),
    }
    missing = environment.servers_to_bring()
    servers = held.enter_context(Servers(home, **missing))
    environ |= servers.urls
    if not missing["postgres"]:
        environment.wait_for_database(environ["DATABASE_URL"])
    supervisor = Supervisor(home, servers, environ, workers=workers)
    supervisor.migrate()
    held.callback(supervisor.stop)
    supervisor.start()
    return supervisor


def wait_for_web(supervisor: Supervisor, *, also: Callable[[], bool] = lambda: True) -> bool:
    """Keep everything running until web answers (True), is told to end, or a minute has passed (False)."""
    give_up = time.monotonic() + WEB_SECONDS
    answered = False

    def is_over() -> bool:
        nonlocal answered
        answered = answered or not health.problem_of("web", supervisor.environ, patience=1)
        return (answered and also()) or time.monotonic() >= give_up

    supervisor.run(until=is_over)
    return answered


def _remember(home: Home, environ: dict[str, str]) -> Path:
    """Write down what `bin/manage` needs to reach the same installation."""
    path = home.folder("run") / "environment.json"
    names = ("DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in environ.items() if name in names or name.startswith("LIGHTFIELD_")}
    write_private(path, json.dumps(kept, indent=1) + "\n")
    return path


def _make_admin(supervisor: Supervisor) -> subprocess.Popen[str]:
    password = supervisor.home.keep("admin_password", environment.new_password)
    return subprocess.Popen(
        [sys.executable, "-m", "lightfield.local.login"],
        cwd=ROOT,
        env={**supervisor.environ, "LIGHTFIELD_ROLE": "command", "LIGHTFIELD_ADMIN_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _announce(supervisor: Supervisor, admin: subprocess.Popen[str] | None) -> None:
    home, environ = supervisor.home, supervisor.environ
    host = health.reachable_host(environ)
    web, flower = (
        f"http://{host}:{environ['LIGHTFIELD_PORT']}",
        f"http://{host}:{environ['LIGHTFIELD_FLOWER_PORT']}",
    )
    lines = [
        "Lightfield is running; Ctrl-C stops it.",
        f"  admin    {web}/admin/    {_admin_words(home, admin)}",
        f"  API      {web}/api/docs",
        f"  Flower   {flower}    login {environ['FLOWER_BASIC_AUTH'].replace(':', ' / ', 1)}",
        f"  logs     {home.path / 'logs'}",
    ]
    with contextlib.suppress(OSError):  # a closed terminal does not end us
        print("\n".join(lines), flush=True)


def _admin_words(home: Home, admin: subprocess.Popen[str] | None) -> str:
    if admin is None:
        return "make a login with bin/manage createsuperuser"
    said, error = admin.communicate()
    if admin.returncode != 0:
        return f"no login could be made: {(error.strip().splitlines() or ['?'])[-1]}"
    if said.strip() == "changed":
        return f"login {login.NAME}, with the password you gave it"
    return f"login {login.NAME} / {home.keep('admin_password', environment.new_password)}"


if __name__ == "__main__":
    sys.exit(main())
