"""Past orders of a shop, and backfills of them, in the test's own process."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.feed_harness import backfill_loop
from support.harness import Harness
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
    """Return the start of a day, counted from the day of the first past order."""
    return BEGIN + timedelta(days=number)


def insert_past_orders(shop: Shop, orders: int, *, days: int = 50) -> list[str]:
    """Insert orders spread over past days; return their public numbers.

    A feed that has started treats them as initial orders, as if its start listed them.
    """
    rows = shop.rows(
        "INSERT INTO orders (confirmed_at) "
        f"SELECT '{BEGIN.isoformat()}'::timestamptz "
        f"       + n * interval '{days} days' / {orders} "
        f"  FROM generate_series(1, {orders}) AS n RETURNING id"
    )
    shop.sql(LISTED.format(", ".join(f"'{row[0]}'" for row in rows)))
    return [f"W-{row[0]}" for row in rows]


class BackfillHarness(Harness):
    """A harness with the store, the planner and the loop of backfills."""

    def __init__(
        self,
        shop: Shop,
        sandbox: Sandbox,
        folder: Path,
        size: int,
        page: int = 10,
        most: int = 10,
    ) -> None:
        super().__init__(shop, sandbox, folder, batch_size=size)
        self.page, self.most = page, most
        self.store = BackfillStore(self.ledger)
        self.planner = Planner(self.source, self.ledger, EventRules())
        self.loop = self.make_loop()
        self.resending = Resending(self.source, self.ledger, size=size)

    def make_loop(
        self, rate: float | None = None, most: int | None = None
    ) -> BackfillLoop:
        """Build another loop, as another daemon would."""
        return backfill_loop(
            self.source,
            self.ledger,
            size=self.size,
            rate=rate,
            page=self.page,
            waiting=most or self.most,
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

    def start(
        self,
        purpose: Purpose = "send",
        *,
        lower: float = 0,
        upper: float = 60,
        with_profile: bool = False,
    ) -> int:
        """Start a backfill of a range of days; return its number."""
        plan = self.plan(purpose, lower=lower, upper=upper, with_profile=with_profile)
        return self.store.open(plan)

    def deliver_past(self) -> bool:
        """Deliver one batch of the backfill lane."""
        return self.delivery.deliver_next("backfill") is not None

    def finish_backfills(self) -> None:
        """Capture and deliver until nothing is left."""
        self.end_waits()
        while self.loop.step() == 0 or self.deliver_past() or self.deliver():
            self.end_waits()
        self.loop.step()

    def states(self) -> dict[str, int]:
        """Count the ledger's orders by their own state, or else their batch's."""
        return Counter(order.standing for order in self.shop.captured_orders())
