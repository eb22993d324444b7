"""`auth` of `http_request`: who the request says it comes from. It becomes one header."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from executions.secrets.sealed import SealedHeader
from workflows.secret_text import SecretSlot, SecretText, parts_of
from workflows.step_types import StepConfig

AUTHORIZATION: Final = "Authorization"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_OURS: Final = frozenset({"idempotency-key", "traceparent", "host", "content-length", "transfer-encoding"})


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("This is no name of a header.")
    if name.lower() in _OURS:
        raise ValueError("This header is set by the system.")
    return name


def _without_colon(username: SecretSlot) -> SecretSlot:
    """Source: RFC 7617 section 2: the first colon ends the name."""
    if any(":" in part for part in parts_of(username)):
        raise ValueError("A user name for Basic cannot hold a colon.")
    return username


class BearerAuth(StepConfig):
    """`Authorization: Bearer <token>`"""

    type: Literal["bearer"]
    token: SecretSlot

    @property
    def header_name(self) -> str:
        return AUTHORIZATION

    def header(self) -> SealedHeader:
        return SealedHeader(AUTHORIZATION, SecretText(["Bearer ", *parts_of(self.token)]))


class BasicAuth(StepConfig):
    """`Authorization: Basic <base64 of username:password>`"""

    type: Literal["basic"]
    username: Annotated[SecretSlot, AfterValidator(_without_colon)]
    password: SecretSlot = ""

    @property
    def header_name(self) -> str:
        return AUTHORIZATION

    def header(self) -> SealedHeader:
        text = SecretText([*parts_of(self.username), ":", *parts_of(self.password)])
        return SealedHeader(AUTHORIZATION, text, is_basic=True)


class HeaderAuth(StepConfig):
    """A header of the receiver's own, `X-Api-Key: <value>`"""

    type: Literal["header"]
    name: Annotated[str, AfterValidator(_header_name)]
    value: SecretSlot

    @property
    def header_name(self) -> str:
        return self.name

    def header(self) -> SealedHeader:
        return SealedHeader(self.name, SecretText(parts_of(self.value)))


Auth = Annotated[BearerAuth | BasicAuth | HeaderAuth, Field(discriminator="type")]
