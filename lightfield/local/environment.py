"""What the processes of an installation are told by environment variables, and where each value comes from.

Given by the person: taken as it is. In development the rest is chosen once and kept in the home; in
production nothing is chosen for anybody, and a missing variable is named.
"""

from __future__ import annotations

import base64
import os
import secrets
import time

from lightfield.local import ports
from lightfield.local.boot import ROOT, CannotStart, say
from lightfield.local.ending import ending
from lightfield.local.home import Home
from lightfield.local.processes import WORKER_THREADS

DATABASE_SECONDS = 30.0


def is_production() -> bool:
    return os.environ.get("LIGHTFIELD_ENV", "").strip() == "production"


def given(name: str) -> str:
    """The variable's value when the person gave one that is not blank, else ''."""
    return os.environ.get(name, "").strip()


def require_in_production(*names: str) -> None:
    for name in names if is_production() else ():
        if not given(name):
            raise CannotStart(f"{name} must be set when LIGHTFIELD_ENV=production (see .env.example)")


def keys(home: Home) -> dict[str, str]:
    """Django's key and the key ring: given, or chosen once."""
    require_in_production("LIGHTFIELD_SECRET_KEY", "LIGHTFIELD_ENCRYPTION_KEYS")
    return {
        "LIGHTFIELD_SECRET_KEY": given("LIGHTFIELD_SECRET_KEY")
        or home.keep("secret_key", lambda: secrets.token_urlsafe(48)),
        "LIGHTFIELD_ENCRYPTION_KEYS": given("LIGHTFIELD_ENCRYPTION_KEYS")
        or home.keep("encryption_keys", lambda: f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}"),
    }


def addresses(home: Home) -> dict[str, str]:
    """Where web and Flower listen. A port that nobody asked for by name gives way when it is taken.

    Raises:
        CannotStart: a port that was asked for is taken, or is no number.
    """
    bind = given("LIGHTFIELD_BIND") or "127.0.0.1"
    return {
        "LIGHTFIELD_BIND": bind,
        "LIGHTFIELD_PORT": _port(home, "LIGHTFIELD_PORT", bind, 8000),
        "LIGHTFIELD_FLOWER_PORT": _port(home, "LIGHTFIELD_FLOWER_PORT", bind, 5555),
    }


def _port(home: Home, variable: str, bind: str, usual: int) -> str:
    wanted = given(variable)
    if not wanted:
        before = home.keep(variable.lower(), lambda: usual)
        port = ports.kept(home, variable.lower(), bind)
        if port != before:
            say(f"port {before} is taken; using {port} from now on ({variable} chooses another)")
        return str(port)
    if not wanted.isdigit() or not 0 < int(wanted) < 65536:
        raise CannotStart(f"{variable} must be a port number, not {wanted!r}")
    if not ports.is_free(bind, int(wanted)):
        raise CannotStart(
            f"{variable}={wanted} is taken on {bind}; end the other program or choose another port"
        )
    return wanted


def flower_login(home: Home) -> dict[str, str]:
    """Flower's `user:password`; by environment, since a command line can be read by every user.

    Raises:
        CannotStart: something asks Flower to go without one.
    """
    if given("FLOWER_UNAUTHENTICATED_API"):
        raise CannotStart("FLOWER_UNAUTHENTICATED_API would open Flower to everybody; unset it")
    login = given("FLOWER_BASIC_AUTH") or f"lightfield:{home.keep('flower_password', new_password)}"
    if not all(login.partition(":")):
        raise CannotStart("FLOWER_BASIC_AUTH must be user:password; Flower does not start without")
    return {"FLOWER_BASIC_AUTH": login}


def new_password() -> str:
    return secrets.token_urlsafe(12)


def servers_to_bring() -> dict[str, bool]:
    """Which embedded servers are needed: those whose URL nobody gave."""
    missing = {"postgres": not given("DATABASE_URL"), "redis": not given("REDIS_URL")}
    if is_production() and any(missing.values()):
        say("embedded servers are made for development; give DATABASE_URL and REDIS_URL in production")
    return missing


def worker_numbers() -> dict[str, int]:
    """How many worker processes each lane has: LIGHTFIELD_HTTP_WORKERS and its like, 1 to 32."""
    numbers = {}
    for lane in WORKER_THREADS:
        variable = f"LIGHTFIELD_{lane.upper()}_WORKERS"
        wanted = given(variable) or "1"
        if not wanted.isdigit() or not 1 <= int(wanted) <= 32:
            raise CannotStart(f"{variable} must be a whole number from 1 to 32, not {wanted!r}")
        numbers[lane] = int(wanted)
    return numbers


def wait_for_database(url: str) -> None:
    """Wait until a database that was given answers.

    Raises:
        CannotStart: it did not in 30 seconds. The message never has the URL, which holds a password.
    """
    import psycopg  # 10 MB that a supervisor with a server of its own does not need

    give_up = time.monotonic() + DATABASE_SECONDS
    while True:
        ending.check()
        try:
            return psycopg.connect(url, connect_timeout=5).close()
        except psycopg.ProgrammingError as error:
            raise CannotStart(
                "DATABASE_URL cannot be read; it is postgresql://user:password@host/name"
            ) from error
        except psycopg.OperationalError as error:
            if time.monotonic() >= give_up:
                said = str(error).strip().splitlines()[-1]
                raise CannotStart(f"the database in DATABASE_URL does not answer: {said}") from error
        time.sleep(0.5)


def basis(home: Home) -> dict[str, str]:
    """The environment of every process of ours: the caller's, made certain."""
    return {
        **os.environ,
        "LIGHTFIELD_HOME": str(home.path),
        "DJANGO_SETTINGS_MODULE": "lightfield.settings",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc would keep a heap for each of up to 16 threads
    }
