"""A feed's figures for the heartbeat; `syncd status` shows more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.health_inputs import Pause, WaitingOrders
from syncd.postgres.database import Database
from syncd.postgres.statements import query


@dataclass(frozen=True, slots=True)
class FeedStats:
    """How a feed stands now.

    Attributes:
        oldest_at: Of the live orders not settled.
        unexplained: Orders that the last accounts lacked, and could not capture.
        reconciled_seconds: Age of the newest account; None when there is none.
        without_time: New orders that are confirmed at no usable time.
        missed: Orders that account after account had to capture; 0 for one alone.
        is_unknown: An unknown answer holds the endpoint.
        is_spiked: Too many orders were rejected for any more.
        suspect_key: Of the first of the orders whose refusal led to a hold.
        suspect_orders: How many these are.
    """

    watermark: datetime
    now: datetime
    endpoint: str
    endpoint_reason: str | None
    endpoint_since: datetime
    pending: int
    pending_backfill: int
    sending: int
    oldest_at: datetime | None
    rejected: int
    withdrawn: int
    held: int
    uncertain: int
    sending_paused_at: datetime | None = None
    sending_paused_reason: str | None = None
    capture_paused_at: datetime | None = None
    capture_paused_reason: str | None = None
    unexplained: int = 0
    reconciled_seconds: float | None = None
    without_time: int = 0
    missed: int = 0
    is_unknown: bool = False
    is_spiked: bool = False
    suspect_key: str | None = None
    suspect_orders: int = 0

    @property
    def suspect(self) -> str | None:
        """The orders whose refusal led to a hold; the first of several is named."""
        if self.suspect_key is None:
            return None
        more = self.suspect_orders - 1
        return f"order {self.suspect_key}" + (f" and {more} more" if more else "")

    @property
    def pauses(self) -> Sequence[Pause]:
        """What a person has paused; the sending first, empty for nothing."""
        paused = (
            ("sending", self.sending_paused_at, self.sending_paused_reason),
            ("capture", self.capture_paused_at, self.capture_paused_reason),
        )
        return [Pause(what, since, why) for what, since, why in paused if since]

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest live order not settled; 0.0 when there is none."""
        if self.oldest_at is None:
            return 0.0
        return max(0.0, (self.now - self.oldest_at).total_seconds())

    @property
    def watermark_age_seconds(self) -> float:
        """How far the watermark is behind the clock."""
        return (self.now - self.watermark).total_seconds()


def read_stats(database: Database, feed_id: int) -> FeedStats:
    """Read how the feed stands; cheap enough for every heartbeat."""
    return database.row(FeedStats, query("stats"), feed=feed_id)


def read_accounts(database: Database, feed_id: int) -> dict[str, str]:
    """Read the sentence of the last finished account of each scope, newest first."""
    return database.mapping(str, str, query("told_accounts"), feed=feed_id)


def read_unread(database: Database, feed_id: int) -> list[WaitingOrders]:
    """Read which orders wait for the view, and why; most orders first."""
    return database.rows(WaitingOrders, query("unread_orders"), feed=feed_id)


def read_refused(database: Database, feed_id: int) -> list[WaitingOrders]:
    """Read which orders were refused and are tried again; most orders first."""
    return database.rows(WaitingOrders, query("refused_orders"), feed=feed_id)
