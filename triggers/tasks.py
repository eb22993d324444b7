"""Celery's door into triggers. A shell only; the message carries nothing and may come twice, late, forged or never."""

from __future__ import annotations

from lightfield.kernel import bells
from lightfield.kernel.doors import door
from triggers import ticking


@door("triggers.fire_ticks")
def fire_ticks() -> None:
    bells.answered("ticks")
    ticking.fire_due()
