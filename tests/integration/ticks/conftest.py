"""Ticks: whatever is due fires once, whoever looks, however often, and wherever somebody dies."""

from __future__ import annotations

from typing import Any

import pytest

from triggers import ticking


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What happens at a crash point: `at["CP-T1"] = function`."""
    deeds: dict[str, Any] = {}
    monkeypatch.setattr(ticking, "crashpoint", lambda name: deeds.get(name, lambda: None)())
    return deeds
