"""The workflows of `bin/demo`, in the format of the API: a signup becomes a contact, and a new contact a task."""

from __future__ import annotations

from typing import Any

SECRET = "welcome_service"  # the name under which the far end's token is kept
ENTITY = "contact"


def welcome_a_signup(far_end: str, webhook_secret: str, token_secret: str = SECRET) -> dict[str, Any]:
    """Signed webhook, record, condition, request with the secret `token_secret`."""
    return {
        "schema": 1,
        "name": "Demo: welcome a signup",
        "trigger": {
            "type": "webhook",
            "config": {
                "signature": {"scheme": "standard", "secret": webhook_secret},
                "sample": {"email": "ada@example.com", "name": "Ada", "plan": "pro"},
            },
        },
        "steps": [
            {
                "key": "contact",
                "name": "Create or update the contact",
                "type": "upsert_record",
                "config": {
                    "entity": ENTITY,
                    "match": {"email": "{{ trigger.email }}"},
                    "fields": {"first_name": "{{ trigger.name }}", "custom.plan": "{{ trigger.plan }}"},
                },
            },
            {
                "key": "pays",
                "name": "Only who pays",
                "type": "condition",
                "config": {"left": "{{ trigger.plan }}", "operator": "is", "right": "pro"},
            },
            {
                "key": "welcome",
                "name": "Send the welcome message",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": f"{far_end}/welcome",
                    "auth": {"type": "bearer", "token": f"{{{{ secret.{token_secret} }}}}"},
                    "json": {"contact": "{{ contact.id }}", "text": "Welcome, {{ trigger.name }}!"},
                },
                "retry": {"max_attempts": 5, "base_seconds": 0.2},
            },
        ],
    }


def call_a_new_contact() -> dict[str, Any]:
    """What the record's change starts."""
    return {
        "schema": 1,
        "name": "Demo: call a new contact",
        "trigger": {"type": "record", "config": {"entity": ENTITY, "event": "created"}},
        "steps": [
            {
                "key": "task",
                "name": "Note whom to call",
                "type": "create_record",
                "config": {"entity": "task", "fields": {"title": "Call {{ trigger.fields.first_name }}"}},
            }
        ],
    }
