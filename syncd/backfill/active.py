"""Backfills as the daemon that runs them sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from syncd.backfill.plan import Purpose
from syncd.source.position import Position


@dataclass(frozen=True, slots=True)
class ActiveBackfill:
    """A backfill that a daemon has to run, or to log.

    Attributes:
        reached: Up to there its range is captured.
        waiting: Orders of it that wait to be sent.
        waits_for: `endpoint` or `live`, when it must not continue now.
        is_news: Its state or its progress has to be logged.
        reached_key: Of the orders of the instant after, those up to this key are.
    """

    backfill: int
    state: str
    purpose: Purpose
    reason: str | None
    lower: datetime
    upper: datetime
    reached: datetime
    waiting: int = 0
    waits_for: str | None = None
    is_news: bool = False
    reached_key: str | None = None

    @property
    def position(self) -> Position:
        """Where the next page begins."""
        return Position.after(self.reached, self.reached_key)

    @property
    def is_captured(self) -> bool:
        """Whether its whole range is in the ledger."""
        return self.reached >= self.upper


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a cancelled backfill's orders.

    Attributes:
        released: Given back: they were never in a request.
        left: They were, or the feed answers for them anyway; they are sent.
    """

    released: int
    left: int


class TakenAgain(NamedTuple):
    """Known orders that are pending again, those among them that were delivered."""

    orders: int
    resent: int


class LoggedState(NamedTuple):
    """The state that was logged before, and the current one."""

    before: str | None
    now: str


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
