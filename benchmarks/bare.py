"""Settings for what is measured without an installation: those that egress asks for, as the product has them."""

from __future__ import annotations

from django.conf import settings


def configure() -> None:
    settings.configure(
        LIGHTFIELD_CIRCUIT_CALLS=20,
        LIGHTFIELD_CIRCUIT_SHARE=0.5,
        LIGHTFIELD_CIRCUIT_PROBE_SECONDS=5,
        LIGHTFIELD_RETRY_SHARE=0.2,
        LIGHTFIELD_RETRY_FLOOR=3,
    )
