"""A token bucket: how long to wait so that a rate is not exceeded."""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Lets `rate` events a second through, at most one second's worth at once.

    Attributes:
        rate: Events a second; None lets everything through.
        tokens: What may go at once; negative while a larger batch is paid off.
        filled_at: Monotonic seconds of the last look.
    """

    rate: float | None
    tokens: float = 0.0
    filled_at: float = float("-inf")

    def take(self, events: int, now: float) -> float:
        """Take tokens for `events` at monotonic `now`; return seconds to wait first."""
        if self.rate is None:
            return 0.0
        elapsed = now - self.filled_at
        self.tokens = min(self.rate, self.tokens + elapsed * self.rate)
        self.filled_at = now
        self.tokens -= events
        return max(0.0, -self.tokens / self.rate)
