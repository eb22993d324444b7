"""Makes the virtual environment that everything runs in, then becomes the command inside it.

`bin/*` run this file with whatever Python they found. Standard library only, nothing of ours imported:
it runs before anything is installed.

    $LIGHTFIELD_HOME/venv             made here, with uv (pinned and hashed) or, if uv cannot, with pip
    $LIGHTFIELD_HOME/venv/.stamp-*    written last: what was installed. No stamp, no venv: it is made anew
    $LIGHTFIELD_HOME/boot.lock        one caller installs, the others wait; the installer itself holds it too
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
UV_REQUIREMENT = ROOT / "lightfield" / "local" / "uv.txt"
REQUIREMENTS = {"runtime": ROOT / "requirements.txt", "dev": ROOT / "requirements-dev.txt"}
STAMP_FORMAT = "1"  # raise it when the way of installing changes

COMMANDS = {  # command: (module to run, sets of requirements it needs)
    "up": ("lightfield.local.up", ("runtime",)),
    "demo": ("lightfield.local.demo", ("runtime",)),
    "manage": ("lightfield.local.manage", ("runtime",)),
    "test": ("pytest", ("runtime",)),
    "check": ("lightfield.local.check", ("runtime", "dev")),
    "chaos": ("tests.chaos", ("runtime",)),
    "mutants": ("tests.mutants", ("runtime",)),
    "bench": ("benchmarks", ("runtime",)),
}


class CannotStart(Exception):
    """Something the person at the keyboard has to change; the message is one line that says what."""


def say(line: str) -> None:
    """Tell the person something; standard output belongs to the command itself."""
    with contextlib.suppress(OSError):
        print(f"lightfield: {line}", file=sys.stderr, flush=True)


def home_folder(*, may_move: bool = False) -> Path:
    """The installation's folder, made if it is missing, refused if others could have put things in it.

    As root it may be entered by others (0711), not read: the embedded servers run as an account of their
    own and find their programs in the venv below it.

    Args:
        may_move: use a folder in the caller's cache when the checkout is another user's. Only for commands
            that need nothing of what another command left there.
    """
    wanted = Path(os.path.abspath(os.environ.get("LIGHTFIELD_HOME") or ROOT / ".lightfield"))
    try:
        return _usable(wanted)
    except CannotStart as problem:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(
            os.environ.get("HOME") or "/nonexistent", ".cache"
        )
        if not may_move or os.environ.get("LIGHTFIELD_HOME") or not os.access(Path(cache).parent, os.W_OK):
            raise
        moved = _usable(Path(cache) / f"lightfield-{hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]}")
        say(f"{problem}; using {moved} meanwhile")
        return moved


def _usable(wanted: Path) -> Path:
    try:
        wanted.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        link, info = wanted.lstat(), wanted.stat()
    except OSError as error:
        raise CannotStart(
            f"cannot make {wanted} ({error.strerror}); set LIGHTFIELD_HOME to a folder of yours"
        ) from error
    if info.st_uid != os.geteuid() or link.st_uid not in (0, os.geteuid()):
        raise CannotStart(f"{wanted} belongs to another user; set LIGHTFIELD_HOME to a folder of your own")
    if info.st_mode & 0o002 or (info.st_mode & 0o020 and info.st_gid != os.getegid()):
        raise CannotStart(f"{wanted} can be written by others; take that right away or choose another folder")
    return wanted.resolve()


@contextlib.contextmanager
def installing(home: Path) -> Iterator[int]:
    """Hold the installation lock. Yields its descriptor: an installer that outlives us keeps the lock."""
    descriptor = os.open(home / "boot.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation in the same folder")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def stamp_for(requirements: Path, venv_folder: Path) -> str:
    """What the stamp says when `requirements` are installed, by this Python, at this place."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    machine = f"{sys.implementation.name} {platform.python_version()} {platform.machine()}"
    return "\n".join([STAMP_FORMAT, digest, machine, str(venv_folder)])


def is_installed(venv_folder: Path, name: str) -> bool:
    try:
        written = (venv_folder / f".stamp-{name}").read_text()
    except OSError:
        return False
    # A venv whose Python was removed from the machine is broken, whatever its stamp says.
    usable = os.access(venv_folder / "bin" / "python", os.X_OK)
    return usable and written == stamp_for(REQUIREMENTS[name], venv_folder)


def ensure_installed(home: Path, names: tuple[str, ...]) -> Path:
    """The path of a Python that has the sets of requirements in `names`."""
    folder = home / "venv"
    if not all(is_installed(folder, name) for name in names):
        with installing(home) as lock:
            if not is_installed(folder, "runtime"):
                _make_venv(folder)
            for name in names:
                if not is_installed(folder, name):
                    _install(folder, name, lock)
    return folder / "bin" / "python"


def _make_venv(folder: Path) -> None:
    """An empty venv, without pip: Debian ships ensurepip apart, and ours is filled from outside."""
    for stamp in folder.glob(".stamp-*"):
        stamp.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise CannotStart(f"cannot make a virtual environment in {folder}: {error}") from error


def _install(folder: Path, name: str, lock: int) -> None:
    requirements = REQUIREMENTS[name]
    say(f"installing {requirements.name} into {folder} (once)")
    started = time.monotonic()
    pip = _pip_for(folder)
    problem = _install_with_uv(folder, pip, requirements, lock)
    if problem:
        say(f"uv cannot install here ({problem}); using pip, which is slower")
        problem = _run([*pip, "install", "--quiet", "--require-hashes", "-r", requirements], lock)
        if problem:
            raise CannotStart(f"pip cannot install {requirements.name}: {problem}")
    stamp = folder / f".stamp-{name}"
    unfinished = stamp.with_name(stamp.name + ".new")
    unfinished.write_text(stamp_for(requirements, folder))
    unfinished.replace(stamp)
    say(f"installed in {time.monotonic() - started:.0f} s")


def _pip_for(folder: Path) -> list[str | Path]:
    """The start of a pip command that installs into the venv.

    Our own Python's pip can do that from outside since pip 22.3, also where PEP 668 forbids it to install
    for itself. An older or missing one is replaced by the copy that comes with Python.
    """
    python = folder / "bin" / "python"
    for own in dict.fromkeys([sys.executable, getattr(sys, "_base_executable", sys.executable)]):
        outside: list[str | Path] = [own, "-m", "pip", "--python", python]
        if not _run([*outside, "--version"]):
            return outside
    if not _run([python, "-m", "ensurepip"]):
        return [python, "-m", "pip"]
    raise CannotStart(f"{sys.executable} has no pip; install pip (Debian: apt install python3-pip)")


def _install_with_uv(folder: Path, pip: list[str | Path], requirements: Path, lock: int) -> str:
    """'' when it worked, else why not."""
    own_folder = folder / "uv"
    uv = own_folder / "bin" / "uv"
    if not uv.exists():
        options = ["--quiet", "--no-compile", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        problem = _run([*pip, "install", *options, "--target", own_folder, "-r", UV_REQUIREMENT], lock)
        if problem:
            return problem
    # The hashes decide what is installed, so any index may deliver it.
    options = ["--quiet", "--require-hashes", "--compile-bytecode", "--index-strategy", "unsafe-best-match"]
    if not _is_cache_writable():
        options.append("--no-cache")
    return _run(
        [uv, "pip", "install", "--python", folder / "bin" / "python", *options, "-r", requirements],
        lock,
        # The machine's certificates, as pip: a company's proxy may sign with its own.
        env={"UV_SYSTEM_CERTS": "true", **_indexes_of_pip(pip), **os.environ},
    )


def _is_cache_writable() -> bool:
    names = ("UV_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
    folder = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return os.access(folder, os.W_OK)


def _indexes_of_pip(pip: list[str | Path]) -> dict[str, str]:
    """uv does not read pip's configuration: tell it about mirrors and certificates in uv's own variables."""
    answer = subprocess.run(
        [*map(str, pip), "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    settings: dict[str, str] = {}
    for line in answer.stdout.splitlines():
        name, _, quoted = line.partition("=")
        settings[name.rpartition(".")[2]] = " ".join(quoted.strip().strip("'\"").replace("\\n", " ").split())
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "trusted-host": "UV_INSECURE_HOST",
        "cert": "SSL_CERT_FILE",
    }
    return {names[name]: value for name, value in settings.items() if name in names and value}


def _run(
    command: list[str | Path], keep_open: int | None = None, *, env: dict[str, str] | None = None
) -> str:
    """Run quietly; '' when it worked, else the last line of what it said, or how it ended."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            pass_fds=[] if keep_open is None else [keep_open],
            check=False,
        )
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "× ", "caused by"))]
    return (errors or lines or [f"exit code {done.returncode}"])[-1]


def become(python: Path, home: Path, command: str, arguments: list[str]) -> None:
    """Replace this process by the command, so that signals and exit code are the command's own."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    environ["LIGHTFIELD_HOME"] = str(home)
    environ["PYTHONPATH"] = str(ROOT)
    environ["VIRTUAL_ENV"] = str(python.parent.parent)
    environ["PATH"] = os.pathsep.join([str(python.parent), environ.get("PATH", os.defpath)])
    if command != "manage":  # whose arguments may name files of the caller's folder
        os.chdir(ROOT)
    if not os.access(ROOT, os.W_OK):
        environ.update(_caches_in(home / "cache"))
    os.execve(python, [str(python), "-m", COMMANDS[command][0], *arguments], environ)


def _caches_in(folder: Path) -> dict[str, str]:
    """What tells Python and the tools to keep their caches there and not in a checkout they cannot write."""
    names = (
        "PYTHONPYCACHEPREFIX",
        "HYPOTHESIS_STORAGE_DIRECTORY",
        "COVERAGE_FILE",
        "RUFF_CACHE_DIR",
        "MYPY_CACHE_DIR",
    )
    variables = {name: str(folder / name.lower()) for name in names}
    return {**variables, "PYTEST_ADDOPTS": f"-o {shlex.quote(f'cache_dir={folder}/pytest')}"}


def main(arguments: list[str]) -> int:
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        say(f"Python 3.11, 3.12, 3.13 or 3.14 is needed; this is {platform.python_version()}")
        return 1
    try:
        command = arguments[0]
        home = home_folder(may_move=command in ("test", "check", "demo"))
        become(ensure_installed(home, COMMANDS[command][1]), home, command, arguments[1:])
    except CannotStart as problem:
        say(str(problem))
    except OSError as error:
        say(f"cannot install: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
