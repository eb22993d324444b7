"""What the logs of a walk must not hold: a traceback, a critical line, a server's panic, unless it is known why.

An allowed kind is one that a fault of ours brings about in somebody else's code (Celery, kombu, django-celery-beat),
where the next try is that code's own. Each stands here with its reason; everything else is a problem.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 220  # characters of one complaint that are shown
AWAY = "Error while reading|Connection closed|is loading the dataset|Error [0-9-]+ |Timeout|timed out|Connection reset"
_LAST_WORD = re.compile(r"^(?!DETAIL|HINT|CONTEXT|LINE)[A-Za-z_][\w.]*(: |$)")


@dataclass(frozen=True)
class Allowed:
    """A kind of complaint: who writes it, words of it, and why it is no problem."""

    logger: str
    words: str
    why: str


ALLOWED = (
    Allowed(
        "django_celery_beat.schedulers",
        r"Database (gave error|error while sync): (OperationalError|InterfaceError)",
        "beat read its schedule, or noted when it rang last, while PostgreSQL was away; it goes on and tries again",
    ),
    Allowed(
        "celery.beat",
        rf"Couldn't apply scheduled task .*({AWAY})",
        "beat had a message for a Redis that was away or starting; the next one is due in a second",
    ),
    Allowed(
        "celery.beat",
        r"Couldn't apply scheduled task .*(maxmemory|OOM)",
        "beat had a message for a Redis that was full; the next one is due in a second",
    ),
    Allowed(
        "kombu.asynchronous.hub",
        r"Error in timer: .*OutOfMemoryError",
        "a worker's word to Flower did not fit into a full Redis; nothing depends on it",
    ),
    Allowed(
        "celery.app.trace",
        r"Task executions\.\w+\[.* raised unexpected: ValueError\(('badly formed hexadecimal UUID|\"invalid literal for int)",
        "we forged a message with ids that are none; it fails as they are read, before any row is looked at",
    ),
)
PANICS = {
    "postgres": re.compile(r"PANIC: |was terminated by signal (4|6|7|8|11):"),
    "redis": re.compile(r"BUG REPORT START|crashed by signal"),
}


def complaints(folder: Path) -> collections.Counter[str]:
    """What no reason is known for, of all logs of a walk: `name: words`, how often."""
    found: collections.Counter[str] = collections.Counter()
    for path in sorted(folder.glob("*.log*")):  # and what was put aside
        for words in of_one(path.name.partition(".")[0], path.read_text(errors="replace")):
            found[f"{path.name}: {re.sub('[0-9a-f]{8}-[0-9a-f-]{27}', '…', words)[:LONGEST]}"] += 1
    return found


def of_one(name: str, text: str) -> Iterator[str]:
    """The complaints of one log."""
    if name in PANICS:
        yield from (line for line in text.splitlines() if PANICS[name].search(line))
        return
    lines = text.splitlines()
    for number, line in enumerate(lines):
        told = _structured(line)
        if told is not None:
            if told.get("level") == "critical" or "Traceback" in line:
                said = _words(told)
                if not is_allowed(str(told.get("logger")), said):
                    yield said
        elif "Traceback (most recent call last)" in line or "[CRITICAL]" in line:
            yield line if "[CRITICAL]" in line else _end_of_traceback(lines[number + 1 :])


def is_allowed(logger: str, words: str) -> bool:
    return any(one.logger == logger and re.search(one.words, words, re.DOTALL) for one in ALLOWED)


def _structured(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None  # cut off when its process was killed, or two at once
    return told if isinstance(told, dict) else None


def _words(told: dict[str, Any]) -> str:
    """The event's first line, and what the exception said last."""
    event = str(told.get("event", ""))
    raised = str(told.get("exception", "")) or event
    last = next((line for line in reversed(raised.splitlines()) if _LAST_WORD.match(line)), "")
    return f"{told.get('level')} {told.get('logger')}: {event.partition(chr(10))[0]} | {last}"


def _end_of_traceback(rest: list[str]) -> str:
    return next((line for line in rest if line.strip() and not line.startswith((" ", "\t"))), "Traceback")
