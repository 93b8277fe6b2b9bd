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
