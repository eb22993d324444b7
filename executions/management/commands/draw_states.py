"""Draw docs/states.md from the code, or check that it was."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from executions import drawing
from lightfield.kernel import drawn_pages


class Command(BaseCommand):
    help = "Draw docs/states.md from the enums and transition tables in the code."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if the page is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            drawn_pages.check(drawing.page_path(), drawing.page(), redraw="draw_states")
        else:
            self.stdout.write(drawn_pages.write(drawing.page_path(), drawing.page()))
