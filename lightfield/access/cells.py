"""What stands in one cell of an admin list. Rendered by templates, so that every value is escaped."""

from __future__ import annotations

from datetime import datetime

from django.template.loader import render_to_string
from django.utils.safestring import SafeString


def link(url: str, text: object, *, title: str = "", is_code: bool = False) -> SafeString:
    return _cell("link", url=url, text=text, title=title, is_code=is_code)


def code(text: object, *, title: str = "") -> SafeString:
    """A key, an id, an error code: set in the face that keeps 0 and O apart."""
    return _cell("code", text=text, title=title)


def badge(status: str, label: object = "") -> SafeString:
    """A status, coloured by what it means; `label` is what it is called."""
    return _cell("badge", status=status, label=label)


def moment(instant: datetime | None) -> SafeString | None:
    """`3 min ago`, with the full instant for those who point at it."""
    return None if instant is None else _cell("moment", instant=instant)


def newest(url: str, *, status: str, instant: datetime | None) -> SafeString:
    """A link to the newest run: how it stands, and since when."""
    return _cell("newest", url=url, status=status, instant=instant)


def _cell(name: str, **context: object) -> SafeString:
    return render_to_string(f"lightfield/cells/{name}.html", context)
