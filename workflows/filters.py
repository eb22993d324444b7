"""The filters that templates may use: an allow-list, each with bounds on what it reads and makes.

`FILTERS` maps a name to its rule. To add one, put a function `(budget, value, *arguments)` with
`@liquid_filter("name")` into the module of its kind; its docstring becomes the documentation. What may grow
must ask `room_for_text` or `room_for_items` before it builds the result.

Null counts as empty text and as an empty list, never as a number.
"""

from __future__ import annotations

from workflows.templating import date_filters, list_filters, number_filters, text_filters
from workflows.templating.filter_table import FILTERS, Filter

__all__ = [
    "FILTERS",
    "Filter",
    "date_filters",
    "documented",
    "list_filters",
    "number_filters",
    "text_filters",
]


def documented() -> list[str]:
    """The rows of the table in `docs/templates.md`, by name."""
    return [f"| `{rule.usage()}` | {rule.summary} |" for _, rule in sorted(FILTERS.items())]
