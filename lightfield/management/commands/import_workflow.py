"""Store a workflow out of a file, or one of the recipes that come with the product. Only its id goes to stdout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightfield import examples
from lightfield.kernel import strict_json
from lightfield.kernel.errors import Problem, RequestRefused
from workflows import services
from workflows.definitions import parse_definition
from workflows.foresight import warnings_of

BY = "command line"


class Command(BaseCommand):
    help = "Store a workflow as a draft, from a file or from a recipe; without an argument, list the recipes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source", nargs="?", help="a recipe's name, the path of a JSON file, or - for stdin"
        )
        parser.add_argument("--publish", action="store_true", help="publish it at once")

    def handle(self, *, source: str | None, publish: bool, **options: Any) -> None:
        if source is None:
            for example in examples.EXAMPLES:
                self.stdout.write(f"{example.name}\n  {example.summary}")
            return
        try:
            workflow = services.create_workflow(definition=_definition(source), by=BY)
            self.stdout.write(str(workflow.pk))
            self.stderr.write(_shown(f"{workflow.name}: stored as a draft."))
            if publish:
                self._publish(workflow.pk)
        except RequestRefused as error:
            raise CommandError(_told(error)) from None

    def _publish(self, workflow_id: Any) -> None:
        version, _ = services.publish(workflow_id=workflow_id, by=BY)
        self.stderr.write(f"Published as version {version.number}.")
        for warning in warnings_of(parse_definition(version.definition)):
            self.stderr.write(f"warning: {_line(warning)}")


def _definition(source: str) -> Any:
    """Raises CommandError, RequestRefused."""
    example = examples.find(source)
    if example is not None:
        return example.definition
    try:
        raw = _read(source)
    except (OSError, ValueError) as error:
        known = ", ".join(example.name for example in examples.EXAMPLES)
        why = getattr(error, "strerror", None) or "this is no path"
        raise CommandError(_shown(f"{source}: {why}. The recipes are {known}.")) from None
    return strict_json.parse(raw)


def _read(source: str) -> bytes:
    """No more than is judged: it may have no end. Raises OSError, ValueError."""
    most = strict_json.MAX_BYTES + 1
    if source == "-":
        return sys.stdin.buffer.read(most)
    with Path(source).open("rb") as file:
        return file.read(most)


def _told(error: RequestRefused) -> str:
    return "\n".join([_shown(f"{error.code}: {error.message}"), *map(_line, error.problems)])


def _line(problem: Problem) -> str:
    return _shown(f"{problem.pointer or '/'}  {problem.code}  {problem.detail}")


def _shown(text: str) -> str:
    """A stranger's text on a terminal, which would do what control characters tell it."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
