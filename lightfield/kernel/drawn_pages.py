"""Pages of docs/ that are drawn from the code: written, or compared with what stands there."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError


def write(path: Path, page: str) -> str:
    """Write it. Gives a line for whoever asked."""
    path.write_text(page, encoding="utf-8")
    return f"{path} written"


def check(path: Path, page: str, *, redraw: str) -> None:
    """Raises CommandError, naming the command that redraws it, when the page is not what the code says."""
    if not path.is_file() or path.read_text(encoding="utf-8") != page:
        raise CommandError(f"{path} differs from the code: run bin/manage {redraw}")
