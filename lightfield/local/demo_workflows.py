"""The workflows of `bin/demo`, in the format of the API: a payment becomes records, by an agent, and a new contact a task."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

SECRET = "welcome_service"  # the name under which the far end's token is kept
AGENT = "agent"  # the key of its step
ENTITIES = ("account", "contact", "opportunity")


@dataclass(frozen=True)
class Customer:
    """Who pays. `website` tells one company from another, `email` one person."""

    email: str
    name: str
    company: str
    website: str
    plan: str = "pro"
    cents: int = 9900


def checkout(customer: Customer, *, id: str) -> dict[str, Any]:
    """The event that Stripe sends when a customer has paid, as far as it matters here; `id` is the event's."""
    session = {
        "id": f"cs_{id}",
        "object": "checkout.session",
        "amount_total": customer.cents,
        "currency": "usd",
        "payment_status": "paid",
        "customer_details": {"email": customer.email, "name": customer.name},
        "metadata": {"company": customer.company, "plan": customer.plan, "website": customer.website},
    }
    return {
        "id": id,
        "object": "event",
        "type": "checkout.session.completed",
        "created": int(time.time()),
        "data": {"object": session},
    }


ADA = Customer("ada@example.com", "Ada Lovelace", "Analytical Engines", "https://analytical.example")

INSTRUCTIONS = """\
You keep the customer records of a company that sells software. A customer has just paid.
1. Look for the contact by the e-mail address and for the account by the website, to see what is known.
2. Upsert the account, matched by the website; its name is the company's.
3. Upsert the contact, matched by the e-mail address: first name, last name, account, and custom.plan as in the data.
4. Upsert the opportunity, matched by account and name; its name is the company's. Its stage is won, its amount what was paid, \
in dollars (amount_total counts cents).
Do each of these once. Then give the ids of the three records, and the plan as it stands in the data."""

OUTPUT = {
    "type": "object",
    "properties": {
        **{f"{entity}_id": {"type": "string"} for entity in ENTITIES},
        "plan": {"enum": ["free", "pro"]},
    },
    "required": [*(f"{entity}_id" for entity in ENTITIES), "plan"],
    "additionalProperties": False,
}


def welcome_a_customer(far_end: str, webhook_secret: str, token_secret: str = SECRET) -> dict[str, Any]:
    """Signed webhook, agent with tools, condition, request with the secret `token_secret`."""
    return {
        "schema": 1,
        "name": "Demo: welcome a customer",
        "trigger": {
            "type": "webhook",
            "config": {
                "signature": {"scheme": "stripe", "secret": webhook_secret},
                "sample": checkout(ADA, id="evt_sample"),
            },
        },
        "steps": [
            {
                "key": AGENT,
                "name": "Bring the records up to date",
                "type": "ai_agent",
                "config": {
                    "instructions": INSTRUCTIONS,
                    "prompt": "The checkout:\n{{ trigger.data.object }}",
                    "output_schema": OUTPUT,
                    "tools": [
                        {"type": "read_records", "entities": list(ENTITIES)},
                        {"type": "write_records", "entities": list(ENTITIES), "operations": ["upsert"]},
                    ],
                    "limits": {"turns": 12, "tool_calls": 20},
                },
                "retry": {"max_attempts": 5, "base_seconds": 0.2},
            },
            {
                "key": "pays",
                "name": "Only who has bought more than nothing",
                "type": "condition",
                "config": {"left": "{{ agent.output.plan }}", "operator": "is", "right": "pro"},
            },
            {
                "key": "welcome",
                "name": "Send the welcome message",
                "type": "http_request",
                "config": {
                    "method": "POST",
                    "url": f"{far_end}/welcome",
                    "auth": {"type": "bearer", "token": f"{{{{ secret.{token_secret} }}}}"},
                    "json": {
                        "contact": "{{ agent.output.contact_id }}",
                        "text": "Welcome, {{ trigger.data.object.customer_details.name }}!",
                    },
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
        "trigger": {"type": "record", "config": {"entity": "contact", "event": "created"}},
        "steps": [
            {
                "key": "task",
                "name": "Note whom to call",
                "type": "create_record",
                "config": {"entity": "task", "fields": {"title": "Call {{ trigger.fields.first_name }}"}},
            }
        ],
    }
