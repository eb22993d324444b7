"""Every column that holds ciphertexts, and how each row is bound. An app with one declares it: what is not here is not rotated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model, QuerySet

from lightfield.access import credentials, idempotency, keyring
from lightfield.access.models import Credential, StoredAnswer

BATCH: Final = 200  # rows read at a time; each is written by itself


@dataclass(frozen=True)
class SealedColumn:
    """`binding` makes what a row's ciphertext is bound to, from its id and the columns that `needs` names."""

    title: str
    model: type[Model]
    column: str
    binding: Callable[[Mapping[str, Any]], str]
    needs: tuple[str, ...] = ()
    is_lasting: bool = True  # False: gone by itself before long, so nobody has to look after it

    def rows(self) -> QuerySet[Any]:
        """Those that hold something."""
        return self.model._base_manager.exclude(**{self.column: ""})

    def each(self) -> Iterator[SealedRow]:
        """All rows in the order of their ids, in small reads without a transaction around them."""
        last: Any = None
        while True:
            rows = self.rows() if last is None else self.rows().filter(pk__gt=last)
            batch = list(rows.order_by("pk").values("pk", self.column, *self.needs)[:BATCH])
            for row in batch:
                yield SealedRow(self, row["pk"], row[self.column], self.binding(row))
            if len(batch) < BATCH:
                return
            last = batch[-1]["pk"]


@dataclass(frozen=True)
class SealedRow:
    """One ciphertext as it was read."""

    of: SealedColumn
    pk: Any
    ciphertext: str
    bound_to: str

    @property
    def key_id(self) -> str:
        return keyring.key_id_of(self.ciphertext)

    def opens(self) -> bool:
        try:
            keyring.decrypt(self.ciphertext, bound_to=self.bound_to)
        except keyring.UnreadableSecret:
            return False
        return True


COLUMNS: list[SealedColumn] = [
    SealedColumn(
        "secrets",
        Credential,
        "ciphertext",
        lambda row: credentials.binding(row["pk"], row["name"], row["hosts"]),
        needs=("name", "hosts"),
    ),
    SealedColumn(
        "stored answers", StoredAnswer, "body", lambda row: idempotency.binding(row["pk"]), is_lasting=False
    ),
]


def declare(column: SealedColumn) -> None:
    """In `AppConfig.ready()` of the app that has it."""
    if column.title not in {known.title for known in COLUMNS}:
        COLUMNS.append(column)


def unreadable(*, lasting_only: bool = True) -> Iterator[SealedRow]:
    """What can no longer be opened: its key is gone, or it was changed or moved."""
    for column in COLUMNS:
        if column.is_lasting or not lasting_only:
            yield from (row for row in column.each() if not row.opens())
