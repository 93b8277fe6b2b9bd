"""Past orders of a shop, and the backfills over them, in the test's own process."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.harness import Harness
from support.ledgers import driver
from support.shop import Shop
from syncd.backfill.plan import Plan, Planner, Purpose, Request
from syncd.backfill.resending import Resending
from syncd.backfill.store import BackfillStore
from syncd.core.event import EventRules
from syncd.core.intervals import Interval
from syncd.daemon.backfill_loop import BackfillLoop
from syncd.demo.sandbox import Sandbox

BEGIN = datetime.now(UTC).replace(
    hour=0, minute=0, second=0, microsecond=0
) - timedelta(days=100)


LISTED = """
INSERT INTO syncd.initial_orders (feed_id, bucket, chunk, hashes)
SELECT f.feed_id, (h.hash >> 49)::integer,
       (SELECT count(*) FROM syncd.initial_orders), array_agg(h.hash)
  FROM syncd.feed AS f,
       (SELECT hashtextextended(key, 0) FROM unnest(ARRAY[{}]) AS n (key)) AS h (hash)
 GROUP BY 1, 2
"""


def day(number: float) -> datetime:
    """A time so many days after the first past order's day began."""
    return BEGIN + timedelta(days=number)


def sell_past(shop: Shop, orders: int, *, days: int = 50) -> list[str]:
    """Put orders into the past, spread over days; return their public numbers.

    A feed that was started before takes them for old: as if its start had listed them.
    """
    rows = shop.rows(
        "INSERT INTO orders (confirmed_at) "
        f"SELECT '{BEGIN.isoformat()}'::timestamptz "
        f"       + n * interval '{days} days' / {orders} "
        f"  FROM generate_series(1, {orders}) AS n RETURNING id"
    )
    shop.sql(LISTED.format(", ".join(f"'{row[0]}'" for row in rows)))
    return [f"W-{row[0]}" for row in rows]


class Past:
    """A harness with a register, a planner and a driver of pages as small as asked."""

    def __init__(
        self,
        shop: Shop,
        sandbox: Sandbox,
        folder: Path,
        size: int,
        page: int = 10,
        most: int = 10,
    ) -> None:
        self.page, self.most = page, most
        self.harness = Harness(shop, sandbox, folder, batch_size=size)
        self.shop = shop
        self.register = BackfillStore(self.harness.ledger)
        self.planner = Planner(self.harness.source, self.harness.ledger, EventRules())
        self.driver = self.make_driver()
        self.resending = Resending(self.harness.source, self.harness.ledger, size=size)

    def make_driver(
        self, rate: float | None = None, most: int | None = None
    ) -> BackfillLoop:
        """Make another driver, as another daemon would."""
        return driver(
            self.harness.source,
            self.harness.ledger,
            size=self.harness.size,
            rate=rate,
            page=self.page,
            most_waiting=most or self.most,
        )

    def plan(
        self,
        purpose: Purpose = "send",
        *,
        lower: float = 0,
        upper: float = 60,
        with_profile: bool = False,
    ) -> Plan:
        reason = "wrong SKUs" if purpose == "resend" else None
        span = Interval(day(lower), day(upper))
        return self.planner.plan(Request(span, purpose, with_profile, reason))

    def ask(
        self,
        purpose: Purpose = "send",
        *,
        lower: float = 0,
        upper: float = 60,
        with_profile: bool = False,
    ) -> int:
        plan = self.plan(purpose, lower=lower, upper=upper, with_profile=with_profile)
        return self.register.open(plan)

    def deliver(self) -> bool:
        """Deliver one batch of past orders."""
        return self.harness.delivery.deliver_next("backfill") is not None

    def finish(self) -> None:
        """Drive and deliver until nothing goes on any more."""
        self.harness.end_waits()
        while self.driver.step() == 0 or self.deliver() or self.harness.deliver():
            self.harness.end_waits()
        self.driver.step()

    def posts(self, orders: Sequence[str]) -> list[int]:
        return self.harness.posts(list(orders))

    def states(self) -> dict[str, int]:
        """Count the ledger's orders by where they stand."""
        return Counter(order.standing for order in self.shop.captured_orders())

    def counts_agree(self) -> bool:
        """Whether every batch counts the orders that it has."""
        return self.shop.counts_agree()

    def close(self) -> None:
        self.harness.close()
