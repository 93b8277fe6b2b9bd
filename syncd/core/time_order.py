"""Whether orders' times contradict the order in which the orders were made.

An order may be confirmed long after it was made, so that its time is after those of
later orders. A time that is before those of all orders made just before it may be older
than the order, a cart's for instance. It is not where orders are often confirmed in
another order than they were made in: where most are paid days later, one that is paid
at once looks like that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

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
