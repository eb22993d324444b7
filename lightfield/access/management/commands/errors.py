"""The error catalogue at the command line, and docs/errors.md written from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightfield.kernel import drawn_pages
from lightfield.kernel.catalogue import CATALOGUE
from lightfield.kernel.catalogue_page import page


def page_path() -> Path:
    return Path(settings.BASE_DIR) / "docs" / "errors.md"


class Command(BaseCommand):
    help = "Tell what an error code means and what to do, list all codes, or write docs/errors.md."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", nargs="?", help="a code such as template.unresolved, or its beginning")
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser.add_argument("--write", action="store_true", help="write docs/errors.md")
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if docs/errors.md is out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            self.stdout.write(drawn_pages.write(page_path(), page()))
        elif options["check"]:
            drawn_pages.check(page_path(), page(), redraw="errors --write")
        else:
            self._list(options["code"] or "", as_json=options["json"])

    def _list(self, beginning: str, *, as_json: bool) -> None:
        found = [CATALOGUE[code] for code in sorted(CATALOGUE) if code.startswith(beginning)]
        if not found:
            raise CommandError(f"There is no code {beginning!r}; bin/manage errors lists all of them.")
        if as_json:
            self.stdout.write(json.dumps([asdict(entry) for entry in found], indent=2))
            return
        for entry in found:
            kind = "retried" if entry.retryable else "not retried"
            status = f", status {entry.status}" if entry.status else ""
            self.stdout.write(f"{entry.code} ({kind}{status})\n  {entry.meaning}\n  {entry.remedy}")
