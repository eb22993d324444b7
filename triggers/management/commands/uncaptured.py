"""Which changes of watched records passed Django by, so that no workflow heard of them; and forget them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from triggers.records import uncaptured

HOW_TO_MEND = (
    "No workflow heard of these. Write through Django's models, or set LIGHTFIELD_CAPTURE=trigger and run\n"
    "bin/manage migrate: then the database captures by itself. What has been dealt with: bin/manage uncaptured --forget"
)


class Command(BaseCommand):
    help = (
        "List changes of watched records that passed Django by (raw SQL, COPY, another program), which no workflow "
        "heard of. `bin/manage verify` fails until they are forgotten."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--forget", action="store_true", help="they have been dealt with; says what it forgot"
        )

    def handle(self, *, forget: bool, **options: Any) -> None:
        found = uncaptured.forget(by="command line") if forget else uncaptured.told()
        for one in found:
            self.stdout.write(str(one))
        if not found:
            self.stdout.write("Nothing passed Django by.")
        elif forget:
            self.stdout.write("Forgotten; the audit trail keeps it.")
        else:
            self.stdout.write(HOW_TO_MEND)
