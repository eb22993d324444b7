"""How the admin looks: colours, mark, and the sidebar. `settings.UNFOLD` is this module's.

Imported by the settings, so nothing here may import a model.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse

Item = dict[str, Any]

# (title, items); an item is (title, symbol, app_label, model) and is shown to those who may view the model.
SECTIONS: Final = (
    ("", (("Workflows", "account_tree", "workflows", "workflow"),)),
    (
        "What happened",
        (
            ("Runs", "play_circle", "executions", "run"),
            ("Events", "bolt", "triggers", "outboxevent"),
            ("Inbox", "inbox", "triggers", "delivery"),
            ("Audit trail", "policy", "access", "auditentry"),
        ),
    ),
    (
        "Records",
        (
            ("Accounts", "domain", "crm", "account"),
            ("Contacts", "contacts", "crm", "contact"),
            ("Opportunities", "handshake", "crm", "opportunity"),
            ("Meetings", "groups", "crm", "meeting"),
            ("Tasks", "task_alt", "crm", "task"),
            ("Notes", "sticky_note_2", "crm", "note"),
        ),
    ),
    (
        "Machine room",
        (
            ("Triggers", "sensors", "triggers", "trigger"),
            ("Failing hosts", "cloud_off", "executions", "circuit"),
            ("Lanes", "traffic", "executions", "lane"),
            ("Workers", "monitor_heart", "executions", "heartbeat"),
            ("Periodic tasks", "schedule", "django_celery_beat", "periodictask"),
        ),
    ),
    (
        "Access",
        (
            ("Secrets", "lock", "access", "credential"),
            ("API keys", "key", "access", "apikey"),
            ("People", "person", "auth", "user"),
            ("Groups", "group", "auth", "group"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[Item]:
    """The sidebar, with only what this person may open."""
    groups: list[Item] = []
    for title, entries in SECTIONS:
        items = [item for entry in entries if (item := _item(request, *entry))]
        groups.append({"title": title, "separator": bool(title), "items": items})
    groups[0]["items"].insert(
        0, {"title": "Overview", "icon": "space_dashboard", "link": reverse("admin:index")}
    )
    groups.append({"title": "Elsewhere", "separator": True, "items": _elsewhere(request)})
    return [group for group in groups if group["items"]]


def flower_url(request: HttpRequest) -> str:
    """Flower listens beside the web server, on the host that this request reached."""
    host = request.get_host()
    name = host[: host.rindex(":")] if host.rpartition("]")[2].count(":") else host
    return f"http://{name}:{settings.LIGHTFIELD_FLOWER_PORT}/"


def environment(_: HttpRequest) -> list[str]:
    """The label beside the page's title."""
    return ["Production", "warning"] if settings.IS_PRODUCTION else ["Development", "info"]


def _item(request: HttpRequest, title: str, symbol: str, app: str, model: str) -> Item | None:
    if not request.user.has_perm(f"{app}.view_{model}"):
        return None
    try:
        link = reverse(f"admin:{app}_{model}_changelist")
    except NoReverseMatch:
        return None  # the app that brings it is not installed
    here = request.path.startswith(link) or (
        model == "workflow" and request.path.startswith(f"{link.rstrip('/')}version/")
    )
    return {"title": title, "icon": symbol, "link": link, "active": here}


def _elsewhere(request: HttpRequest) -> list[Item]:
    return [
        {"title": "API reference", "icon": "api", "link": reverse("docs"), "active": False},
        {"title": "Flower", "icon": "local_florist", "link": flower_url(request), "active": False},
    ]


def _static(path: str) -> Any:
    return lambda _request: static(path)


# Tailwind's indigo: white text on 600 has a contrast of 6.3, 400 on the dark page 6.6.
INDIGO: Final = {
    "50": "oklch(96.2% .018 272.314)",
    "100": "oklch(93% .034 272.788)",
    "200": "oklch(87% .065 274.039)",
    "300": "oklch(78.5% .115 274.713)",
    "400": "oklch(67.3% .182 276.935)",
    "500": "oklch(58.5% .233 277.117)",
    "600": "oklch(51.1% .262 276.966)",
    "700": "oklch(45.7% .24 277.023)",
    "800": "oklch(39.8% .195 277.366)",
    "900": "oklch(35.9% .144 278.697)",
    "950": "oklch(25.7% .09 281.288)",
}

UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "Lightfield",
    "SITE_HEADER": "Lightfield",
    "SITE_SUBHEADER": "Durable workflows",
    "SITE_URL": None,
    "SITE_ICON": _static("lightfield/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("lightfield/mark.svg")}],
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "lightfield.look.environment",
    "DASHBOARD_CALLBACK": "lightfield.dashboard.with_numbers",
    "BORDER_RADIUS": "8px",
    "COLORS": {"primary": INDIGO},
    "STYLES": [_static("lightfield/look.css")],
    "SCRIPTS": [_static("lightfield/page.js")],
    "SIDEBAR": {"navigation": "lightfield.look.navigation"},
}
