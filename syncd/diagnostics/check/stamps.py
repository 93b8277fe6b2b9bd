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
from syncd.diagnostics.check.ledger import feed_of
from syncd.diagnostics.check.server import short_span
from syncd.ledger.feed import Feed, FeedStore
from syncd.postgres.database import Database
from syncd.postgres.statements import compose, query
from syncd.source.connections import Connections
from syncd.source.orders import Source

NEWEST_BATCHES = 2_000
NEWEST_ORDERS = 20_000
MARGIN = 1.5
_STEPS = {"10s": 10, "30s": 30, "1m": 60, "2m": 120, "5m": 300, "10m": 600, "30m": 1800,
          "1h": 3600, "3h": 10_800, "6h": 21_600, "12h": 43_200}  # fmt: skip

SAMPLE_KEYS = 200
"""Orders whose times are compared with the order of their keys."""

NUMBERED = {"int2", "int4", "int8", "numeric"}
"""Types of keys that a shop gives in the order in which it makes orders."""

Stamped = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class _Lateness:
    """Seconds from stamp to ledger of the newest orders of the last 30 days.

    An upper bound of what `lookback` must cover, since transactions take time too.
    Orders that waited for a daemon to start prove nothing and are left out.

    Attributes:
        orders: How many a capture found by itself.
        usual: What 99 of 100 of those took.
        longest: What the slowest took.
        missed: How many reconciliation had to find.
        oldest: How old the oldest of those was.
    """

    orders: int
    usual: float
    longest: float
    missed: int
    oldest: float


def check_lookback(settings: Settings, connections: Connections) -> Iterator[Finding]:
    """Return whether `lookback` covers what was seen of late orders."""
    feed = FeedStore(connections, settings.feed).find()
    if feed is None:
        return
    ledger, feed_id = connections.ledger, feed.feed_id
    alarms = ledger.mapping(str, str, query("alarms"), feed=feed_id)
    if shifted := alarms.get("stamps.shifted"):  # then a longer lookback does not help
        yield Finding("orders.shifted", "lookback", shifted)
        return
    bounds = {"batches": NEWEST_BATCHES, "orders": NEWEST_ORDERS}
    late = ledger.row(_Lateness, query("lateness"), feed=feed_id, **bounds)
    lookback = settings.source.lookback
    set_to = short_span(lookback)
    longest = short_span(timedelta(seconds=late.longest))
    usual = short_span(timedelta(seconds=late.usual))
    step = f'source.lookback to "{recommended(max(late.oldest, late.longest))}".'
    if late.missed and late.oldest > lookback.total_seconds():
        oldest = short_span(timedelta(seconds=late.oldest))
        message = (
            f"{late.missed} orders were stamped up to {oldest} before they were "
            f"found, by reconciliation; lookback is {set_to}"
        )
        yield Finding("lookback.small", "lookback", message, f"Set {step}")
    elif late.longest > lookback.total_seconds():
        message = (
            f"an order became visible {longest} after its stamp (p99 {usual}); "
            f"lookback is {set_to}"
        )
        step = f"Unless a long transaction explains it, set {step}"
        yield Finding("lookback.small", "lookback", message, step)
    elif late.orders:
        message = (
            f"{set_to}; the last {late.orders} orders became visible within {longest} "
            f"(p99 {usual})"
        )
        yield Finding("lookback.enough", "lookback", message)


def recommended(seconds: float) -> str:
    """Write the setting of `lookback` that covers a delay with a margin."""
    needed = seconds * MARGIN
    days = f"{int(-(-needed // 86_400))}d"
    return next((step for step, covered in _STEPS.items() if needed <= covered), days)


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
        keys, prompt_ones = [o.key for o in found], query("came_with_their_time")
        prompt = ledger.values(
            str, prompt_ones, feed=feed.feed_id, keys=keys, within=QUARTER
        )
        found = [order for order in found if order.key not in prompt]
    if found:
        farthest = max(found, key=lambda order: order.behind)
        message = (
            f"{len(found)} of the {len(orders)} orders with the highest keys are "
            f"stamped up to {short_span(farthest.behind)} before all orders created "
            f"just before them, for example {farthest.key}; lookback is "
            f"{short_span(lookback)}"
        )
        yield Finding("orders.backdated", "confirmed_at", message)


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
    candidates = {**dict(numbered), **{key: stamp for key, stamp, _ in listed}}
    unknown = ledger.values(
        str, compose("unknown_keys"), feed=feed.feed_id, keys=list(candidates)
    )
    late = {k for k in unknown if _predates(feed, candidates[k])}
    late |= {
        key
        for key, stamp, seen_at in admitted
        if seen_at - max(stamp, newest) >= QUARTER
        and _was_late(ledger, feed, stamp, seen_at)
    }
    if age >= QUARTER and late:
        zones = probable_zones(source.database, shift_by(-age, len(late)))
        message = (
            f"the newest stamp is {short_span(age)} old, and {len(late)} orders have "
            f"appeared since, for example {min(late)}"
        )
        message += f"; source.time_zone is probably {zones[0]}" if zones else ""
        yield Finding("orders.stale", "confirmed_at", message)


def _predates(feed: Feed, stamp: datetime) -> bool:
    """Whether a stamp is well before the feed's start."""
    return stamp <= feed.started_at - QUARTER


def _was_late(ledger: Database, feed: Feed, stamp: datetime, seen_at: datetime) -> bool:
    """Whether an order that appeared well after its stamp waited for no daemon.

    One that the feed's first start would have listed did not either.
    """
    span = {"after": stamp, "until": seen_at}
    starts = query("count_starts")
    return _predates(feed, stamp) or not ledger.value(
        int, starts, feed=feed.feed_id, **span
    )
