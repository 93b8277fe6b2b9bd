"""Rejected orders that were corrected, retried by the daemon itself.

Changes from `listen` and `wal` are checked within seconds, the rest page by page.
"""

import threading
import time
from collections.abc import Iterable, Sequence

from syncd.core.errors import SyncdError
from syncd.core.schedule import Turn
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.mended import MendedOrders
from syncd.log.log import Log

MOST_CHANGED = 10_000
"""Changed orders that are remembered until the next turn."""

PASS_SECONDS = 105.0
"""How often rejected orders without a reported change are checked."""


class ChangedOrders:
    """Keys of orders that were changed, until somebody takes them; for any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._keys: set[str] = set()

    def note(self, keys: Iterable[str]) -> None:
        """Note orders that were changed; of very many, some."""
        with self._guard:
            if len(self._keys) < MOST_CHANGED:
                self._keys.update(keys)

    def take(self) -> list[str]:
        """Return what was noted since the last time, sorted."""
        with self._guard:
            keys, self._keys = self._keys, set()
        return sorted(keys)


class MendedJob:
    """Tries rejected orders again when they were changed, and now and then.

    Args:
        defers: Whether changed orders that were not sent yet are left alone for longer.
    """

    def __init__(
        self,
        orders: MendedOrders,
        changed: ChangedOrders,
        wake_up: WakeUp,
        log: Log,
        *,
        defers: bool = False,
    ) -> None:
        self._orders = orders
        self._changed = changed
        self._defers = defers
        self._wake_up = wake_up
        self._log = log
        self._pass_at = time.monotonic() + PASS_SECONDS

    def run(self) -> Turn:
        """Try orders again that could be sent now.

        Raises:
            SyncdError: The database failed; the same orders are tried again.
        """
        changed = self._changed.take()
        try:
            if changed and self._defers:
                self._orders.defer(changed)
            if changed:
                self._retry(changed)
        except SyncdError:
            self._changed.note(changed)
            raise
        if time.monotonic() >= self._pass_at:
            self.run_pass()
        elif not changed:
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

    def _retry(self, changed: Sequence[str] | None) -> None:
        if orders := self._orders.retry_mended(changed):
            self._log.emit("orders.retried", orders=orders)
            self._wake_up.notify()
