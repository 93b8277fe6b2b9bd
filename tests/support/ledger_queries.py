"""Named queries of a ledger and changes of its clocks, for the tests."""

from abc import abstractmethod
from datetime import datetime

from support.tables import Row, Tables

MISCOUNTED = """
SELECT count(*)
  FROM syncd.batch AS b
 WHERE b.orders <> (SELECT count(*)
                      FROM syncd.ledger AS l
                     WHERE l.batch_id = b.batch_id AND l.state IS NULL)
"""


class LedgerQueries(Tables):
    """Reads and changes a ledger and its outbox."""

    @abstractmethod
    def ledger(self, query: str) -> list[tuple[object, ...]]:
        """Query the ledger's database, wherever it is."""

    @abstractmethod
    def sql(self, statement: str) -> None:
        """Execute a statement in the shop's database as its owner."""

    @abstractmethod
    def value(self, query: str) -> object:
        """Query one value in the shop's database."""

    def captured(self, by: str | None = None) -> int:
        """Count the ledger's orders: all, or those of one capture."""
        return self.count("ledger", **{"capture": by} if by else {})

    def captured_orders(self, **where: object) -> list[Row]:
        """Return the ledger's orders, each with its `batch` and its `standing`."""
        orders = self.rows_of("ledger", **where)  # read before the batches
        batches = {batch.batch_id: batch for batch in self.rows_of("batch")}
        for order in orders:
            order.batch = batches.get(order.batch_id)
            order.standing = order.state or (order.batch and order.batch.state)
        return orders

    def counts_agree(self) -> bool:
        """Return whether every batch counts its orders correctly, at one moment."""
        return self.ledger(MISCOUNTED) == [(0,)]

    def captures(self) -> set[str]:
        """Return the captures that found the ledger's orders."""
        return {order.capture for order in self.rows_of("ledger")}

    def exceptions(self) -> list[Row]:
        """Return the orders with a state of their own, apart from their batch's."""
        return [order for order in self.rows_of("ledger") if order.state]

    def batches(self, *states: str) -> int:
        """Count the batches: all, or those in some states."""
        return self.count("batch", **{"state": [*states]} if states else {})

    def unsettled(self) -> int:
        """Count the batches that are pending or being sent."""
        return self.batches("pending", "sending")

    def batch_orders(self, **where: object) -> int:
        """Return the sum of the batches' order counts."""
        return sum(batch.orders for batch in self.rows_of("batch", **where))

    def uncertain_attempts(self) -> int:
        """Return the number of uncertain attempts of all batches."""
        return sum(batch.uncertain_attempts for batch in self.rows_of("batch"))

    def uncertain_attempts_of_orders(self) -> dict[str, int]:
        """Return the uncertain attempts of each order's batch, by its public number."""
        orders = self.captured_orders()
        return {f"W-{o.order_key}": o.batch.uncertain_attempts for o in orders}

    def attempts(self, outcome: str | None = None) -> int:
        """Count the recorded attempts: all, or those of one outcome."""
        return self.count("attempt", **{"outcome": outcome} if outcome else {})

    def alarms(self, alarm: str | None = None) -> list[str]:
        """Return the reasons for an alarm: all, or those of one kind."""
        alarms = self.rows_of("alarm", **{"alarm": alarm} if alarm else {})
        return [found.reason for found in alarms]

    def has_ledger(self) -> bool:
        """Return whether there is a ledger."""
        return self.ledger("SELECT to_regclass('syncd.ledger')")[0][0] is not None

    def has_instance(self) -> bool:
        """Return whether a daemon has registered."""
        return self.count("instance") > 0

    def watermark(self) -> datetime:
        """Return the watermark."""
        moment: datetime = self.row_of("watermark").confirmed_at
        return moment

    def set_watermark(self, moment: datetime) -> None:
        """Set the watermark."""
        self.update("watermark", {"confirmed_at": moment})

    def set_endpoint(self, state: str, reason: str | None) -> None:
        """Set the endpoint `available`, `backing_off` or `held`, with a reason."""
        self.update("endpoint", {"state": state, "reason": reason})

    def end_back_off(self) -> None:
        """Make the endpoint's next attempt due now."""
        self.update("endpoint", {"retry_at": "-infinity"})

    def make_batches_due(self) -> None:
        """Make every pending batch due now."""
        self.update("batch", {"due_at": "-infinity"}, state="pending")

    def in_outbox(self) -> int:
        """Count the changes in the outbox."""
        return int(str(self.value("SELECT count(*) FROM syncd.outbox")))

    def empty_outbox(self) -> None:
        """Delete what the triggers recorded."""
        self.sql("TRUNCATE syncd.outbox")
