"""Reconciliation by itself: the last hours often, the last weeks hourly, all weekly.

When an account is due stands in the ledger, so restarts and several daemons change
nothing about it.
"""

import threading

from syncd.capture.reconciliation import Reconciliation
from syncd.capture.reconciliation_run import (
    Page,
    ReconciliationResult,
    ReconciliationRun,
)
from syncd.core.errors import SyncdError
from syncd.core.tally import moment
from syncd.daemon.wakeup import WakeUp
from syncd.ledger.retention import Retention
from syncd.log.log import Log


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
