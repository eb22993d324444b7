"""One reading of a URL. What is checked, resolved, connected to and sent all comes from the same `Target`.

Parsers that differ are how private addresses are reached behind a check, so whatever two of them could read
differently is refused: user names, backslashes, escapes and odd number forms in the host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin

from executions.egress.addresses import IPAddress
from lightfield.kernel import host_names
from lightfield.kernel.errors import PermanentStepError
from lightfield.kernel.host_names import NotAHostName

MAX_URL_CHARS: Final = 8192
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LITERAL_V6 = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{0,5}))?")
_NAME_AND_PORT = re.compile(r"([^:\[\]@\\%\s]+)(?::([0-9]{0,5}))?")
# RFC 3986: what may stand in a path and query; "%" stays, so that escapes already there are kept.
_PATH_SAFE: Final = "/%:@!$&'()*+,;=-._~"
_QUERY_SAFE: Final = _PATH_SAFE + "?"


@dataclass(frozen=True)
class Target:
    """Where one request goes."""

    scheme: str
    host: str  # lower-case ASCII, without the root's dot; an IPv6 literal without brackets
    port: int
    path: str  # path and query as sent, ASCII, never empty
    literal: IPAddress | None  # the address when the host is one
    has_root_dot: bool = False  # `example.com.`: looked up as it stands, without search domains

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def site(self) -> str:
        """The origin as text: what people see, and what circuits are kept under."""
        return f"{self.scheme}://{self.host_header}"

    @property
    def lookup_name(self) -> str:
        return self.host + "." if self.has_root_dot else self.host

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host_header}{self.path}"


def parse_target(url: str, params: Mapping[str, Any] | None = None) -> Target:
    """Read a URL and add query parameters to it. A fragment is dropped; it is never sent.

    Raises:
        PermanentStepError: `egress.invalid_url` or `egress.denied_scheme`.
    """
    match = None
    if len(url) <= MAX_URL_CHARS and not _CONTROL.search(url):
        match = _URL.fullmatch(url)
    if match is None:
        raise _invalid("it is not absolute, too long, or holds control characters")
    scheme, authority, path, query = match.groups()
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise PermanentStepError("egress.denied_scheme", f"The scheme {scheme[:20]!r} is not http or https.")
    if not authority:
        raise _invalid("it names no host")
    host, port, literal, has_root_dot = _read_authority(authority, scheme)
    return Target(scheme, host, port, _read_path(path, query, params), literal, has_root_dot)


def follow(target: Target, location: str) -> Target:
    """The target that a redirect from `target` to `location` (absolute or relative) means."""
    try:
        return parse_target(urljoin(target.url, location))
    except ValueError:
        raise _invalid("the redirect's Location cannot be read") from None


def _invalid(why: str) -> PermanentStepError:
    return PermanentStepError("egress.invalid_url", f"The URL cannot be used: {why}.")


def _read_authority(authority: str, scheme: str) -> tuple[str, int, IPAddress | None, bool]:
    if "@" in authority:
        raise _invalid("it holds a user name or password; send an Authorization header")
    six = _LITERAL_V6.fullmatch(authority)
    match = six or _NAME_AND_PORT.fullmatch(authority)
    if match is None:
        raise _invalid("its host or port is not valid")
    text, digits = match.groups()
    port = int(digits) if digits else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise _invalid("its port is not within 1 to 65535")
    try:
        if six:
            literal = host_names.read_ipv6(text)
            return str(literal), port, literal, False
        host = host_names.read(text)
    except NotAHostName as error:
        raise _invalid(f"its {error}") from None
    return host.text, port, host.literal, host.has_root_dot


def _read_path(path: str, query: str | None, params: Mapping[str, Any] | None) -> str:
    parts = [part for part in (query, _encode_params(params)) if part]
    try:
        sent = quote(path or "/", safe=_PATH_SAFE)
        if parts:
            sent += "?" + quote("&".join(parts), safe=_QUERY_SAFE)
    except UnicodeEncodeError:
        raise _invalid("it holds half of a surrogate pair") from None
    if len(sent) > MAX_URL_CHARS:
        raise _invalid(f"it has more than {MAX_URL_CHARS} characters")
    return sent


def _encode_params(params: Mapping[str, Any] | None) -> str:
    if not params:
        return ""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, _param_text(item)) for item in values if item is not None]
    try:
        return urlencode(pairs)
    except UnicodeEncodeError:
        raise _invalid("a parameter holds half of a surrogate pair") from None


def _param_text(value: Any) -> str:
    """JSON's spelling of true and false; everything else as Python writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
