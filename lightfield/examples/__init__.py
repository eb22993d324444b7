"""Whole workflows to begin with: the recipes. Each is a file beside this one, a definition as the API takes it.

`bin/manage import_workflow` stores one as a draft, the admin offers them beside the starters, `GET /api/v1/examples` lists them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent


@dataclass(frozen=True)
class Example:
    name: str  # of its file
    summary: str
    symbol: str

    @property
    def definition(self) -> dict[str, Any]:
        """The document, a new one each time."""
        definition: dict[str, Any] = json.loads(_text(self.name))
        return definition

    @property
    def title(self) -> str:
        return str(self.definition["name"])


@lru_cache
def _text(name: str) -> str:
    return (HERE / f"{name}.json").read_text(encoding="utf-8")


EXAMPLES: Final = (
    Example(
        "message-sorted",
        "A message comes in, a model says what it is about: an answer that the next steps can rely on.",
        "smart_toy",
    ),
    Example(
        "stripe-signup",
        "Somebody pays by Stripe: an agent finds or makes the contact, the account and the opportunity.",
        "payments",
    ),
    Example(
        "linkedin-message",
        "A message comes in: an agent finds whose it is, keeps it as a note and spots who wants to buy.",
        "forum",
    ),
    Example(
        "daily-meeting-notes",
        "In the evening an agent turns the day's meeting notes into notes, tasks and news of opportunities.",
        "event_note",
    ),
    Example(
        "transcript-to-meeting",
        "Transcripts are fetched and matched to their meetings by attendees, title and time.",
        "record_voice_over",
    ),
    Example("new-deal-to-slack", "An opportunity is created: a message goes into a channel.", "campaign"),
    Example(
        "new-deal-to-systems",
        "An opportunity is created: several systems are told, one after the other.",
        "hub",
    ),
    Example(
        "new-contact-routed",
        "A contact is created: an agent decides which team is told.",
        "alt_route",
    ),
)


def find(name: str) -> Example | None:
    return next((example for example in EXAMPLES if example.name == name), None)
