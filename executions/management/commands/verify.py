"""Ask the database whether everything that must be true of its rows is true. Reads only."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.verifying import running
from executions.verifying.describing import as_markdown
from executions.verifying.running import Finding

NAMES_WIDTH = max(len(invariant.name) for invariant in running.INVARIANTS)


class Command(BaseCommand):
    help = (
        "Check every invariant over one snapshot of the database. Reads only. "
        "Exits with 0 when all hold, 1 when one is broken (ids are printed), 2 when one could not be checked."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--quiesced",
            action="store_true",
            help="nothing is in flight and nothing comes in: also check that everything has ended",
        )
        parser.add_argument("--json", action="store_true", help="print the findings as one JSON document")
        parser.add_argument(
            "--timeout", type=float, default=running.TIMEOUT_SECONDS, help="seconds for one query"
        )
        parser.add_argument(
            "--list", action="store_true", help="check nothing; print what would be checked, as Markdown"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self.stdout.write(as_markdown(running.GROUPS), ending="")
            return
        started_at, started = datetime.now(UTC), time.monotonic()
        findings: list[Finding] = []
        try:
            for finding in running.verify(quiesced=options["quiesced"], timeout_seconds=options["timeout"]):
                findings.append(finding)
                if not options["json"]:
                    self._tell(finding)
        except running.NotChecked as error:
            raise CommandError(str(error), returncode=2) from error
        broken = sum(finding.broken > 0 for finding in findings)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(findings, started_at, quiesced=options["quiesced"])))
        else:
            self._sum_up(len(findings), broken, time.monotonic() - started)
        if broken:
            raise SystemExit(1)

    def _tell(self, finding: Finding) -> None:
        invariant = finding.invariant
        checked = f"{finding.checked:>11,} {invariant.subject.name.lower()}"
        line = f"{invariant.name:<{NAMES_WIDTH}} {checked:<22} {finding.seconds * 1000:>9,.1f} ms"
        if not finding.broken:
            self._say(f"  ✓  {line}")
            return
        self._say(self.style.ERROR(f"  ✗  {line}   {finding.broken:,} broken"))
        self._say(f"       {invariant.says}")
        for found in finding.ids:
            self._say(f"       {found}")
        if finding.broken > len(finding.ids):
            self._say(f"       and {finding.broken - len(finding.ids):,} more")
        if invariant.remedy:
            self._say(f"       {invariant.remedy}")

    def _sum_up(self, number: int, broken: int, seconds: float) -> None:
        if broken:
            self._say(self.style.ERROR(f"{broken} of {number} invariants broken ({seconds:.1f} s)"))
        else:
            self._say(self.style.SUCCESS(f"All {number} invariants hold ({seconds:.1f} s)"))

    def _say(self, text: str) -> None:
        """Write a line, also where the terminal has nothing but ASCII."""
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            plain = text.replace("✓", "ok").replace("✗", "!!").replace("…", "...")
            text = plain.encode(encoding, "replace").decode(encoding)
        self.stdout.write(text)


def _as_json(findings: list[Finding], started_at: datetime, *, quiesced: bool) -> dict[str, Any]:
    return {
        "holds": not any(finding.broken for finding in findings),
        "quiesced": quiesced,
        "started_at": started_at.isoformat().replace("+00:00", "Z"),
        "rows": {finding.invariant.subject.name.lower(): finding.checked for finding in findings},
        "invariants": [
            {
                "name": finding.invariant.name,
                "says": finding.invariant.says,
                "remedy": finding.invariant.remedy,
                "checked": finding.checked,
                "broken": finding.broken,
                "ids": finding.ids,
                "milliseconds": round(finding.seconds * 1000, 1),
            }
            for finding in findings
        ],
    }
