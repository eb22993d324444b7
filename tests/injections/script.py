"""What a script is, and what all of them try."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Call = tuple[str, Any]  # tool, arguments


@dataclass(frozen=True)
class World:
    """What the attacker knows."""

    ids: dict[str, str]  # of one record of each entity
    person: int  # id of a user
    permitted: str  # host:port that a step may have been permitted, and
    other: str  # another one that egress itself would reach
    email: str  # natural keys of the contact
    website: str  # and the account
    name: str
    secret: str  # the name of a secret bound to both hosts


@dataclass(frozen=True)
class Script:
    name: str
    poison: str
    calls: Callable[[World], Iterable[Call]]


SCRIPTS: list[Script] = []
TOOLS = ("find_records", "get_record", "create_record", "update_record", "upsert_record", "http_request")
ENTITIES = ("account", "contact", "opportunity", "meeting", "task", "note")
NAMES = {"account": "name", "contact": "last_name", "opportunity": "name"}  # of the others: title
TIMES = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-01T01:00:00Z"}
SPELLINGS = (
    *("Contact", "CONTACT", " contact", "contact ", "contacts", "crm.contact", "crm_contact", "contact\x00"),
    *("contact;", "contact' OR '1'='1", "contact--", "contact/*", "../contact", "contact%00", "*", "any", ""),
    *(
        "c\u043entact",
        "contact\u200b",
        "\uff43ontact",
        "{{ 'contact' }}",
        '"contact"',
        '{"entity": "contact"}',
    ),
    *("__class__", "constructor", "prototype", "__proto__", "contact,account", "contact account", "all"),
)
ODD_ENTITIES: tuple[Any, ...] = (
    None,
    0,
    1,
    True,
    1.5,
    [],
    ["contact"],
    {},
    {"$ne": ""},
    {"entity": "contact"},
    [["contact"]],
)
TABLES = (
    *("user", "users", "auth_user", "auth.User", "credential", "access_credential", "secret", "secrets"),
    *("apikey", "access_apikey", "session", "django_session", "workflow", "workflows_workflow", "run"),
    *("steprun", "agentturn", "executions_agentturn", "auditentry", "pg_shadow", "information_schema.tables"),
)
SQL = (
    *(
        "' OR '1'='1",
        "'; DROP TABLE crm_contact; --",
        "1) OR (1=1",
        "' UNION SELECT password FROM auth_user --",
    ),
    *(
        "%(limit)s",
        "%s",
        "$1",
        "$$; SELECT 1; $$",
        "\\'; SELECT pg_sleep(0) --",
        '"; SELECT 1 --',
        "%%",
        "\\",
    ),
)
FOREIGN_FIELDS = (
    *("account__name", "account.name", "account->name", "contact__email", "owner__password", "owner.email"),
    *(
        "created_by__password",
        "r.id",
        "crm_account.name",
        "fields.name",
        "account_id",
        "owner_id",
        "pk",
        "password",
    ),
    *(
        "custom.__proto__",
        "custom.",
        "custom",
        "__class__",
        "_state",
        "objects",
        "notes",
        "contacts",
        "meetings",
    ),
    *("note_set", "id::text", "(SELECT content FROM crm_note)", "id) FROM crm_note --", "name\x00", "NAME"),
)
LOOPBACKS = (
    *(
        "127.0.0.1",
        "127.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
    ),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.0.0.1.", "\u2460\u2461\u2466.0.0.1"),
    *(
        "127\u30020\u30020\u30021",
        "LOCALHOST",
        "localhost.",
        "127.000.000.001",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ),
)
ELSEWHERE = (
    *(
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
    ),
    *(
        "https://evil.example/?q=",
        "http://evil.example:8080/",
        "https://xn--80ak6aa92e.com/",
        "https://\u0435vil.example/",
    ),
)
SECRET_HEADERS = (
    *(
        "Authorization",
        "authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "X-Auth-Token",
    ),
    *("Host", "host", ":authority", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "X-Original-URL"),
    *(
        "X-HTTP-Method-Override",
        "X-Rewrite-Url",
        "Idempotency-Key",
        "idempotency-key",
        "traceparent",
        "tracestate",
    ),
    *(
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "Keep-Alive",
    ),
    *("Accept\r\nHost", "Accept: x\r\nX-Evil", "Accept\x00", "", " ", "\u0410ccept", "User-Agent", "baggage"),
)


def script(poison: str) -> Callable[[Callable[[World], Iterable[Call]]], None]:
    def add(calls: Callable[[World], Iterable[Call]]) -> None:
        SCRIPTS.append(Script(calls.__name__, poison, calls))

    return add


def smallest(entity: str, text: str = "Injected") -> dict[str, Any]:
    """The fields of a new record that would be accepted."""
    return {NAMES.get(entity, "title"): text, **(TIMES if entity == "meeting" else {})}


def get(url: str, method: str = "GET", **more: Any) -> Call:
    return "http_request", {"method": method, "url": url, **more}
