"""What is noted of one decision, on its way from the notebook to the shelf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from triggers.decisions.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Note:
    """One decision as noted. `at` is monotonic: a process's clock measures durations only."""

    trigger_id: int
    verdict: Verdict
    subject: str
    detail: dict[str, Any] | None
    count: int
    at: float
