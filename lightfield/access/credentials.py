"""Secrets that steps send: made, changed, deleted, opened. The only reader and writer of `Credential.ciphertext`.

A value goes in and is never shown again. Its ciphertext is bound to the row's id, name and hosts, so whoever can write to
the table, but has no key, cannot have a secret sent elsewhere: the row no longer opens. And whoever may change a secret
here, but does not know its value, cannot either: another name or one more host needs the value again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.views.decorators.debug import sensitive_variables

from lightfield.access import audit, keyring
from lightfield.access.credential_fields import accepted
from lightfield.access.models import Credential
from lightfield.kernel import sql
from lightfield.kernel.errors import RequestRefused
from lightfield.kernel.ids import uuid7

HINTED_FROM: Final = 16  # characters from which the last four give nothing away that helps
CHANGED: Final = ("name", "description", "hosts", "ciphertext", "last4", "updated_at", "updated_by")

# The lock of a published workflow's names keeps a delete away until that publish is through, and the other way round.
KEEP: Final = (
    "SELECT name, hosts::text FROM access_credential WHERE name = ANY(%(names)s::varchar[]) FOR KEY SHARE"
)
OPEN: Final = """
SELECT id::text, name, hosts::text, ciphertext, coalesce(last_used_at < clock_timestamp() - interval '1 minute', true)
FROM access_credential WHERE name = ANY(%(names)s::varchar[])
"""
# Nobody waits for somebody who notes the same: the row is skipped when it is locked.
NOTE_USE: Final = """
UPDATE access_credential SET last_used_at = clock_timestamp() WHERE id IN (
  SELECT id FROM access_credential WHERE name = ANY(%(names)s::varchar[])
    AND coalesce(last_used_at < clock_timestamp() - interval '1 minute', true) FOR NO KEY UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class Use:
    """A workflow whose published version reads a secret."""

    workflow_id: UUID
    name: str


@dataclass(frozen=True)
class Opened:
    """A secret in this process's memory, for one request. Its value is in no `repr`, so in no traceback either."""

    name: str
    hosts: tuple[str, ...]
    value: str = field(repr=False)


Users = Callable[[Collection[str]], dict[str, list[Use]]]
_users: list[Users] = []


def on_asking_users(hook: Users) -> Users:
    """Decorator: `hook(names)` tells which published workflows use each secret. Apps above this one know."""
    if hook not in _users:
        _users.append(hook)
    return hook


def users_of(names: Collection[str]) -> dict[str, list[Use]]:
    """The published workflows that use each of these secrets."""
    found: dict[str, list[Use]] = {name: [] for name in names}
    for hook in _users:
        for name, uses in hook(names).items():
            found[name] += uses
    return found


@sensitive_variables()
@transaction.atomic
def create(*, sent: object, by: str) -> Credential:
    """Keep a new secret: `{"name", "value", "hosts", "description"}`.

    Raises:
        RequestRefused: `secret.invalid` with one problem per place, `secret.duplicate`.
    """
    fields = accepted(sent, needed=("name", "value", "hosts"))
    credential_id = uuid7()
    row = Credential(
        id=credential_id, description=fields.get("description", ""), created_by=by, updated_by=by
    )
    _seal(row, name=fields["name"], hosts=fields["hosts"], value=fields["value"])
    _written_once(lambda: row.save(force_insert=True))
    audit.record(
        actor=by, action="credential.created", subject=row.pk, name=row.name, hosts=row.hosts, last4=row.last4
    )
    return Credential.objects.get(pk=credential_id)


@sensitive_variables()
@transaction.atomic
def change(*, credential_id: UUID, sent: object, by: str) -> Credential:
    """Replace the fields that are sent. A new `value` is used by the next attempt of every step.

    Raises:
        RequestRefused: `request.not_found`, `secret.invalid`, `secret.duplicate`, `secret.value_needed` for another name or
            one more host without the value, `secret.in_use` for another name while a published workflow reads this one,
            `secret.unreadable` when the row has to be sealed anew and cannot be opened.
    """
    fields = accepted(sent, needed=())
    row = _locked(credential_id)
    name, hosts = fields.get("name", row.name), fields.get("hosts", row.hosts)
    value = fields.get("value")
    if value is None and (name != row.name or set(hosts) - set(row.hosts)):
        raise RequestRefused("secret.value_needed")
    if name != row.name:
        _refuse_while_used(row)
    if value is not None or hosts != row.hosts:
        _seal(row, name=name, hosts=hosts, value=_open(row) if value is None else value)
    row.description, row.updated_by, row.updated_at = fields.get("description", row.description), by, Now()
    _written_once(lambda: row.save(update_fields=CHANGED))
    audit.record(
        actor=by,
        action="credential.changed",
        subject=row.pk,
        name=name,
        parts=sorted(fields),
        hosts=hosts,
        last4=row.last4,
    )
    return Credential.objects.get(pk=credential_id)


@transaction.atomic
def delete(*, credential_id: UUID, force: bool = False, by: str) -> None:
    """Delete the row with its ciphertext. Steps that still read it fail with `secret.unknown`.

    Raises:
        RequestRefused: `request.not_found`, `secret.in_use` unless forced.
    """
    row = _locked(credential_id)
    if not force:
        _refuse_while_used(row)
    audit.record(
        actor=by,
        action="credential.deleted",
        subject=row.pk,
        name=row.name,
        hosts=row.hosts,
        forced=force,
    )
    row.delete()


def kept_for(names: Collection[str]) -> dict[str, list[str]]:
    """The hosts of those of these secrets that there are. None of them goes before this transaction is through."""
    return {name: json.loads(hosts) for name, hosts in sql.rows(KEEP, {"names": sorted(names)})}


@sensitive_variables()
def opened(names: Collection[str]) -> dict[str, Opened]:
    """Those of these secrets that there are, for a request that is about to be sent: one statement.

    When it was last used is noted once a minute, in a statement of its own that waits for nobody.

    Raises:
        UnreadableSecret: one cannot be decrypted.
    """
    found = sql.rows(OPEN, {"names": sorted(names)})
    if any(is_stale for *_, is_stale in found):
        sql.rows(NOTE_USE, {"names": sorted(names)})
    secrets = {}
    for credential_id, name, hosts_json, ciphertext, _ in found:
        hosts = json.loads(hosts_json)
        value = keyring.decrypt(ciphertext, bound_to=binding(credential_id, name, hosts))
        secrets[name] = Opened(name, tuple(hosts), value)
    return secrets


def binding(credential_id: object, name: str, hosts: Iterable[str]) -> str:
    """What a ciphertext is bound to. Neither names nor hosts hold a blank."""
    return f"credential:{credential_id} {name} {' '.join(hosts)}"


def _open(row: Credential) -> str:
    return keyring.decrypt(row.ciphertext, bound_to=binding(row.pk, row.name, row.hosts))


@sensitive_variables()
def _seal(row: Credential, *, name: str, hosts: list[str], value: str) -> None:
    row.name, row.hosts = name, hosts
    row.ciphertext = keyring.encrypt(value, bound_to=binding(row.pk, name, hosts))
    row.last4 = value[-4:] if len(value) >= HINTED_FROM else ""


def _locked(credential_id: UUID) -> Credential:
    """Against a publish that reads it too: that one holds a share of this lock."""
    row = Credential.objects.select_for_update().filter(pk=credential_id).first()
    if row is None:
        raise RequestRefused("request.not_found", f"There is no secret {credential_id}.")
    return row


def _refuse_while_used(row: Credential) -> None:
    uses = users_of([row.name])[row.name]
    if uses:
        named = ", ".join(use.name for use in uses[:5])
        more = f" and {len(uses) - 5} more" if len(uses) > 5 else ""
        raise RequestRefused("secret.in_use", f"{row.name} is used by {named}{more}.")


def _written_once(write: Callable[[], object]) -> None:
    try:
        with transaction.atomic():
            write()
    except IntegrityError as error:
        if sql.sqlstate(error) != "23505":
            raise
        raise RequestRefused("secret.duplicate") from None
