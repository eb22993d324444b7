"""Values of secrets, read when egress is about to send and at no other time: one statement a request, nothing cached.

So a value that was replaced or deleted goes out with no attempt that begins afterwards. A request without secrets asks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.views.decorators.debug import sensitive_variables

from executions.egress.headers import Fields, encode_fields
from executions.egress.hidden import Hidden
from executions.egress.policy import AllowList
from executions.egress.urls import Target
from executions.secrets import hiding
from executions.secrets.sealed import SealedHeader
from lightfield.access import credential_hosts, credentials, keyring
from lightfield.access.credentials import Opened
from lightfield.kernel import sql
from lightfield.kernel.errors import PermanentStepError, TransientStepError


class SecretHeaders:
    """The headers with secrets of one attempt. Egress asks for them at every hop, right before it sends."""

    def __init__(self, sealed: Iterable[Mapping[str, Any]]) -> None:
        self._headers = [SealedHeader.from_json(header) for header in sealed]
        self._opened: dict[str, Opened] | None = None
        self._origin: tuple[str, str, int] | None = None  # of the first hop

    def __bool__(self) -> bool:
        return bool(self._headers)

    def for_hop(self, target: Target, allow: AllowList, *, is_first: bool) -> Fields:
        """What goes to this target. After a redirect, what is not bound to the new host stays here; what holds no secret of
        ours, but was written out as one, is for the first origin only.

        Raises:
            PermanentStepError: `secret.wrong_host`, `secret.unknown`, `secret.unreadable`, `egress.invalid_header`.
            TransientStepError: `engine.database_unavailable`.
        """
        if self._opened is None:
            names = {name for header in self._headers for name in header.text.names}
            self._opened = opened(names) if names else {}
            self._origin = target.origin
        fields: Fields = []
        for header in self._headers:
            if not header.text.names and target.origin != self._origin:
                continue
            strangers = [
                name
                for name in sorted(header.text.names)
                if not is_bound(self._opened[name].hosts, target, allow)
            ]
            if not strangers:
                fields.append(_field(header, self._opened))
            elif is_first:
                raise wrong_host(strangers[0], target)
        return fields


def is_bound(hosts: Iterable[str], target: Target, allow: AllowList) -> bool:
    """To a bound host, by https; in clear only to what the operator named as host:port."""
    return credential_hosts.written(target.host, target.port) in hosts and (
        target.scheme == "https" or allow.names(target)
    )


def wrong_host(name: str, target: Target) -> PermanentStepError:
    return PermanentStepError("secret.wrong_host", flaw_of_target(name, target), url_host=target.host)


def flaw_of_target(name: str, target: Target) -> str:
    place = credential_hosts.written(target.host, target.port)
    return f"The secret {name} may not be sent to {target.scheme}://{place}: it is not bound to that host, or only with https."


@sensitive_variables()
def opened(names: Iterable[str]) -> dict[str, Opened]:
    """These secrets, all of them; what comes back is searched for them from here on. Raises as `for_hop` does."""
    wanted = sorted(names)
    try:
        found = credentials.opened(wanted)
    except keyring.UnreadableSecret as error:
        raise PermanentStepError(error.code, error.message) from None
    except (OperationalError, InterfaceError):
        raise TransientStepError("engine.database_unavailable", "The secrets could not be read.") from None
    finally:
        if not connection.in_atomic_block:  # an author's test may run its steps inside one
            sql.release()
    for name in wanted:
        if name not in found:
            raise PermanentStepError("secret.unknown", f"There is no secret {name}.")
        hiding.remember(found[name].value)
    return found


@sensitive_variables()
def _field(header: SealedHeader, secrets: Mapping[str, Opened]) -> tuple[bytes, bytes]:
    """Its text is judged before a value stands in it: no error and no traceback can hold one."""
    encode_fields({header.name: "".join(part for part in header.text.parts if type(part) is str)})
    values = {name: secrets[name].value for name in header.text.names}
    hiding.remember(header.filled_in(values) if header.is_basic else "")
    return header.name.encode("ascii"), Hidden(header.filled_in(values).strip(" \t").encode())
