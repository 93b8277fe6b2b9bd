"""What `syncd check` finds about orders' times beside when the orders appeared."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncd.capture.stamps import NEWEST, admissions, describe_shift, probable_zones
from syncd.config.settings import Settings
from syncd.core.errors import SlowStatementError, UnreadableRowError
from syncd.core.stamps import (
    QUARTER,
    Appearance,
    backdated_orders,
    find_shift,
    shift_by,
)
from syncd.diagnostics.check.finding import Finding
from syncd.diagnostics.check.lateness import short_span
from syncd.diagnostics.check.ledger import feed_of
from syncd.ledger.feed import Feed
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.connections import Connections
from syncd.source.orders import Source

SAMPLE_KEYS = 200
"""Orders whose times are compared with the order of their keys."""

NUMBERED = {"int2", "int4", "int8", "numeric"}
"""Types of keys that a shop gives in the order in which it makes orders."""

Stamped = tuple[str, datetime]


def check_stamps(
    settings: Settings, connections: Connections, source: Source
) -> Iterator[Finding]:
    """Compare times with the order of keys, and with when orders appeared.

    The checks of unreadable rows name those; here nothing else is found.
    """
    with suppress(UnreadableRowError, SlowStatementError):
        numbered = _numbered(source)
        feed = feed_of(settings, connections)
        found = [
            *_backdated(numbered, settings.source.lookback, connections.ledger, feed),
            *_apart(source, connections.ledger, feed, numbered),
        ]
        yield from found


def _numbered(source: Source) -> Sequence[Stamped]:
    """Read the orders of the highest keys, in their order; empty: no numbers."""
    types = {c.name: c.type for c in source.views.columns(source.views.confirmed)}
    if types.get("order_key") not in NUMBERED:
        return ()
    return source.highest_keys(SAMPLE_KEYS)


def _backdated(
    orders: Sequence[Stamped], lookback: timedelta, ledger: Database, feed: Feed | None
) -> Iterator[Finding]:
    """Find times older than their orders; none of those that came with their time."""
    found = backdated_orders(orders, lookback, is_all=len(orders) < SAMPLE_KEYS)
    if found and feed:
        prompt = ledger.values(
            str,
            query("came_with_their_time"),
            feed=feed.feed_id,
            keys=[order.key for order in found],
            within=QUARTER,
        )
        found = [order for order in found if order.key not in prompt]
    if found:
        farthest = max(found, key=lambda order: order.behind)
        yield Finding(
            "orders.backdated",
            "confirmed_at",
            f"{len(found)} of the {len(orders)} orders with the highest keys are "
            f"stamped up to {short_span(farthest.behind)} before all orders created "
            f"just before them, for example {farthest.key}; lookback is "
            f"{short_span(lookback)}",
        )


def _apart(
    source: Source, ledger: Database, feed: Feed | None, numbered: Sequence[Stamped]
) -> Iterator[Finding]:
    """Find stamps that lie apart from when a daemon saw their orders appear."""
    if feed is None:
        return
    admitted = admissions(ledger, feed.feed_id)
    shift = find_shift([Appearance(stamp, at) for _, stamp, at in admitted])
    if shift:
        reason = describe_shift(shift, probable_zones(source.database, shift))
        yield Finding("orders.shifted", "confirmed_at", reason)
        return
    listed = source.newest_stamps(NEWEST)
    if not listed:
        return
    _, newest, now = listed[0]
    age = now - newest
    known = _Known(ledger, feed)
    candidates = {**dict(numbered), **{key: stamp for key, stamp, _ in listed}}
    late = {k for k, at, seen in admitted if known.was_seen_late(at, seen, newest)}
    late |= {k for k in known.new(candidates) if known.predates(candidates[k])}
    if age >= QUARTER and late:
        zones = probable_zones(source.database, shift_by(-age, len(late)))
        fits = f"; source.time_zone is probably {zones[0]}" if zones else ""
        yield Finding(
            "orders.stale",
            "confirmed_at",
            f"the newest stamp is {short_span(age)} old, and {len(late)} orders have "
            f"appeared since, for example {min(late)}{fits}",
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger has of a feed's orders and daemons."""

    ledger: Database
    feed: Feed

    def predates(self, stamp: datetime) -> bool:
        """Whether a stamp is well before the feed's start."""
        return stamp <= self.feed.started_at - QUARTER

    def new(self, orders: dict[str, datetime]) -> list[str]:
        """List those that are in neither the ledger nor the list of the start."""
        return self.ledger.values(
            str, compose("unknown_keys"), feed=self.feed.feed_id, keys=list(orders)
        )

    def was_seen_late(
        self, stamp: datetime, seen_at: datetime, newest: datetime
    ) -> bool:
        """Whether an order appeared well after its stamp, and after the newest one.

        One that waited for a daemon to start did not, unless the feed's first start
        would have listed it.
        """
        if seen_at - max(stamp, newest) < QUARTER:
            return False
        return self.predates(stamp) or not self._starts(stamp, seen_at)

    def _starts(self, after: datetime, until: datetime) -> int:
        return self.ledger.value(
            int,
            query("count_starts"),
            feed=self.feed.feed_id,
            after=after,
            until=until,
        )
