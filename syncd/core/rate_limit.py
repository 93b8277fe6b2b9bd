"""A token bucket, and the share of its rate that the API bears."""

from dataclasses import dataclass

LEAST_SHARE = 1 / 64
SHARE_STEP = 1 / 32
COMPLAINT_SECONDS = 1.0


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

    def take(self, events: int, now: float, share: float = 1.0) -> float:
        """Take tokens for `events` at monotonic `now`; return seconds to wait first.

        Args:
            events: How many.
            now: Never earlier than before.
            share: Of the rate, above 0, at most 1; it holds since the last look.
        """
        if self.rate is None:
            return 0.0
        rate = self.rate * share
        elapsed = now - self.filled_at
        self.tokens = min(rate, self.tokens + elapsed * rate)
        self.filled_at = now
        self.tokens -= events
        return max(0.0, -self.tokens / rate)


@dataclass(slots=True)
class AdaptiveRate:
    """The share of the configured rate that the API bears.

    Halved when the API asks for a lower rate, and raised step by step by what it
    accepts (additive increase, multiplicative decrease): so several senders that know
    nothing of each other share what there is.

    Attributes:
        share: Above 0, at most 1.
        lowered_at: Monotonic seconds; requests that were under way together count
            as one complaint.
    """

    share: float = 1.0
    lowered_at: float = float("-inf")

    def slow_down(self, now: float) -> None:
        """Heed a complaint at monotonic `now`."""
        if now - self.lowered_at >= COMPLAINT_SECONDS:
            self.share = max(LEAST_SHARE, self.share / 2)
            self.lowered_at = now

    def speed_up(self) -> None:
        """Heed an accepted request."""
        self.share = min(1.0, self.share + SHARE_STEP)
