"""Sending single delivered orders again, on request."""

from collections.abc import Sequence

from syncd.backfill.active import ActiveBackfill
from syncd.backfill.store import BackfillStore
from syncd.core.command_errors import OrderUnknownError
from syncd.ledger.batches import Ledger
from syncd.source.orders import Source
from syncd.source.position import Position


class Resending:
    """Opens a backfill of an empty range, with the orders that were named."""

    def __init__(self, source: Source, ledger: Ledger, *, size: int) -> None:
        self._source = source
        self._ledger = ledger
        self._size = size

    def resend(
        self, keys: Sequence[str], reason: str, *, with_profile: bool = False
    ) -> tuple[int, int]:
        """Make delivered orders pending again; all of them or, on an error, none.

        Args:
            keys: Those that are not confirmed any more, or were not delivered (or
                adopted), are left alone.
            reason: Kept with the orders' receipts; not empty.
            with_profile: Whether the customer's fields are sent as well.

        Returns:
            The number of the backfill that they are in, and how many they are.

        Raises:
            OrderUnknownError: None of them was delivered.
        """
        found = self._source.of_keys(keys)
        store = BackfillStore(self._ledger)
        now = self._source.clock()
        with self._ledger.admission():
            number = store.insert(
                (now, now),
                "resend",
                reason,
                planned=len(keys),
                with_profile=with_profile,
            )
            assert number is not None  # noqa: S101  # an empty range overlaps none
            asked = ActiveBackfill(number, "running", "resend", reason, now, now, now)
            orders, resent = store.take_again(asked, found, self._size)
            if not orders:
                raise OrderUnknownError(
                    "none of these orders was delivered, so none is sent again",
                    "`syncd explain ORDER` shows an order's state.",
                )
            store.advance(asked, Position(now), orders, resent)
        return number, orders
