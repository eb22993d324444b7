"""Run steps that lost their worker, in this process alone. Started by a worker, not by people."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from executions import cells, leases
from lightfield.kernel import bells, logs


class Command(BaseCommand):
    help = "Run steps that lost their worker, in this process alone. Started by a worker, not by people."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("ids", nargs="+", type=int)
        parser.add_argument("--lane", required=True, choices=("fast", "http", "ai"))
        parser.add_argument("--name", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        logs.configure()
        leases.rename(options["name"])
        cells.run_here(options["ids"], options["lane"])
        bells.flush()
