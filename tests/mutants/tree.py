"""A copy of the checkout as it lies there, changes that are not committed included. Mutants live only in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]


def copy_to(folder: Path) -> None:
    """Copy what git knows and what it would add, as it is now; what is deleted stays away."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


class Tree:
    """One copy, and which mutant is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._instant = int(time.time())

    @contextmanager
    def having(self, mutant: Mutant) -> Iterator[None]:
        """Put the mutant in, and take it out again. Raises DoesNotFit."""
        mutated = mutant.texts(self.folder)
        before = {path: path.read_text() for path in mutated}
        try:
            self._write(mutated)
            yield
        finally:
            self._write(before)

    def _write(self, texts: dict[Path, str]) -> None:
        """Python takes a compiled file for fresh by size and whole seconds: no two writes share a second."""
        self._instant += 1
        for path, text in texts.items():
            path.write_text(text)
            os.utime(path, (self._instant, self._instant))
