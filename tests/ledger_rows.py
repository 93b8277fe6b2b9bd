"""A ledger as it is after a while, written row by row for what only reads it."""

from ledgers import Started
from shop import Shop

BATCH = """
INSERT INTO syncd.batch (batch_id, feed_id, lane, state, orders, oldest_at, settled_at,
                         uncertain)
VALUES ({batch}, 1, '{lane}', '{state}', {orders}, '{at}',
        CASE WHEN '{state}' IN ('delivered', 'adopted')
             THEN '{at}'::timestamptz + interval '{lag}' END,
        {uncertain})
"""
LEDGER = """
INSERT INTO syncd.ledger (feed_id, order_key, confirmed_at, batch_id, state, reason)
SELECT 1, '{count}-' || n, '{at}', {batch}, {aside}, {reason}
  FROM generate_series(1, {orders}) AS n
"""
ATTEMPT = """
INSERT INTO syncd.attempt
       (batch_id, attempt, instance_id, started_at, settled_at, outcome)
VALUES ({batch}, {attempt}, 1, '{at}', '{at}', '{outcome}')
"""


class Rows:
    """A feed with batches that the test describes."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._batch = 0
        started = Started(shop)
        started.began("400 days")
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
        self.shop.sql(BATCH.format(**given))
        self._orders(at, orders, aside="NULL", reason="NULL")
        return self._batch

    def aside(self, at: str, state: str, reason: str, orders: int = 1) -> None:
        """Write orders that were set aside, in the last batch."""
        self._orders(f"{at}", orders, aside=f"'{state}'", reason=f"$${reason}$$")

    def attempt(self, at: str, outcome: str, batch: int | None = None) -> None:
        """Write an attempt of a batch, the last one by default."""
        batch = batch or self._batch
        number = self.shop.value(
            f"SELECT 1 + count(*) FROM syncd.attempt WHERE batch_id = {batch}"
        )
        given = {"batch": batch, "attempt": number, "at": at, "outcome": outcome}
        self.shop.sql(ATTEMPT.format(**given))

    def _orders(self, at: str, orders: int, *, aside: str, reason: str) -> None:
        count = self.shop.value("SELECT count(*) FROM syncd.ledger")
        given = {"at": at, "orders": orders, "aside": aside, "reason": reason}
        self.shop.sql(LEDGER.format(batch=self._batch, count=count, **given))
