"""How far a backfill has come."""

from dataclasses import dataclass
from datetime import datetime

from syncd.backfill.plan import Purpose


@dataclass(frozen=True, slots=True)
class Progress:
    """A backfill and its orders by where they stand now.

    Attributes:
        planned: Orders that the plan counted.
        captured: Orders that it has taken so far, `resent` ones among them.
        released: Those that it gave back, since it was cancelled.
        rate: Orders settled a second, of the last minute.
        ended_at: When it was finished or cancelled.
        waits_for: What keeps it from going on, besides a person.
    """

    backfill: int
    state: str
    purpose: Purpose
    with_profile: bool
    reason: str | None
    lower: datetime
    upper: datetime
    reached: datetime
    planned: int
    captured: int
    resent: int
    released: int
    delivered: int
    adopted: int
    pending: int
    sending: int
    held: int
    rejected: int
    withdrawn: int
    rate: float
    requested_at: datetime
    ended_at: datetime | None
    waits_for: str | None

    @property
    def is_unfinished(self) -> bool:
        """Whether it may still be paused, resumed or cancelled."""
        return self.state in {"running", "paused"}

    @property
    def total(self) -> int:
        """Orders that it comes to: as planned, until its whole range is captured."""
        if self.is_unfinished and self.reached < self.upper:
            return max(self.planned, self.captured)
        return self.captured - self.released

    @property
    def settled(self) -> int:
        """Orders that do not wait to be sent any more."""
        return self.captured - self.released - self.pending - self.sending

    @property
    def seconds_left(self) -> float | None:
        """How long it takes at the rate of now; None when that is unknown."""
        left = self.total - self.settled
        return left / self.rate if self.rate and self.state == "running" else None
