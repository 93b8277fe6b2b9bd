"""How well the view's orders fit an event: details left out, orders refused.

What a shop's developer mends in the view, counted where `status` and `check` see it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from syncd.core.errors import SyncdError
from syncd.core.event import Event, LeftOut
from syncd.core.health_inputs import RecentRefusals
from syncd.ledger.batches import Ledger
from syncd.postgres.database import Database
from syncd.postgres.statements import query

NEWEST_ORDERS = 50
"""The number of orders of which the refused ones are counted."""

MOST_DETAILS = 20
"""Kinds of details left out that are shown, and noted in one statement."""


@dataclass(frozen=True, slots=True)
class LeftOutCount:
    """A detail that orders were sent without, since `first_at`; the last one's key."""

    field: str
    reason: str
    orders: int
    order_key: str
    first_at: datetime
    last_at: datetime


def left_out(database: Database, feed_id: int) -> list[LeftOutCount]:
    """Read what was left out in the last day, the most frequent first; maybe empty."""
    return database.rows(
        LeftOutCount, query("left_out"), feed=feed_id, most=MOST_DETAILS
    )


def recent_refusals(database: Database, feed_id: int) -> RecentRefusals:
    """Count how many of the newest settled live orders were rejected, and why most."""
    return database.row(
        RecentRefusals, query("recent_refusals"), feed=feed_id, newest=NEWEST_ORDERS
    )


class LeftOutCounter:
    """Counts what one worker left out; written when nothing waits to be sent.

    A crash loses a few counts, never an order.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[LeftOut] = Counter()
        self._keys: dict[LeftOut, str] = {}

    def note(
        self, purchases: Iterable[tuple[str, Event]]
    ) -> Sequence[tuple[LeftOut, int, str]]:
        """Note accepted orders by key; return this batch's counts, with a key each."""
        counts: Counter[LeftOut] = Counter()
        keys: dict[LeftOut, str] = {}
        for key, purchase in purchases:
            for detail in dict.fromkeys(purchase.left_out):
                counts[detail] += 1
                keys.setdefault(detail, key)
        self._counts.update(counts)
        self._keys.update(keys)
        return [(detail, orders, keys[detail]) for detail, orders in counts.items()]

    def write(self) -> None:
        """Write what was noted; what fails is written with the next."""
        counts = dict(islice(self._counts.items(), MOST_DETAILS))
        if not counts:
            return
        with suppress(SyncdError):
            self._ledger.database.run(
                query("count_left_out"),
                feed=self._ledger.feed_id,
                fields=[detail.field for detail in counts],
                reasons=[detail.reason for detail in counts],
                orders=list(counts.values()),
                keys=[self._keys[detail] for detail in counts],
            )
            self._counts.clear()
            self._keys.clear()
