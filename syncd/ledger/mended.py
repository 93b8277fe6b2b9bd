"""Rejected orders that were corrected: found by rendering them again, and retried.

An order that syncd's own rules rejected is pending again once its row would be sent;
one that the API or the view rejected, once the order is touched. By itself at most
`MOST_RETRIES` times; what a person discarded stays discarded (ADR-0029).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.errors import UNREADABLE, DatabaseUnavailableError, UnreadableRowError
from syncd.core.event import Event, EventRules, render
from syncd.ledger.batches import Ledger
from syncd.postgres.statements import query
from syncd.source.orders import Source

MOST_RETRIES = 10
PAGE_ORDERS = 100
"""Rejected orders that are read from the view at a time."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An order that was set aside.

    Attributes:
        rejected_by: `rules` (syncd's own), `api` or `view`.
        retries: How often it was tried again by itself.
    """

    order_key: str
    orderid: str | None
    reason: str
    confirmed_at: datetime
    rejected_by: str
    retries: int


class MendedOrders:
    """Finds rejected orders of one feed that could be sent now.

    Args:
        size: Orders that a batch may hold.
    """

    def __init__(
        self, source: Source, ledger: Ledger, rules: EventRules, *, size: int
    ) -> None:
        self._source = source
        self._ledger = ledger
        self._rules = rules
        self._size = size
        self._after: str | None = None

    def rejected(
        self,
        keys: Sequence[str] | None = None,
        limit: int = PAGE_ORDERS,
        *,
        after: str | None = None,
        most_retries: int | None = None,
    ) -> list[Rejected]:
        """Read rejected orders in the order of their keys.

        Args:
            keys: Of those to read; None: of any.
            limit: The most to read.
            after: The key that the first comes after.
            most_retries: Those that were tried again less often; None: all.
        """
        return self._ledger.database.rows(
            Rejected,
            query("rejected_orders"),
            feed=self._ledger.feed_id,
            keys=None if keys is None else list(keys),
            after=after,
            most_retries=most_retries,
            limit=limit,
        )

    def faults(self, orders: Sequence[Rejected]) -> dict[str, str | None]:
        """Return why each order cannot be sent now; None: it could be.

        Of an order that the API refused it is only known that it did.
        """
        found: dict[str, str | None] = {}
        for first in range(0, len(orders), PAGE_ORDERS):
            found |= self._faults(orders[first : first + PAGE_ORDERS])
        return found

    def retry(self, keys: Sequence[str]) -> int:
        """Make those of the orders pending again that may be; return their number."""
        if not keys:
            return 0
        return self._ledger.database.value(
            int,
            query("retry_rejected"),
            feed=self._ledger.feed_id,
            states=["rejected"],
            orders=list(keys),
            all=False,
            reason=None,
            size=self._size,
            most_retries=MOST_RETRIES,
        )

    def sendable(self, orders: Sequence[Rejected]) -> list[str]:
        """Return the keys that could be sent now, without what the API refused."""
        asked = [order for order in orders if order.rejected_by != "api"]
        return [key for key, fault in self.faults(asked).items() if fault is None]

    def defer(self, touched: Sequence[str]) -> int:
        """Leave changed orders alone for `source.quiet` again; return their batches."""
        return self._ledger.database.run(
            query("defer_touched"), feed=self._ledger.feed_id, keys=list(touched)
        )

    def retry_mended(self, touched: Sequence[str] | None = None) -> int:
        """Try orders again that could be sent now; return their number.

        Args:
            touched: Keys that were changed; None: a page of those without a
                notification.

        Raises:
            SyncdError: The database failed; nothing was changed.
        """
        if touched is None:
            return self.retry(self.sendable(self._next_page()))
        pages = range(0, len(touched), PAGE_ORDERS)
        return sum(self._retry_touched(touched[n : n + PAGE_ORDERS]) for n in pages)

    def _retry_touched(self, touched: Sequence[str]) -> int:
        orders = [o for o in self.rejected(touched) if o.retries < MOST_RETRIES]
        by_api = [o.order_key for o in orders if o.rejected_by == "api"]
        return self.retry(self.sendable(orders) + by_api)

    def _next_page(self) -> list[Rejected]:
        """Read the orders after those of the last pass; from the first at the end.

        They count as checked before the view is read: rows that cannot be read in time
        do not block others.
        """
        orders = self.rejected(after=self._after, most_retries=MOST_RETRIES)
        is_full = len(orders) == PAGE_ORDERS
        self._after = orders[-1].order_key if is_full else None
        return orders

    def _faults(self, orders: Sequence[Rejected]) -> dict[str, str | None]:
        try:
            rows = self._source.read([order.order_key for order in orders])
        except DatabaseUnavailableError:
            raise
        except UnreadableRowError as error:
            if len(orders) == 1:
                return {orders[0].order_key: str(error)}
            return {k: v for o in orders for k, v in self._faults([o]).items()}
        except UNREADABLE as error:
            return dict.fromkeys((o.order_key for o in orders), str(error))
        now = self._source.clock()
        return {o.order_key: self._fault(o, rows.get(o.order_key), now) for o in orders}

    def _fault(
        self, order: Rejected, row: dict[str, object] | None, now: datetime
    ) -> str | None:
        if row is None:
            return "has no row in the purchases view"
        made = render(row, order.confirmed_at, self._rules, now)
        return None if isinstance(made, Event) else made.reason
