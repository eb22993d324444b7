"""Draw docs/limits.md from the code, or check that it was."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightfield.limits import drawing


class Command(BaseCommand):
    help = "Draw docs/limits.md from the settings, the models of a definition and the constants in the code."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if the page is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, page = drawing.page_path(), drawing.page()
        if not options["check"]:
            path.write_text(page, encoding="utf-8")
            self.stdout.write(f"{path} written")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page:
            raise CommandError(f"{path} differs from the code: run bin/manage draw_limits")
