"""Seal every stored secret anew with the first key of the ring, and tell which keys are still needed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from lightfield.access import key_rotation, keyring
from lightfield.access.key_rotation import Report

SHOWN = 10  # ids of what cannot be opened


class Command(BaseCommand):
    help = (
        "Seal every stored secret, webhook address and stored answer anew with the first key of "
        "LIGHTFIELD_ENCRYPTION_KEYS. Runs beside everything else, can be interrupted and repeated. Exits with 1 while "
        "another key is needed, or something cannot be opened."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="open everything, change nothing, and tell")

    def handle(self, *, check: bool, **options: Any) -> None:
        first = keyring.first_key_id()
        reports = key_rotation.check() if check else key_rotation.rotate()
        for report in reports:
            self._tell(report)
        needed = {key_id for report in reports for key_id in report.keys} - {first}
        broken = sum(len(report.unreadable) for report in reports)
        self._sum_up(first, needed, broken)
        if needed or broken:
            raise SystemExit(1)

    def _tell(self, report: Report) -> None:
        keys = ", ".join(f"{count:,} by {key_id}" for key_id, count in sorted(report.keys.items()))
        line = f"{report.title + ':':<18} {keys or 'none'}"
        if report.renewed:
            line += f"; {report.renewed:,} sealed anew"
        if report.changed_meanwhile:
            line += f"; {report.changed_meanwhile:,} changed meanwhile and left alone"
        self.stdout.write(line)
        if report.unreadable:
            ids = ", ".join(report.unreadable[:SHOWN])
            more = f" and {len(report.unreadable) - SHOWN:,} more" if len(report.unreadable) > SHOWN else ""
            self.stdout.write(self.style.ERROR(f"  cannot be opened: {ids}{more}"))

    def _sum_up(self, first: str, needed: set[str], broken: int) -> None:
        ring = keyring.key_ids()
        if broken:
            gone = sorted(needed - set(ring))
            why = f" Put back: {', '.join(gone)}." if gone else ""
            self.stdout.write(self.style.ERROR(f"{broken:,} cannot be opened.{why}"))
        if needed:
            self.stdout.write(f"Still needed besides {first}: {', '.join(sorted(needed))}.")
            return
        spare = [key_id for key_id in ring if key_id != first]
        self.stdout.write(
            self.style.SUCCESS(
                f"Everything is sealed with {first}."
                + (
                    f" No longer needed: {', '.join(spare)}, once every process has started with {first} in front."
                    if spare
                    else ""
                )
            )
        )
