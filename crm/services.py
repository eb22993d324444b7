"""What people and programs do with records, by the admin and the API.

Each deed is one transaction with its entry in the audit trail. What the database refuses is told as the caller's
problem, with the place in what was sent; it is asked only once, by writing, so that no race comes in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import UniqueConstraint

from crm.models import Record
from lightfield.access import audit
from lightfield.kernel import sql
from lightfield.kernel.errors import LostRace, Problem, RequestRefused

AnyRecord = TypeVar("AnyRecord", bound=Record)

FOREIGN_KEY_VIOLATION: Final = "23503"
# Where in a record a broken constraint points; "" is the record as a whole.
PLACES: Final = {
    "account_website_once": "/website",
    "contact_email_once": "/email",
    "contact_is_somebody": "",
    "meeting_ends_after_its_start": "/end_date",
}


@sql.retrying_conflicts
@transaction.atomic
def create_record(*, record: Record, by: str) -> None:
    """Store a new record.

    Raises:
        RequestRefused: `record.invalid`, or `record.duplicate` when another has its natural key.
        LostRace: what it refers to was deleted at that moment.
    """
    with _refusals_told(type(record)):
        insert(record, by=by)


def insert(record: Record, *, by: str, **told: Any) -> None:
    """As `create_record`, inside the caller's transaction, which what the database refuses undoes: IntegrityError.

    `told` stands in the audit trail beside the deed.
    """
    record.save(force_insert=True)
    _tell("created", record, by=by, **told)


def change(record: Record, changes: Mapping[str, Any], *, by: str, **told: Any) -> None:
    """As `edit_record`, of a record that the caller's transaction has locked. As `insert` otherwise."""
    for name, value in changes.items():
        setattr(record, name, value)
    if changes:
        record.save(update_fields=[*changes, "updated_at"])
        _tell("edited", record, by=by, fields=sorted(changes), **told)


@sql.retrying_conflicts
@transaction.atomic
def edit_record(*, model: type[AnyRecord], record_id: UUID, changes: Mapping[str, Any], by: str) -> AnyRecord:
    """Give some fields of a record new values; two people who edit different ones do not undo each other's.

    Raises:
        RequestRefused, LostRace: as `create_record`.
        Record.DoesNotExist: there is none, or no longer.
    """
    record = _locked(model, record_id)
    with _refusals_told(model) if changes else nullcontext():
        change(record, changes, by=by)
    return record


@sql.retrying_conflicts
@transaction.atomic
def delete_record(*, model: type[Record], record_id: UUID, by: str) -> None:
    """Delete a record and no other: references to it become null. Raises Record.DoesNotExist."""
    record = _locked(model, record_id)
    _tell("deleted", record, by=by)
    record.delete()


def _locked(model: type[AnyRecord], record_id: UUID) -> AnyRecord:
    record: AnyRecord = model._default_manager.select_for_update().get(pk=record_id)
    return record


def _tell(deed: str, record: Record, *, by: str, **metadata: Any) -> None:
    """Names of fields and no values: the trail outlives the record, and what it held must not."""
    audit.record(actor=by, action=f"{record._meta.model_name}.{deed}", subject=record.pk, **metadata)


@contextmanager
def _refusals_told(model: type[Record]) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
            # Foreign keys are looked at now and not at COMMIT, where nobody could tell the caller.
            connection.check_constraints()
    except IntegrityError as error:
        if sql.sqlstate(error) == FOREIGN_KEY_VIOLATION:
            raise LostRace from error
        refusal = refusal_of(error, model)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: IntegrityError, model: type[Record]) -> RequestRefused | None:
    """What to tell the caller. None: nothing that a caller could have done better."""
    name = error.__cause__.diag.constraint_name if error.__cause__ else None  # type: ignore[attr-defined]  # psycopg's error
    constraint = next((known for known in model._meta.constraints if known.name == name), None)
    if constraint is None or name not in PLACES:
        return None
    message = str(constraint.get_violation_error_message())
    if isinstance(constraint, UniqueConstraint):
        return RequestRefused(
            "record.duplicate", message, [Problem(PLACES[name], "record.duplicate", message)]
        )
    return RequestRefused("record.invalid", message, [Problem(PLACES[name], "record.invalid_value", message)])
