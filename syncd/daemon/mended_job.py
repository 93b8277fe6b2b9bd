"""Rejected orders that were corrected, retried by the daemon itself.

Changes from `listen` and `wal` are checked within seconds, the rest page by page.
"""

import threading
import time
from collections.abc import Iterable, Sequence

from syncd.core.errors import SyncdError
from syncd.core.turn import Turn
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.mended import MendedOrders
from syncd.log.log import Log

MOST_TOUCHED = 10_000
"""Changed orders that are remembered until the next turn."""

PASS_SECONDS = 105.0
"""How often rejected orders without a reported change are checked."""


class MendedJob:
    """Tries rejected orders again when they were changed, and now and then.

    `touched` may be called from any thread, `run` from one at a time. With `defers`,
    orders that were not sent yet are left alone for longer when they change.
    """

    def __init__(
        self, orders: MendedOrders, wake_up: WakeUp, log: Log, *, defers: bool = False
    ) -> None:
        self._orders = orders
        self._defers = defers
        self._wake_up = wake_up
        self._log = log
        self._guard = threading.Lock()
        self._touched: set[str] = set()
        self._pass_at = time.monotonic() + PASS_SECONDS

    def touched(self, keys: Iterable[str]) -> None:
        """Note orders that were changed; of very many, some."""
        with self._guard:
            if len(self._touched) < MOST_TOUCHED:
                self._touched.update(keys)

    def run(self) -> Turn:
        """Try orders again that could be sent now.

        Raises:
            SyncdError: The database failed; the same orders are tried again.
        """
        with self._guard:
            touched, self._touched = self._touched, set()
        try:
            if touched and self._defers:
                self._orders.defer(sorted(touched))
            if touched:
                self._retry(sorted(touched))
        except SyncdError:
            self.touched(touched)
            raise
        if time.monotonic() >= self._pass_at:
            self.run_pass()
        elif not touched:
            return Turn.NOT_DUE
        return Turn.DONE

    def run_pass(self) -> None:
        """Check the next page of the rejected orders.

        Raises:
            SyncdError: The database failed; the pass stays due.
        """
        self._pass_at = float("-inf")  # due until it has succeeded
        self._retry(None)
        self._pass_at = time.monotonic() + PASS_SECONDS

    def _retry(self, touched: Sequence[str] | None) -> None:
        if orders := self._orders.retry_mended(touched):
            self._log.emit("orders.retried", orders=orders)
            self._wake_up.notify()
