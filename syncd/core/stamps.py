"""Whether orders' stamps lie a whole offset away from the moment they appeared.

A time without a zone, read in the wrong one, is wrong by the same amount for every
order. Only orders that became visible while a daemon polled count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LEAST_ORDERS = 10
"""Orders that must agree before it is believed."""

LEAST_MOMENTS = 3
"""Moments at which they must have appeared: an import appears at one."""

QUARTER = timedelta(minutes=15)
"""Offsets of zones are multiples of it."""

FARTHEST = timedelta(hours=15)
SPREAD = timedelta(minutes=6)
"""How far the distances may differ: polls, workers and reconciliations take time."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """When an order was first seen, and the time that it is stamped with."""

    stamp: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Shift:
    """What the stamps lie off by; `offset` is negative where they are too old.

    Attributes:
        orders: That agree.
        offset: A multiple of a quarter of an hour.
    """

    orders: int
    offset: timedelta


def find_shift(appearances: Sequence[Appearance]) -> Shift | None:
    """Return by what the stamps are off; None: they are not, or there are too few.

    An import, a nightly job or a transfer days later is no shift: those
    have one time, one moment of appearance, or distances that differ.
    """
    if len({a.stamp for a in appearances}) < LEAST_ORDERS:
        return None
    if len({a.seen_at for a in appearances}) < LEAST_MOMENTS:
        return None
    distances = sorted(a.stamp - a.seen_at for a in appearances)
    tenth = len(distances) // 10
    usual = distances[tenth : len(distances) - tenth]
    median = usual[len(usual) // 2]
    if usual[-1] - usual[0] > SPREAD or not QUARTER <= abs(median) <= FARTHEST:
        return None
    return shift_by(median, len(usual))


def shift_by(distance: timedelta, orders: int) -> Shift | None:
    """Return the shift that a distance of so many orders shows; None: it is none."""
    offset = QUARTER * round(distance / QUARTER)
    return (
        Shift(orders, offset) if offset and abs(distance - offset) <= SPREAD else None
    )


def fitting_zones(
    shift: Shift, read_as: timedelta, zones: Mapping[str, timedelta]
) -> list[str]:
    """List the zones in which the stamps would be right, in the order given.

    Args:
        shift: What they are off by.
        read_as: Offset from UTC of the zone in which they are read now.
        zones: Offsets from UTC of zones that may be meant.
    """
    written = read_as + shift.offset
    return [zone for zone, offset in zones.items() if offset == written]


NEIGHBOURS = 10
"""Orders made before one with which its time is compared."""

LEAST_NEIGHBOURS = 3
"""Where there are no more, since the first orders are among them."""


@dataclass(frozen=True, slots=True)
class BackdatedOrder:
    """An order whose time is that far before those of the orders made before it."""

    key: str
    behind: timedelta


def backdated_orders(
    orders: Sequence[tuple[str, datetime]], tolerance: timedelta, *, is_all: bool
) -> list[BackdatedOrder]:
    """Find the orders whose times are older than the orders themselves can be.

    Args:
        orders: Keys and times, in the order in which they were made.
        tolerance: How far a time may lie behind.
        is_all: Whether no order was made before the first of them.
    """
    first = LEAST_NEIGHBOURS if is_all else NEIGHBOURS
    found = []
    for place in range(first, len(orders)):
        key, at = orders[place]
        earliest = min(at for _, at in orders[max(0, place - NEIGHBOURS) : place])
        if earliest - at > tolerance:
            found.append(BackdatedOrder(key, earliest - at))
    keys = {order.key for order in found}
    usual = _disorder([at for key, at in orders if key not in keys])
    return [order for order in found if order.behind > usual]


def _disorder(times: Sequence[datetime]) -> timedelta:
    """Return how far a time is behind that of an order made just before, at most."""
    return max(
        (
            max(times[max(0, place - NEIGHBOURS) : place]) - times[place]
            for place in range(1, len(times))
        ),
        default=timedelta(0),
    )
