"""Which step types are installed, and what one takes and gives."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workflows.shapes import Schema
from workflows.step_catalogue import StepTypeEntry, described, fields_of


class Command(BaseCommand):
    help = "List the installed step types, or show the schemas of one."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="a step type, to see its schemas")
        parser.add_argument("--json", action="store_true", help="as JSON, schemas included")

    def handle(self, *args: Any, **options: Any) -> None:
        entries, name = described(), options["name"]
        if name is not None:
            entries = [entry for entry in entries if entry.name == name]
            if not entries:
                known = ", ".join(entry.name for entry in described())
                raise CommandError(f"There is no step type {name!r}; installed are {known}.")
        if options["json"]:
            shown = [asdict(entry) for entry in entries]
            self.stdout.write(json.dumps(shown if name is None else shown[0], indent=2))
        elif name is not None:
            self._show(entries[0])
        else:
            for entry in entries:
                self._line(entry)

    def _line(self, entry: StepTypeEntry) -> None:
        takes = [
            name if is_required else f"[{name}]" for name, _, is_required in fields_of(entry.config_schema)
        ]
        gives = [name for name, _, _ in fields_of(entry.output_schema)]
        self.stdout.write(f"{entry.name}  ({entry.lane} lane, {entry.app})")
        self.stdout.write(f"  {entry.summary}")
        self.stdout.write(f"  config: {', '.join(takes) or 'nothing'}")
        self.stdout.write(f"  output: {', '.join(gives) or 'any object'}")

    def _show(self, entry: StepTypeEntry) -> None:
        self._line(entry)
        self._schema("config", entry.config_schema)
        self._schema("output", entry.output_schema)

    def _schema(self, name: str, schema: Schema | None) -> None:
        self.stdout.write(f"{name} schema:")
        self.stdout.write(json.dumps(schema, indent=2) if schema else "  none: it may be any object")
