"""`bin/check`: what CI runs before the tests. Every check runs, also after one has failed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from lightfield.local.boot import ROOT

# The settings want addresses; nothing is asked of these servers, and there are none.
NO_SERVERS = {
    "DATABASE_URL": "postgresql://lightfield@127.0.0.1:1/lightfield",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
PYTHON = sys.executable

CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", (PYTHON, "-m", "ruff", "format", "--check", "--quiet", ".")),
    ("lint", (PYTHON, "-m", "ruff", "check", "--quiet", ".")),
    ("types", (PYTHON, "-m", "mypy", ".")),
    (
        "import contracts",
        (PYTHON, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"),
    ),
    # Django also looks whether the database has the same migrations; without one it only warns.
    (
        "missing migrations",
        (PYTHON, "-W", "ignore::RuntimeWarning", "manage.py", "makemigrations", "--check", "--dry-run"),
    ),
)


def main() -> int:
    argparse.ArgumentParser(prog="bin/check", description=__doc__).parse_args()
    environ = {**os.environ, **NO_SERVERS, "DJANGO_SETTINGS_MODULE": "lightfield.settings"}
    environ["LIGHTFIELD_ENV"] = "development"
    failed = [name for name, command in CHECKS if not _passes(name, command, environ)]
    print(
        f"\n{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}"
        if failed
        else "\nAll checks passed."
    )
    return 1 if failed else 0


def _passes(name: str, command: tuple[str, ...], environ: dict[str, str]) -> bool:
    """Run one check; its output is shown only when it fails."""
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    passed = done.returncode == 0
    print(f"{'ok  ' if passed else 'FAIL'}  {name} ({time.monotonic() - started:.1f} s)", flush=True)
    if not passed:
        print(done.stdout, flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
