"""The reckoning: the shop's committed orders against the fake API's book.

The ledger is not asked: what it believes is part of what is being tried.
"""

from array import array
from collections.abc import Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.demo.sandbox import ReceivedEvents

MISSED_NAMED = 10
"""Missed orders that are named; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Lags:
    """Milliseconds from an order's commit to its receipt; all None without orders."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """How the shop's orders and the received events compare.

    Attributes:
        confirmed: Orders that the shop committed as confirmed.
        delivered: Those of them that the fake API received.
        missed: Those that it did not.
        repeated: Events beyond the first of their order.
        unconfirmed: Received orders that the shop never committed as confirmed.
        missed_orderids: The first ones that were missed.
    """

    confirmed: int
    delivered: int
    missed: int
    repeated: int
    unconfirmed: int
    lags: Lags
    missed_orderids: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Return whether each confirmed order arrived, and no other."""
        return not self.missed and not self.unconfirmed


def tally(orders: Iterable[tuple[str, datetime | None]], book: ReceivedEvents) -> Tally:
    """Compare committed orders, as number and time of commit, with the book."""
    confirmed = missed = 0
    named: list[str] = []
    lags: MutableSequence[float] = array("d")
    for number, committed_at in orders:
        confirmed += 1
        received_at = book.first_received_at(number)
        if received_at is None:
            missed += 1
            named += [number] if len(named) < MISSED_NAMED else []
        elif committed_at is not None:
            # An order is visible a moment before its commit is over.
            lags.append(max(0.0, (received_at - committed_at).total_seconds() * 1000))
    totals = book.totals
    delivered = confirmed - missed
    return Tally(
        confirmed=confirmed,
        delivered=delivered,
        missed=missed,
        repeated=totals.repeats,
        unconfirmed=totals.orderids - delivered,
        lags=_lags(lags),
        missed_orderids=tuple(named),
    )


def _lags(values: Sequence[float]) -> Lags:
    if not values:
        return Lags()
    ordered = sorted(values)
    ranks = (int(share * (len(ordered) - 1) + 0.5) for share in (0.5, 0.95, 0.99, 1.0))
    p50, p95, p99, most = (round(ordered[rank], 1) for rank in ranks)
    return Lags(p50, p95, p99, most)
