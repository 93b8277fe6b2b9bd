"""Whether the order that a view lists under a known key is the one that was known.

A key is reused when a table was emptied and its numbers begin again, for instance
after the tests of a new shop.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

FAR = timedelta(minutes=15)
"""How far the time of an order may move: a payment has a stamp of its own."""

ZONES = timedelta(hours=15)
"""How far two zones may lie apart; they differ by whole quarters of an hour."""

_QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order as the ledger has it; `orderid`: by its receipt, where one is kept."""

    key: str
    confirmed_at: datetime
    orderid: str | None = None


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """An order as the views list it: when it was confirmed first, and its number."""

    key: str
    confirmed_at: datetime
    orderid: str | None = None


def is_another(known: KnownOrder, listed: ListedOrder) -> bool:
    """Return whether a key stands for another order than it did.

    Another number proves it, unless the time is the same to the fraction of a second:
    then the view writes numbers in another way. With the same number, or where none is
    kept, a time that is far from the known one does; but stamps that have moved by a
    whole offset between time zones are the same orders' still.
    """
    moved = abs(listed.confirmed_at - known.confirmed_at)
    numbers = {known.orderid, listed.orderid}
    if None not in numbers and len(numbers) == 2:  # noqa: PLR2004  # they differ
        return bool(moved) or known.confirmed_at.microsecond == 0
    return moved > FAR and not _is_offset(moved)


def _is_offset(moved: timedelta) -> bool:
    return moved <= ZONES and moved % _QUARTER == timedelta(0)
