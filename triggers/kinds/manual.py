"""Started by a person or a program through the API, with any JSON as payload."""

from __future__ import annotations

from triggers.kinds.base import TriggerConfig, TriggerKind, register


class ManualConfig(TriggerConfig):
    """Nothing to configure."""


@register
class Manual(TriggerKind):
    """Every published workflow can be started by hand; this kind says that nothing else starts it.

    Output: the payload itself.
    """

    name = "manual"
    summary = "Started by a person or through the API"
    Config = ManualConfig
