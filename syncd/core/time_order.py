"""Whether orders' times contradict the order in which the orders were made.

An order may be confirmed long after it was made, so that its time lies after those of
later orders. A time that lies before those of all orders made just before it is no
confirmation's: it is older than the order, a cart's for instance.
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
    """An order whose time lies so far before those of the orders made before it."""

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
    found = []
    for place in range(LEAST_NEIGHBOURS if is_all else NEIGHBOURS, len(orders)):
        key, at = orders[place]
        earliest = min(at for _, at in orders[max(0, place - NEIGHBOURS) : place])
        if earliest - at > tolerance:
            found.append(BackdatedOrder(key, earliest - at))
    return found
