"""When to try again. Pure: the caller brings the randomness and adds the delay to the database's clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workflows.definitions import RetrySpec

RETRY_AFTER_CAP_SECONDS = 3600.0  # a remote may not park a run for longer


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter over the upper half of each delay.

    Attempt n + 1 follows attempt n after d/2 + U(0, d/2) seconds, d = min(cap, base * 2^(n-1)); with the
    defaults d is 1, 2, 4, 8 s. Half of the delay is certain, so a remote in trouble gets its rest, and half
    is random, so that runs which failed together do not come back together.
    """

    max_attempts: int = 5  # the first counts; an attempt whose worker was lost does not
    base_seconds: float = 1.0
    cap_seconds: float = 300.0
    retry_on_status: tuple[int, ...] = ()  # HTTP statuses to retry although they are permanent by default

    def delay_after(
        self, attempt: int, *, random: Callable[[], float], retry_after: float | None = None
    ) -> float:
        """Seconds to wait after attempt `attempt` (1 is the first) failed.

        Args:
            random: uniform over [0, 1), such as `random.random`.
            retry_after: seconds that the remote asked for; a floor, at most an hour.
        """
        # 2.0**5000 would overflow; 2^1000 takes every base above 1e-296 s over every cap.
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 1000))
        delay = longest / 2 + random() * longest / 2
        return max(delay, min(retry_after or 0.0, RETRY_AFTER_CAP_SECONDS))

    def allows_attempt_after(self, counted: int) -> bool:
        """Whether another attempt may follow when `counted` attempts were used up."""
        return counted < self.max_attempts

    @classmethod
    def from_spec(cls, spec: RetrySpec) -> RetryPolicy:
        """The policy that a step's definition asks for."""
        return cls(spec.max_attempts, spec.base_seconds, spec.cap_seconds, tuple(spec.retry_on_status))
