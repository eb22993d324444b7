"""What the admin's own templates need besides Django's tags."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

from django import template
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from lightfield.kernel import plain_words

register = template.Library()

SHOWN_CHARACTERS: Final = 64 * 1024  # of one JSON document in a page; the API has all of it
OPEN_LINES: Final = 8  # longer documents are folded
OPEN_CHARACTERS: Final = 800  # as are longer texts

TONES: Final = {
    "accepted": "good",
    "active": "good",
    "completed": "good",
    "complete": "good",
    "dispatched": "good",
    "done": "good",
    "ok": "good",
    "sent": "good",
    "bad_signature": "bad",
    "body_mismatch": "bad",
    "failed": "bad",
    "malformed": "bad",
    "poison": "bad",
    "permanent": "bad",
    "lost": "bad",
    "running": "busy",
    "in_progress": "busy",
    "queued": "busy",
    "ready": "busy",
    "intent": "busy",
    "waiting": "wait",
    "paused": "wait",
    "refused": "wait",
    "throttled": "wait",
    "unknown": "wait",
}

for _name in ("length", "size"):
    register.filter(_name.replace("length", "duration"), getattr(plain_words, _name))
register.filter("fact", plain_words.fact)
register.filter("money", plain_words.money)


@register.filter
def coded(words: str) -> SafeString:
    """A sentence of the catalogue: what stands between backticks is code."""
    parts = escape(words).split("`")
    return mark_safe("".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)))  # noqa: S308  escaped


@register.filter
def tone(status: str | None) -> str:
    """Which colour a status has: good, bad, busy, wait or none."""
    return TONES.get(status or "", "none")


@register.filter
def ago(instant: datetime | None) -> str:
    return "" if instant is None else plain_words.ago(instant, timezone.now())


@register.filter
def utc(instant: datetime | None) -> str:
    """To the millisecond, and saying which zone."""
    if instant is None:
        return ""
    return f"{instant:%Y-%m-%d %H:%M:%S}.{instant.microsecond // 1000:03d} UTC"


@register.filter
def wall(text: str) -> str:
    """An ISO instant with its offset, as people there read it: `Sun 2026-10-25 02:30, UTC+02:00`."""
    return f"{datetime.fromisoformat(text):%a %Y-%m-%d %H:%M}, UTC{text[-6:]}"


@register.filter
def short(identifier: Any) -> str:
    """A UUIDv7 by its last characters: the first ones are the time, which neighbours share."""
    return str(identifier)[-8:]


@register.inclusion_tag("lightfield/parts/moment.html")
def moment(instant: datetime | None) -> dict[str, Any]:
    return {"instant": instant}


@register.inclusion_tag("lightfield/parts/badge.html")
def badge(status: str | None, label: str = "", *, large: bool = False) -> dict[str, Any]:
    return {"tone": tone(status), "label": label or status, "large": large}


@register.inclusion_tag("lightfield/parts/document.html")
def document(
    value: Any, *, name: str, identifier: str, is_open: bool | None = None, has_size: bool = True
) -> dict[str, Any]:
    """A JSON value as text, folded when it is long.

    Args:
        identifier: unique in the page; keeps it open when the page renews itself.
        has_size: False where the page tells the size as it came: indented it is another one.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False)
    lines = text.count("\n") + 1
    return {
        "name": name,
        "identifier": identifier,
        "text": text[:SHOWN_CHARACTERS],
        "left_out": plain_words.size(len(text) - SHOWN_CHARACTERS) if len(text) > SHOWN_CHARACTERS else "",
        "size": plain_words.size(len(text.encode(errors="replace"))) if has_size else "",
        "is_open": lines <= OPEN_LINES if is_open is None else is_open,
    }


@register.inclusion_tag("lightfield/parts/said.html")
def said(text: str, *, name: str, identifier: str) -> dict[str, Any]:
    """What somebody wrote, as text: never as markup, a link or a picture. Folded when it is long.

    Args:
        identifier: unique in the page; keeps it open when the page renews itself.
    """
    return {
        "name": name,
        "identifier": identifier,
        "text": text[:SHOWN_CHARACTERS],
        "left_out": plain_words.size(len(text) - SHOWN_CHARACTERS) if len(text) > SHOWN_CHARACTERS else "",
        "is_long": len(text) > OPEN_CHARACTERS or text.count("\n") >= 2 * OPEN_LINES,
        "size": plain_words.size(len(text.encode(errors="replace"))),
    }


@register.filter
def counted(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


@register.inclusion_tag("lightfield/parts/copied.html")
def copied(text: str, *, what: str, shown: str = "") -> dict[str, Any]:
    """A text with a button that copies it."""
    return {"text": text, "what": what, "shown": shown or text}
