"""Fork cells for the worker at the other end of standard input. Started by a worker, not by people."""

from __future__ import annotations

import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions import cell_server


class Command(BaseCommand):
    help = "Fork cells for the worker at the other end of standard input. Started by a worker, not by people."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            line = socket.socket(fileno=cell_server.LINE)
        except OSError as error:
            raise CommandError("standard input is no socket: a worker starts this") from error
        cell_server.serve(line)
