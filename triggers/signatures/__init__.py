"""Signed webhooks: is a request what its sender wrote, and recently? One file for each scheme; nothing here asks a database.

`triggers.webhook_secrets` keeps the secrets, `triggers.receiving` asks both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from triggers.signatures.presets import PRESETS, PRESETS_BY_NAME, Preset
from triggers.signatures.scheme import Check, Scheme
from triggers.signatures.verifying import MOST_LIVE, TOLERANCE_SECONDS, Verification, verify

__all__ = [
    "MOST_LIVE",
    "PRESETS",
    "PRESETS_BY_NAME",
    "TOLERANCE_SECONDS",
    "Check",
    "Preset",
    "Scheme",
    "Verification",
    "claimed_scheme",
    "headers_of",
    "preset_of",
    "verify",
]

_HEADERS: Final = {
    name: f"HTTP_{name.upper().replace('-', '_')}" for preset in PRESETS for name in preset.signing.headers
}
_SIGNATURES: Final = {preset.signing.headers[0]: preset.signing for preset in PRESETS}


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Those headers of a WSGI request that some scheme reads, by their names in lower case."""
    return {name: environ[key] for name, key in _HEADERS.items() if key in environ}


def claimed_scheme(headers: Mapping[str, str]) -> Scheme | None:
    """The scheme that a request seems to be signed by; None: by none at all."""
    return next((scheme for name, scheme in _SIGNATURES.items() if name in headers), None)


def preset_of(signature: object) -> Preset | None:
    """What `signature` in a webhook's config, as written, asks for; None: nothing, or nothing that this release knows."""
    asked = signature if isinstance(signature, dict) else {}
    name = asked.get("preset") or asked.get("scheme")
    preset = PRESETS_BY_NAME.get(name) if isinstance(name, str) else None
    return preset if preset is not None and preset.scheme == asked.get("scheme") else None
