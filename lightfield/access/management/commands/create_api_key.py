"""Make an API key and print it, once. Only the key goes to stdout, so that a script can capture it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightfield.access.keys import create_key
from lightfield.access.models import ApiKey, Scope


class Command(BaseCommand):
    help = "Make an API key and print it. It cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "name", help="what or who will use the key; shown in lists and in the audit trail"
        )
        parser.add_argument("--scope", choices=Scope.values, default=Scope.ADMIN, help="default: admin")
        parser.add_argument("--days", type=int, help="let the key expire after so many days; default: never")

    def handle(self, *, name: str, scope: str, days: int | None, **options: Any) -> None:
        longest = ApiKey._meta.get_field("name").max_length
        if not 0 < len(name.strip()) <= (longest or 0):
            raise CommandError(f"NAME needs 1 to {longest} characters.")
        if days is not None and not 0 < days <= 3650:
            raise CommandError("--days takes 1 to 3650.")
        lifetime = None if days is None else timedelta(days=days)
        key, secret = create_key(name=name.strip(), scope=Scope(scope), lifetime=lifetime, by="command line")
        self.stdout.write(secret)
        self.stderr.write(f"Key {key.prefix}… ({key.scope}) made. Keep it now: only its hash is stored.")
        self.stderr.write("Use it as: Authorization: Bearer <key>")
