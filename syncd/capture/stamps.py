"""Orders' stamps beside the moments when the orders become visible.

The invariant: a feed whose times lie a whole offset away is not called healthy.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.tuning import STAMPS, StampTuning
from syncd.capture.unreadable import Reading, read_whole
from syncd.core.schedule import Turn
from syncd.core.stamps import (
    LEAST_ORDERS,
    Appearance,
    Shift,
    find_shift,
    fitting_zones,
)
from syncd.ledger.batches import Ledger
from syncd.log.log import Log
from syncd.postgres.database import Database
from syncd.postgres.statements import query
from syncd.source.lookup import Stamp
from syncd.source.orders import Source

NEWEST = 50
"""Orders that a check reads; of those that are new among them, `KEPT` are kept."""

KEPT = 20

ALARM = "stamps.shifted"

ZONES = (
    "Europe/Amsterdam",
    "Europe/London",
    "Europe/Athens",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
)
"""Zones that are named where they would fit, beside UTC and the database's own."""


@dataclass(frozen=True, slots=True)
class _Zone:
    """A zone's offset from UTC, and that of the zone in which times are read."""

    zone: str
    own: int
    offset: int


def admissions(ledger: Database, feed_id: int) -> Sequence[Stamp]:
    """List the orders that were admitted last, and when that was."""
    return ledger.rows(Stamp, query("recent_admissions"), feed=feed_id, orders=NEWEST)


def probable_zones(source: Database, shift: Shift | None) -> list[str]:
    """List the zones in which shifted stamps would be right; the likely ones first."""
    if shift is None:
        return []
    zones = source.rows(_Zone, query("zone_offsets"), zones=list(ZONES))
    read_as = timedelta(seconds=zones[0].own)
    offsets = {each.zone: timedelta(seconds=each.offset) for each in zones}
    return fitting_zones(shift, read_as, offsets)


def describe_shift(shift: Shift, zones: Sequence[str]) -> str:
    """Return in one line what the stamps are off by, and the zone that would fit."""
    minutes = int(abs(shift.offset) / timedelta(minutes=1))
    side = "before" if shift.offset < timedelta(0) else "after"
    fits = (
        f"source.time_zone is probably {zones[0]}"
        if zones
        else "no zone that is known would fit"
    )
    return f"orders are stamped {minutes} min {side} the moment they appear; {fits}"


class Appearances:
    """Orders that became visible while a daemon polled; the newest `KEPT` of them.

    Args:
        by_stamp: A check lists those with the newest stamps, not those that came last.
    """

    def __init__(self, *, by_stamp: bool) -> None:
        self._by_stamp = by_stamp
        self.newest: deque[tuple[str, Appearance]] = deque(maxlen=KEPT)
        self.count = 0
        self._seen: frozenset[str] | None = None
        self._lowest: datetime | None = None

    def take(self, orders: Iterable[tuple[str, datetime, datetime]]) -> None:
        """Take what is new since the last check; nothing of the first one is.

        By stamp, one that only moved up, since another left, is older than all were.
        """
        listed = sorted(orders, key=lambda order: order[1])
        is_full = self._by_stamp and len(listed) >= NEWEST
        for key, stamp, seen_at in listed:
            is_new = self._seen is not None and key not in self._seen
            if is_new and (self._lowest is None or stamp > self._lowest):
                self.newest.append((key, Appearance(stamp, seen_at)))
                self.count += 1
        self._seen = frozenset(key for key, _, _ in listed)
        self._lowest = listed[0][1] if is_full else None

    def shift(self) -> Shift | None:
        """Return by what they are off."""
        return find_shift([appearance for _, appearance in self.newest])


class StampWatch:
    """Compares stamps with appearances; call `check` again, from one thread."""

    def __init__(
        self,
        source: Source,
        ledger: Ledger,
        log: Log,
        *,
        reading: Reading = read_whole,
        tuning: StampTuning = STAMPS,
    ) -> None:
        self._reading = reading
        self._tuning = tuning
        self._source = source
        self._ledger = ledger
        self._log = log
        self._listed = Appearances(by_stamp=True)
        self._admitted = Appearances(by_stamp=False)
        self._compare_at = float("-inf")
        self._raised_at: int | None = None

    def check(self) -> Turn:
        """Check, when it is due."""
        started = self._tuning.clock()
        if started < self._compare_at:
            return Turn.NOT_DUE
        interval = 0.0
        try:
            self._compare()
            interval = self._tuning.compare_seconds
        finally:
            now = self._tuning.clock()
            rest = self._tuning.rest * (now - started)
            self._compare_at = now + max(interval, rest) - 1
        return Turn.DONE

    def _compare(self) -> None:
        newest = self._reading(lambda: self._source.newest_stamps(NEWEST))
        self._listed.take(newest)
        self._admitted.take(admissions(self._ledger.database, self._ledger.feed_id))
        for appearances in (self._listed, self._admitted):
            if shift := appearances.shift():
                self._raise(shift, appearances.newest[-1][0])
                break
        else:
            self._end()

    def _raise(self, shift: Shift, key: str) -> None:
        zones = probable_zones(self._source.database, shift)
        reason = describe_shift(shift, zones)
        database, feed = self._ledger.database, self._ledger.feed_id
        database.run(query("raise_alarm"), feed=feed, alarm=ALARM, reason=reason)
        self._raised_at = self._listed.count + self._admitted.count
        self._log.emit_folded(
            "stamps.shifted",
            reason,
            reason=reason,
            orders=shift.orders,
            order_key=key,
            offset_seconds=shift.offset.total_seconds(),
            time_zone=zones[0] if zones else None,
        )

    def _end(self) -> None:
        """End the alarm once as many orders as it needs have appeared without it."""
        appeared = self._listed.count + self._admitted.count
        if appeared - (self._raised_at or 0) >= LEAST_ORDERS:
            self._ledger.database.run(
                query("end_alarm"), feed=self._ledger.feed_id, alarm=ALARM
            )
            self._raised_at = appeared
