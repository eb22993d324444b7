"""Seal everything anew with the first key of the ring, so that an old key can go.

Each row is one statement that writes only if the row still holds the ciphertext that was read: an edit meanwhile is never
overwritten, and it sealed with the first key anyway. So nothing is undone by dying in the middle, nothing is done twice by
running twice or in two places at once, and a second run goes on where the first one ended.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from django.views.decorators.debug import sensitive_variables

from lightfield.access import keyring
from lightfield.access.sealed_columns import COLUMNS, SealedColumn, SealedRow


@dataclass
class Report:
    """What became of one column. `keys`: how many rows each key has sealed, as it is now."""

    title: str
    renewed: int = 0
    changed_meanwhile: int = 0
    unreadable: list[str] = field(default_factory=list)  # ids
    keys: Counter[str] = field(default_factory=Counter)

    def stale(self, first: str) -> int:
        """Rows that still need another key than the first."""
        return sum(count for key_id, count in self.keys.items() if key_id != first)


def rotate() -> list[Report]:
    """Seal what other keys have sealed with the first one, and tell what there is then."""
    return [_rotated(column) for column in COLUMNS]


def check() -> list[Report]:
    """What there is. Every ciphertext is opened, and none written."""
    return [_looked_at(column) for column in COLUMNS]


def _rotated(column: SealedColumn) -> Report:
    first = keyring.first_key_id()
    report = Report(column.title)
    for row in column.each():
        if row.key_id != first:
            _renew(row, report)
    report.keys = _keys_of(column)
    return report


def _looked_at(column: SealedColumn) -> Report:
    report = Report(column.title, keys=_keys_of(column))
    report.unreadable = [str(row.pk) for row in column.each() if not row.opens()]
    return report


@sensitive_variables()
def _renew(row: SealedRow, report: Report) -> None:
    try:
        text = keyring.decrypt(row.ciphertext, bound_to=row.bound_to)
    except keyring.UnreadableSecret:
        report.unreadable.append(str(row.pk))
        return
    sealed = keyring.encrypt(text, bound_to=row.bound_to)
    column = row.of.column
    unchanged = row.of.model._base_manager.filter(**{"pk": row.pk, column: row.ciphertext})
    if unchanged.update(**{column: sealed}):
        report.renewed += 1
    else:
        report.changed_meanwhile += 1


def _keys_of(column: SealedColumn) -> Counter[str]:
    texts = column.rows().values_list(column.column, flat=True)
    return Counter(keyring.key_id_of(text) for text in texts.iterator(chunk_size=2000))
