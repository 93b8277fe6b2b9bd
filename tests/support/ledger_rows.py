"""A ledger with a history, written row by row for tests that only read it."""

from datetime import datetime

from support.feed_harness import FeedHarness
from support.shop import Shop

BATCH = """
INSERT INTO syncd.batch (batch_id, feed_id, lane, state, orders, oldest_at, settled_at,
                         uncertain_attempts, is_pruned)
VALUES ({batch}, 1, '{lane}', '{state}', {orders}, '{at}',
        CASE WHEN '{state}' IN ('delivered', 'adopted')
             THEN '{at}'::timestamptz + interval '{lag}' END,
        {uncertain}, '{state}' = 'delivered');
"""
LEDGER = """
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, state, reason)
SELECT 1, gen_random_uuid()::text, '{at}', {batch}, {aside}, {reason}
  FROM generate_series(1, {orders});
"""
ATTEMPT = """
INSERT INTO syncd.attempt
       (batch_id, attempt, instance_id, started_at, settled_at, outcome)
SELECT {batch}, 1 + count(*), 1, '{at}', '{at}', '{outcome}'
  FROM syncd.attempt
 WHERE batch_id = {batch}
"""


def delivered_batch(at: datetime, orders: int = 100) -> dict[str, object]:
    """Return the row of a live batch that was delivered at a time."""
    return {
        "feed_id": 1,
        "lane": "live",
        "state": "delivered",
        "orders": orders,
        **dict.fromkeys(("oldest_at", "created_at", "settled_at"), at),
        "is_pruned": True,
    }


class LedgerWriter:
    """A feed with batches that the test describes."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._batch = 0
        started = FeedHarness(shop)
        started.backdate("400 days")
        started.close()

    def batch(
        self,
        at: str,
        orders: int = 1,
        *,
        lane: str = "live",
        state: str = "delivered",
        lag: str = "1 s",
        uncertain: int = 0,
    ) -> int:
        """Write a batch with its orders, all confirmed at one time."""
        self._batch += 1
        given = {
            "batch": self._batch, "at": at, "orders": orders, "lane": lane,
            "state": state, "lag": lag, "uncertain": uncertain,
        }  # fmt: skip
        orders_of_it = self._orders(at, orders, aside="NULL", reason="NULL")
        self.shop.sql(BATCH.format(**given) + orders_of_it)
        return self._batch

    def set_aside(self, at: str, state: str, reason: str, orders: int = 1) -> None:
        """Write orders that were set aside, in the last batch."""
        aside, reason = f"'{state}'", f"$${reason}$$"
        self.shop.sql(self._orders(at, orders, aside=aside, reason=reason))

    def attempt(self, at: str, outcome: str, batch: int | None = None) -> None:
        """Write an attempt of a batch, the last one by default."""
        given = {"batch": batch or self._batch, "at": at, "outcome": outcome}
        self.shop.sql(ATTEMPT.format(**given))

    def _orders(self, at: str, orders: int, *, aside: str, reason: str) -> str:
        given = {"at": at, "orders": orders, "aside": aside, "reason": reason}
        return LEDGER.format(batch=self._batch, **given)
