"""The transcript of an agent step as a file that a test replays."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.agents import transcript
from executions.models import Run, StepRun


class Command(BaseCommand):
    help = (
        "Print what an agent step did, as JSON: what its model answered and what its tools said, without secrets. "
        "`fakes.transcript` replays it in a test."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", help="the run's id")
        parser.add_argument("step", help="the step's key")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = transcript.exported(UUID(options["run"]), options["step"])
        except (ValueError, Run.DoesNotExist):
            raise CommandError(f"There is no run {options['run']!r}.") from None
        except StepRun.DoesNotExist:
            raise CommandError(
                f"Run {options['run']} has no step {options['step']!r}, or its turn has not come."
            ) from None
        if not found["turns"]:
            raise CommandError(
                f"Step {options['step']!r} has no turns: it is no agent, has not begun, or was taken over from the run "
                "that this one replays."
            )
        self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
