"""Backfill: past orders, asked for by resetting the watermark.

The live watermark stays where it is. The range is captured in pages into the
backfill lane, each page in one transaction with its progress; asked for again, it
goes on, since the ledger has every order once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from syncd.database import named
from syncd.ledger import Ledger
from syncd.source import Source

PAGE_ORDERS = 5_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill would do: the range (lower excluded, upper included), counted.

    Attributes:
        lower: Excluded.
        upper: Included; the watermark.
        confirmed: Orders that the range holds.
        known: Those of them that are in the ledger.
        adopted: Orders after `lower` that the first start found and did not send; the
            ledger has them, but they are sent now.
    """

    lower: datetime
    upper: datetime
    confirmed: int
    known: int
    adopted: int

    @property
    def orders(self) -> int:
        """Orders that would be sent."""
        return self.confirmed - self.known + self.adopted

    def seconds(self, rate: float | None) -> float:
        """How long sending takes at a rate, in events a second."""
        return self.orders / rate if rate else 0.0


class Backfill:
    """Opens the range from a time up to the watermark."""

    def __init__(self, source: Source, ledger: Ledger, *, size: int) -> None:
        self._source = source
        self._ledger = ledger
        self._size = size

    def plan(self, lower: datetime) -> Plan:
        """Count the orders after `lower`, up to the watermark, and those known."""
        upper = self._ledger.watermark()
        found = self._source.between(lower, upper)
        confirmed, known = self._ledger.database.one(
            named("count_known", found=found.query),
            feed=self._ledger.feed_id,
            **found.params,
        )
        (adopted,) = self._ledger.database.one(
            named("count_adopted"), feed=self._ledger.feed_id, lower=lower
        )
        counts = cast("tuple[int, int, int]", (confirmed, known, adopted))
        return Plan(lower, upper, *counts)

    def capture(self, plan: Plan) -> Iterator[int]:
        """Capture the range page by page; yield each page's number of new orders."""
        database = self._ledger.database
        (backfill,) = database.one(
            named("start_backfill"),
            feed=self._ledger.feed_id,
            lower=plan.lower,
            upper=plan.upper,
        )
        reached = plan.lower
        while reached < plan.upper:
            upper = self._source.page_end(reached, plan.upper, PAGE_ORDERS)
            with self._ledger.admission():
                found = self._source.between(reached, upper)
                orders = self._ledger.admit(found, "backfill", size=self._size).orders
                database.run(
                    named("advance_backfill"),
                    backfill=backfill,
                    reached=upper,
                    orders=orders,
                )
            reached = upper
            yield orders
        yield from self._release(plan.lower)

    def _release(self, lower: datetime) -> Iterator[int]:
        """Send what the first start adopted, a batch at a time."""
        orders = self._size
        while orders == self._size:
            (released,) = self._ledger.database.one(
                named("release_adopted"),
                feed=self._ledger.feed_id,
                lower=lower,
                size=self._size,
            )
            orders = cast("int", released)
            yield orders
