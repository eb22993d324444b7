"""The addresses of processes that answer no requests: workers, beat and Flower's Django."""

from __future__ import annotations

from typing import Any

urlpatterns: list[Any] = []
