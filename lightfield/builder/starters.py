"""Definitions to begin with: small ones and the recipes, each valid. They can be published as they are; those with an agent where
a model is set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from lightfield.examples import EXAMPLES, Example

WEBHOOK: Final = {
    "type": "webhook",
    "config": {
        "signature": {"scheme": "none"},
        "sample": {"email": "ada@example.com", "name": "Ada", "amount": 120},
    },
}
MANUAL: Final = {"type": "manual", "config": {}}
SCHEDULE: Final = {
    "type": "schedule",
    "config": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "missed": "latest"},
}
RECORD: Final = {
    "type": "record",
    "config": {"entity": "opportunity", "event": "updated", "fields": ["stage"]},
}


@dataclass(frozen=True)
class Starter:
    slug: str
    title: str
    summary: str
    symbol: str
    trigger: dict[str, Any]
    steps: list[dict[str, Any]]
    example: Example | None = None  # a whole recipe instead

    @property
    def group(self) -> str:
        return "Recipes" if self.example else ""

    @property
    def definition(self) -> dict[str, Any]:
        if self.example is not None:
            return self.example.definition
        return {
            "schema": 1,
            "name": self.title,
            "description": self.summary,
            "trigger": self.trigger,
            "steps": self.steps,
        }


SMALL: Final = (
    Starter(
        "forward",
        "Forward a webhook",
        "A webhook comes in, a request goes out: retried until the receiver has it.",
        "send",
        WEBHOOK,
        [
            {
                "key": "forward",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": "https://example.com/hook",
                    "headers": {"X-Source": "lightfield"},
                    "json": {
                        "email": "{{ trigger.email }}",
                        "name": "{{ trigger.name | default: 'unknown' }}",
                    },
                },
                "retry": {"max_attempts": 5, "base_seconds": 1, "cap_seconds": 300},
            }
        ],
    ),
    Starter(
        "check",
        "Forward what matters",
        "Only events above a limit are sent on; the others end quietly.",
        "filter_alt",
        WEBHOOK,
        [
            {
                "key": "large",
                "type": "condition",
                "config": {"left": "{{ trigger.amount }}", "operator": "gte", "right": 100},
            },
            {
                "key": "announce",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": "https://example.com/large-order",
                    "json": {"text": "{{ trigger.email }} ordered for {{ trigger.amount }}"},
                },
            },
            {"key": "note", "type": "log", "config": {"message": "Answered {{ announce.status_code }}"}},
        ],
    ),
    Starter(
        "record",
        "Tell who won",
        "A record changes: when the stage of an opportunity becomes won, a request goes out.",
        "edit_note",
        RECORD,
        [
            {
                "key": "won",
                "type": "condition",
                "config": {"left": "{{ trigger._diff.stage.after }}", "operator": "is", "right": "won"},
            },
            {
                "key": "announce",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": "https://example.com/won",
                    "json": {
                        "opportunity": "{{ trigger.id }}",
                        "name": "{{ trigger.fields.name }}",
                        "amount": "{{ trigger.fields.amount }}",
                        "was": "{{ trigger._diff.stage.before }}",
                    },
                },
            },
        ],
    ),
    Starter(
        "contacts",
        "Keep contacts up to date",
        "A webhook tells of a person: the contact is found by its address or created, and gets a task.",
        "contacts",
        WEBHOOK,
        [
            {
                "key": "contact",
                "type": "upsert_record",
                "config": {
                    "entity": "contact",
                    "match": {"email": "{{ trigger.email }}"},
                    "fields": {"first_name": "{{ trigger.name | default: nil }}"},
                },
            },
            {
                "key": "open",
                "type": "find_records",
                "config": {
                    "entity": "task",
                    "filters": [
                        {"field": "custom.contact", "operator": "is", "value": "{{ contact.id }}"},
                        {"field": "status", "operator": "is", "value": "todo"},
                    ],
                },
            },
            {
                "key": "idle",
                "type": "condition",
                "config": {"left": "{{ open.count }}", "operator": "is", "right": 0},
            },
            {
                "key": "task",
                "type": "create_record",
                "config": {
                    "entity": "task",
                    "fields": {"title": "Call {{ trigger.email }}", "custom.contact": "{{ contact.id }}"},
                },
            },
        ],
    ),
    Starter(
        "schedule",
        "Every working day at nine",
        "A request goes out at nine o'clock, from Monday to Friday, also on the days when clocks change.",
        "schedule",
        SCHEDULE,
        [
            {
                "key": "report",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": "https://example.com/daily-report",
                    "json": {
                        "scheduled_for": "{{ trigger.scheduled_for }}",
                        "late_by_seconds": "{{ trigger.late_by_seconds }}",
                    },
                },
            }
        ],
    ),
    Starter(
        "manual",
        "Say hello",
        "Started by hand; writes one line to its timeline. The smallest workflow there is.",
        "waving_hand",
        MANUAL,
        [
            {
                "key": "hello",
                "type": "log",
                "config": {"message": "Hello {{ trigger.name | default: 'world' }}"},
            }
        ],
    ),
    Starter(
        "reminder",
        "Wait, then remind",
        "Waits in the database, not in a worker, and sends a request afterwards.",
        "alarm",
        WEBHOOK,
        [
            {"key": "pause", "type": "sleep", "config": {"seconds": 3600}},
            {
                "key": "remind",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": "https://example.com/remind",
                    "json": {"email": "{{ trigger.email }}", "waited_until": "{{ pause.until }}"},
                },
            },
        ],
    ),
)

RECIPES: Final = tuple(
    Starter(
        one.name, one.title, one.summary, one.symbol, one.definition["trigger"], one.definition["steps"], one
    )
    for one in EXAMPLES
)
STARTERS: Final = (*SMALL, *RECIPES)


def find(slug: str | None) -> Starter | None:
    return next((starter for starter in STARTERS if starter.slug == slug), None)
