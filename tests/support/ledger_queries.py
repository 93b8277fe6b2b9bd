"""What the tests ask of a ledger, and how they move its clocks, by name."""

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
    """One who can read and change a ledger, and its outbox."""

    @abstractmethod
    def ledger(self, query: str) -> list[tuple[object, ...]]:
        """Ask the ledger's database, wherever that is."""

    @abstractmethod
    def sql(self, statement: str) -> None:
        """Change the shop's database as its owner."""

    @abstractmethod
    def value(self, query: str) -> object:
        """Ask the shop's database for one value."""

    def captured(self, by: str | None = None) -> int:
        """How many orders the ledger holds: all, or those of one capture."""
        return self.count("ledger", **{"capture": by} if by else {})

    def captured_orders(self, **where: object) -> list[Row]:
        """The ledger's orders, each with its `batch` and its `standing`."""
        orders = self.rows_of("ledger", **where)  # before their batches, which stay
        batches = {batch.batch_id: batch for batch in self.rows_of("batch")}
        for order in orders:
            order.batch = batches.get(order.batch_id)
            order.standing = order.state or (order.batch and order.batch.state)
        return orders

    def counts_agree(self) -> bool:
        """Whether every batch counts the orders that it has, at one moment."""
        return self.ledger(MISCOUNTED) == [(0,)]

    def captures(self) -> set[str]:
        """By which captures the ledger's orders were found."""
        return {order.capture for order in self.rows_of("ledger")}

    def exceptions(self) -> list[Row]:
        """The orders that have a state of their own, apart from their batch's."""
        return [order for order in self.rows_of("ledger") if order.state]

    def batches(self, *states: str) -> int:
        """How many batches there are: all, or those in some states."""
        return self.count("batch", **{"state": [*states]} if states else {})

    def unsettled(self) -> int:
        """How many batches wait or are being sent."""
        return self.batches("pending", "sending")

    def batch_orders(self, **where: object) -> int:
        """How many orders batches count together."""
        return sum(batch.orders for batch in self.rows_of("batch", **where))

    def uncertain_attempts(self) -> int:
        """How many attempts of all batches are uncertain."""
        return sum(batch.uncertain_attempts for batch in self.rows_of("batch"))

    def uncertain_attempts_of_orders(self) -> dict[str, int]:
        """How many attempts of each order's batch are uncertain, by its number."""
        orders = self.captured_orders()
        return {f"W-{o.order_key}": o.batch.uncertain_attempts for o in orders}

    def attempts(self, outcome: str | None = None) -> int:
        """How many attempts are recorded: all, or those of one outcome."""
        return self.count("attempt", **{"outcome": outcome} if outcome else {})

    def alarms(self, alarm: str | None = None) -> list[str]:
        """Why there is alarm: for all reasons, or of one kind."""
        alarms = self.rows_of("alarm", **{"alarm": alarm} if alarm else {})
        return [found.reason for found in alarms]

    def has_ledger(self) -> bool:
        """Whether there is a ledger."""
        return self.ledger("SELECT to_regclass('syncd.ledger')")[0][0] is not None

    def has_instance(self) -> bool:
        """Whether a daemon has registered."""
        return self.count("instance") > 0

    def watermark(self) -> datetime:
        """Where the watermark stands."""
        moment: datetime = self.row_of("watermark").confirmed_at
        return moment

    def set_watermark(self, moment: datetime) -> None:
        """Set the watermark."""
        self.update("watermark", {"confirmed_at": moment})

    def set_endpoint(self, state: str, reason: str | None) -> None:
        """Let the endpoint be `available`, `backing_off` or `held`, for a reason."""
        self.update("endpoint", {"state": state, "reason": reason})

    def end_back_off(self) -> None:
        """Let the endpoint's next attempt be due."""
        self.update("endpoint", {"retry_at": "-infinity"})

    def make_batches_due(self) -> None:
        """Let every batch that waits be due."""
        self.update("batch", {"due_at": "-infinity"}, state="pending")

    def in_outbox(self) -> int:
        """How many changes the outbox holds."""
        return int(str(self.value("SELECT count(*) FROM syncd.outbox")))

    def empty_outbox(self) -> None:
        """Forget what the triggers noted."""
        self.sql("TRUNCATE syncd.outbox")
