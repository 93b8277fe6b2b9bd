"""The periodic jobs that have something to find: each logs what it found.

They compare what stands behind the views, try corrected orders again, and reconcile:
the last hours often, the last weeks hourly, all weekly. When an account is due stands
in the ledger, so restarts and several daemons change nothing about it.
"""

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from syncd.capture.reconciliation import Reconciliation
from syncd.capture.reconciliation_run import (
    Page,
    ReconciliationResult,
    ReconciliationRun,
)
from syncd.capture.unreadable import Reading, read_whole
from syncd.core.errors import SyncdError
from syncd.core.schedule import Turn
from syncd.core.tally import moment
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.identity import IdentityGuard
from syncd.ledger.key_comparison import IdentityCheck
from syncd.ledger.mended import MendedOrders
from syncd.ledger.retention import Retention
from syncd.ledger.reused_keys import Reused, ReusedKeys
from syncd.log.log import Log

COMPARE_SECONDS = 60.0
"""How often tables and views are compared while nothing seems to have changed."""

MOST_CHANGED = 10_000
"""Changed orders that are kept until the next turn."""

PASS_SECONDS = 105.0
"""How often rejected orders without a reported change are checked."""


class IdentityJob:
    """Compares tables, views and keys when due, or when an admission met changed views.

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


class ChangedOrders:
    """Keys of orders that were changed, until the job takes them; for any thread."""

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
    """Tries rejected orders again: changed ones within seconds, the rest page by page.

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


class ReconciliationJob:
    """Runs the reconciliations that are due, until a stop."""

    def __init__(
        self,
        reconciliation: Reconciliation,
        wake_up: WakeUp,
        log: Log,
        stopping: threading.Event,
        pruning: Retention | None = None,
    ) -> None:
        self._reconciliation = reconciliation
        self._pruning = pruning
        self._wake_up = wake_up
        self._log = log
        self._stopping = stopping

    def run(self) -> None:
        """Run every reconciliation that is due now; prune the ledger when that is due.

        One that fails keeps none of the others from being made.

        Raises:
            SyncdError: The database failed first; what was reached is kept.
        """
        if self._pruning is not None:
            self._pruning.run()
        failed: list[SyncdError] = []
        for scope in self._reconciliation.scopes_due():
            if self._stopping.is_set():
                return
            try:
                if run := self._reconciliation.due(scope):
                    self._account(run)
            except SyncdError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _account(self, run: ReconciliationRun) -> None:
        for page in self._reconciliation.pages(run):
            if page.account.captured:
                self._wake_up.notify()
            report_missing(self._log, run, page)
            if self._stopping.is_set():
                return
        if finished := self._reconciliation.finish(run):
            report(self._log, run, finished)


def report_missing(log: Log, run: ReconciliationRun, page: Page) -> None:
    """Raise the alarm if a page lacked orders: a capture has failed."""
    if page.account.missing:
        log.emit(
            "orders.missed",
            scope=run.scope,
            orders=page.account.missing,
            captured=page.account.captured,
            order_key=page.missing_key,
        )


def report(log: Log, run: ReconciliationRun, finished: ReconciliationResult) -> None:
    """Write the line of a whole account."""
    account = finished.account
    log.emit(
        "reconciliation.finished",
        scope=run.scope,
        lower=moment(run.lower),
        upper=moment(run.upper),
        confirmed=account.confirmed,
        delivered=account.delivered,
        pending=account.pending,
        adopted=account.adopted,
        rejected=account.rejected,
        withdrawn=account.withdrawn,
        held=account.held,
        discarded=account.discarded,
        erased=account.erased,
        reused=account.reused,
        initial=account.initial,
        arriving=account.arriving,
        missing=account.missing,
        unexplained=account.unexplained,
        without_time=finished.without_time,
        unreadable=finished.unreadable,
        duration_ms=round(finished.seconds * 1000),
    )
