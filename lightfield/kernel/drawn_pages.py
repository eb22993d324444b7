"""Pages of docs/ that are drawn from the code: written, or compared with what stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser


def write(path: Path, page: str) -> str:
    """Write it. Gives a line for whoever asked."""
    path.write_text(page, encoding="utf-8")
    return f"{path} written"


def check(path: Path, page: str, *, redraw: str) -> None:
    """Raises CommandError, naming the command that redraws it, when the page is not what the code says."""
    if not path.is_file() or path.read_text(encoding="utf-8") != page:
        raise CommandError(f"{path} differs from the code: run bin/manage {redraw}")


class DrawCommand(BaseCommand):
    """Draws one page, or checks it: `redraw` is the command's own name."""

    requires_system_checks = ()
    redraw: ClassVar[str]

    def page_path(self) -> Path:
        raise NotImplementedError  # of every command its own

    def page(self) -> str:
        raise NotImplementedError  # of every command its own

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if the page is out of date"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["check"]:
            check(self.page_path(), self.page(), redraw=self.redraw)
        else:
            self.stdout.write(write(self.page_path(), self.page()))
