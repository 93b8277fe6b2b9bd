"""What the tests ask of a ledger, and how they move its clocks, by name."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping

from support.tables import Row, Tables


class Questions(Tables):
    """One who can read and change a ledger, and its outbox."""

    @abstractmethod
    def ledger(self, query: str) -> list[tuple[object, ...]]:
        """Ask the ledger's database, wherever that is."""

    @abstractmethod
    def alter(self, statement: str) -> None:
        """Change the ledger's database as its owner."""

    @abstractmethod
    def sql(self, statement: str) -> None:
        """Change the shop's database as its owner."""

    @abstractmethod
    def value(self, query: str) -> object:
        """Ask the shop's database for one value."""

    def _number(self, query: str) -> int:
        return int(str(self.ledger(query)[0][0]))

    def captured(self, by: str | None = None) -> int:
        """How many orders the ledger holds: all, or those of one capture."""
        only = f" WHERE capture = '{by}'" if by else ""
        return self._number(f"SELECT count(*) FROM syncd.ledger{only}")

    def captured_orders(self, **where: object) -> list[Row]:
        """The ledger's orders, each with its `batch` and its `standing`."""
        batches = {batch.batch_id: batch for batch in self.rows_of("batch")}
        orders = self.rows_of("ledger", **where)
        for order in orders:
            order.batch = batches.get(order.batch_id)
            order.standing = order.state or (order.batch and order.batch.state)
        return orders

    def counts_agree(self) -> bool:
        """Whether every batch counts the orders that it has."""
        orders = Counter(o.batch_id for o in self.rows_of("ledger", state=None))
        return all(b.orders == orders[b.batch_id] for b in self.rows_of("batch"))

    def captures(self) -> set[str]:
        """By which captures the ledger's orders were found."""
        rows = self.ledger("SELECT DISTINCT capture FROM syncd.ledger")
        return {str(name) for (name,) in rows}

    def exceptions(self) -> int:
        """How many orders have a state of their own, apart from their batch's."""
        return self._number("SELECT count(state) FROM syncd.ledger")

    def batches(self, *states: str) -> int:
        """How many batches there are: all, or those in some states."""
        names = ", ".join(f"'{state}'" for state in states)
        only = f" WHERE state IN ({names})" if states else ""
        return self._number(f"SELECT count(*) FROM syncd.batch{only}")

    def unsettled(self) -> int:
        """How many batches wait or are being sent."""
        return self.batches("pending", "sending")

    def batch_orders(self, **where: object) -> int:
        """How many orders batches count together."""
        return sum(batch.orders for batch in self.rows_of("batch", **where))

    def of_batch(self, column: str) -> object:
        """One column of the only batch, or of the one written first."""
        rows = self.ledger(f"SELECT {column} FROM syncd.batch ORDER BY ctid LIMIT 1")
        return rows[0][0]

    def uncertain_attempts(self) -> int:
        """How many attempts of all batches are uncertain."""
        return self._number(
            "SELECT coalesce(sum(uncertain_attempts), 0) FROM syncd.batch"
        )

    def uncertain_attempts_of_orders(self) -> dict[str, int]:
        """How many attempts of each order's batch are uncertain, by its number."""
        orders = self.captured_orders()
        return {f"W-{o.order_key}": o.batch.uncertain_attempts for o in orders}

    def attempts(self, outcome: str | None = None) -> int:
        """How many attempts are recorded: all, or those of one outcome."""
        only = f" WHERE outcome = '{outcome}'" if outcome else ""
        return self._number(f"SELECT count(*) FROM syncd.attempt{only}")

    def count(self, table: str, where: str = "true") -> int:
        """How many rows one of the ledger's tables has."""
        return self._number(f"SELECT count(*) FROM syncd.{table} WHERE {where}")

    def alarms(self, alarm: str | None = None) -> list[str]:
        """Why there is alarm: for all reasons, or of one kind."""
        only = f" WHERE alarm = '{alarm}'" if alarm else ""
        rows = self.ledger(f"SELECT reason FROM syncd.alarm{only}")
        return [str(reason) for (reason,) in rows]

    def of_endpoint(self, *columns: str) -> tuple[object, ...]:
        """Some columns of the endpoint's state."""
        (row,) = self.ledger(f"SELECT {', '.join(columns)} FROM syncd.endpoint")
        return row

    def of_batches(self, *columns: str) -> list[tuple[object, ...]]:
        """Some columns of every batch, the oldest first."""
        chosen = ", ".join(columns)
        return self.ledger(f"SELECT {chosen} FROM syncd.batch ORDER BY batch_id")

    def set_batches(self, where: str = "true", **columns: str) -> None:
        """Change batches; the values are SQL expressions."""
        self._change("batch", where, columns)

    def set_feed(self, where: str = "true", **columns: str) -> None:
        """Change the feed; the values are SQL expressions."""
        self._change("feed", where, columns)

    def change_endpoint(self, **columns: str) -> None:
        """Change the endpoint's state; the values are SQL expressions."""
        self._change("endpoint", "true", columns)

    def _change(self, table: str, where: str, columns: Mapping[str, str]) -> None:
        changes = ", ".join(f"{name} = {value}" for name, value in columns.items())
        self.alter(f"UPDATE syncd.{table} SET {changes} WHERE {where}")

    def has_ledger(self) -> bool:
        """Whether there is a ledger."""
        return self.ledger("SELECT to_regclass('syncd.ledger')")[0][0] is not None

    def has_instance(self) -> bool:
        """Whether a daemon has registered."""
        return self._number("SELECT count(*) FROM syncd.instance") > 0

    def watermark(self) -> object:
        """Where the watermark stands."""
        return self.ledger("SELECT confirmed_at FROM syncd.watermark")[0][0]

    def set_watermark(self, moment: str) -> None:
        """Set the watermark to an SQL expression like "now() + interval '1 s'"."""
        self.alter(f"UPDATE syncd.watermark SET confirmed_at = {moment}")

    def set_endpoint(self, state: str, reason: str | None) -> None:
        """Let the endpoint be `available`, `backing_off` or `held`, for a reason."""
        why = "NULL" if reason is None else f"'{reason}'"
        self.alter(f"UPDATE syncd.endpoint SET state = '{state}', reason = {why}")

    def end_back_off(self) -> None:
        """Let the endpoint's next attempt be due."""
        self.alter("UPDATE syncd.endpoint SET retry_at = '-infinity'")

    def make_batches_due(self) -> None:
        """Let every batch that waits be due."""
        self.alter(
            "UPDATE syncd.batch SET due_at = '-infinity' WHERE state = 'pending'"
        )

    def in_outbox(self) -> int:
        """How many changes the outbox holds."""
        return int(str(self.value("SELECT count(*) FROM syncd.outbox")))

    def empty_outbox(self) -> None:
        """Forget what the triggers noted."""
        self.sql("TRUNCATE syncd.outbox")
