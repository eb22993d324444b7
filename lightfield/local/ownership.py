"""Data folders that belong to the servers' account.

The data lies in the home, also when root keeps the home closed (see postgres.py). Only where that cannot
work, because the file system knows no owners or there is no /proc, root's servers get a folder with an
unguessable name under /var/tmp, and the person is told where it is.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from lightfield.local.boot import CannotStart, say
from lightfield.local.children import Account, can_read_processes, run_as
from lightfield.local.home import OUTSIDE, Home


def data_folder(home: Home, name: str, account: Account | None) -> Path:
    """The folder for a server's data, made if missing, owned and enterable by the account that runs it."""
    folder = home.folder(name)
    if account is None:
        return folder
    if can_read_processes() and _works_for(account, folder):
        return folder
    kept_as = f"{OUTSIDE}data of {name}"
    elsewhere = Path(home.keep(kept_as, lambda: tempfile.mkdtemp(prefix="lightfield-", dir="/var/tmp")))
    info = elsewhere.lstat() if elsewhere.exists() else None
    if info is None or not stat.S_ISDIR(info.st_mode) or info.st_uid != 0 or info.st_mode & 0o022:
        raise CannotStart(
            f"{elsewhere}, the data of {name}, is gone or not what it was; see {home.path}/kept.json"
        )
    elsewhere.chmod(0o711)
    inside = elsewhere / "data"
    inside.mkdir(mode=0o700, exist_ok=True)
    give_to(account, inside)
    say(f"the data of {name} is in {inside}: {home.path} cannot hold files of another account")
    return inside


def _works_for(account: Account, folder: Path) -> bool:
    """Whether the account owns `folder` and can write in it when it is started there."""
    try:
        give_to(account, folder)
        probe = ["/bin/sh", "-c", "[ -O . ] && [ -w . ] && [ -x . ]"]
        return run_as(account, probe, cwd=folder, environ={"PATH": os.defpath}).returncode == 0
    except OSError:
        return False


def give_to(account: Account | None, folder: Path) -> None:
    """Make the account the owner of the folder and all in it, unless it is already."""
    if account is None or folder.lstat().st_uid == account.uid:
        return
    for above, folders, files in os.walk(folder, topdown=False):
        for name in folders + files:
            os.chown(os.path.join(above, name), account.uid, account.gid, follow_symlinks=False)
    os.chown(folder, account.uid, account.gid)  # last: the sign that all of it is done
