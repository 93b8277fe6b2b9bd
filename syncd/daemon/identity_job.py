"""The periodic comparison of what stands behind the views, and its log lines."""

import threading
import time
from datetime import datetime

from syncd.capture.unreadable import Reading, read_whole
from syncd.core.schedule import Turn
from syncd.ledger.identity import IdentityGuard
from syncd.ledger.known_identity import IdentityCheck
from syncd.ledger.reused_keys import Reused, ReusedKeys
from syncd.log.log import Log

COMPARE_SECONDS = 60.0
"""How often tables and views are compared while nothing seems to have changed."""


class IdentityJob:
    """Compares when that is due, or when an admission met views that were changed.

    Args:
        changed: Set when an admission met changed views, or orders from the past.
    """

    def __init__(
        self,
        guard: IdentityGuard,
        keys: ReusedKeys,
        log: Log,
        changed: threading.Event,
        *,
        reading: Reading = read_whole,
    ) -> None:
        self._reading = reading
        self._guard = guard
        self._keys = keys
        self._log = log
        self._changed = changed
        self._compare_at = float("-inf")
        self._is_awaited = True  # by admissions: those of what a daemon missed, first
        self._changed_at: datetime | None = None
        self._reused_at: datetime | None = None

    def run(self) -> Turn:
        """Compare if it is time to."""
        if time.monotonic() < self._compare_at and not self._changed.is_set():
            return Turn.NOT_DUE
        self.compare()
        return Turn.DONE

    def compare(self) -> IdentityCheck:
        """Compare now, and log what was found."""
        self._is_awaited |= self._changed.is_set()
        self._changed.clear()
        self._compare_at = float("-inf")  # due until it has succeeded
        compared = self._reading(self._guard.check)
        self._report(compared)
        if compared.held is None:
            if self._is_awaited:
                self._guard.note_compared()
                self._is_awaited = False
            self._report_reused(self._reading(self._keys.compare_newest))
        self._compare_at = time.monotonic() + COMPARE_SECONDS
        return compared

    def _report(self, compared: IdentityCheck) -> None:
        for table in compared.replaced:
            self._log.emit_folded(
                "table.replaced",
                f"{table.behind} {table.table}",
                table=table.table,
                reason=table.reason,
                hint=table.next_step,
            )
        if compared.held is not None:
            self._log.emit_folded("keys.changed", "held", reason=compared.held)
        if compared.unlisted is not None:
            self._log.emit_folded("orders.unlisted", "views", reason=compared.unlisted)
        if compared.shared is not None:
            self._log.emit_folded("orders.same_number", "", reason=compared.shared)
        known = self._guard.known()
        if known is not None and known.changed_at != self._changed_at:
            if self._changed_at is not None:
                self._log.emit("views.accepted", reason=known.change)
            self._changed_at = known.changed_at

    def _report_reused(self, reused: Reused) -> None:
        """Log reused keys when there are more of them, and at the start."""
        if reused.newest_at is not None and reused.newest_at != self._reused_at:
            self._log.emit("keys.reused", orders=reused.keys, order_key=reused.example)
        self._reused_at = reused.newest_at
